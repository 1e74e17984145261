"""What a trunk's fields may not say together, or not on this bridge, however it came here; pure.

Owns: the rules that need more than one field's type and less than the whole house. Refuses (as problems of the
document): what would be stored and could never have its effect.
"""

from __future__ import annotations

from collections.abc import Iterator

from fscontrol.errors import Problem
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import CARRIED_CODECS, Trunk

STREAM_NAMES = frozenset(
    ("To", "From", "callSid", "outbound", "assistant_id", "welcome_message", "agenda", "to_phone_number")
)
"""What the bridge itself tells the assistant of a call (CONTRACTS.md §4): no caller's header may say it instead."""


def problems(organization: Organization) -> list[Problem]:
    """Everything wrong, by its path in the document."""
    return [
        Problem(f"trunks[{index}].{field}", why)
        for index, trunk in enumerate(organization.trunks)
        for field, why in _of(trunk)
    ]


def _of(trunk: Trunk) -> Iterator[tuple[str, str]]:
    if missing := missing_credential(
        register=trunk.register_,
        named=bool(trunk.username or trunk.auth_username),
        password=bool(trunk.password.get_secret_value()),
    ):
        yield missing, "is required when register is true"
    if trunk.codecs and not trunk.carried_codecs:
        yield "codecs", f"none of these is carried here: {' and '.join(CARRIED_CODECS)} are"
    for header, variable in trunk.headers_to_variables.items():
        if variable in STREAM_NAMES:
            yield f"headers_to_variables.{header}", f"{variable} is what the bridge itself tells of a call"


def missing_credential(*, register: bool, named: bool, password: bool) -> str | None:
    """The field without which a trunk cannot register; None when it can, or need not."""
    if not register or (named and password):
        return None
    return "password" if named else "username"
