"""An organisation as it lies in a store: one sealed document, so that no credential is readable there.

Owns: both ways. Refuses: nothing; who may store what is decided in `provisioning`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

from pydantic import SecretStr

from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk
from fscontrol.store.secrets import Vault


def seal_organization(organization: Organization, vault: Vault) -> str:
    """The organisation as one encrypted document: no credential lies readable in the store."""
    document = organization.model_dump(mode="json", by_alias=True)
    document["media"]["stream_token"] = organization.media.stream_token.get_secret_value()
    if organization.webhook is not None:
        document["webhook"]["secret"] = organization.webhook.secret.get_secret_value()
    _show_secrets(organization.trunks, document["trunks"])
    if organization.draft is not None:
        _show_secrets(organization.draft.trunks, document["draft"]["trunks"])
    return vault.seal(json.dumps(document, separators=(",", ":")))


def _show_secrets(trunks: Sequence[Trunk], documents: Sequence[dict[str, Any]]) -> None:
    for trunk, shown in zip(trunks, documents, strict=True):
        shown["password"] = trunk.password.get_secret_value()
        shown["api_bearer_token"] = trunk.api_bearer_token.get_secret_value()


@functools.lru_cache(maxsize=4)
def open_organization(sealed: str, vault: Vault) -> Organization:
    """The reverse of `seal_organization`; raises `SecretUnreadable`.

    The last few are kept open (one push reads several times, 0.4 s each at 5,000 trunks), each for the vault that
    opened it. What is sealed anew is another text, so what is kept is never old.
    """
    document = json.loads(vault.open(sealed))
    for trunk in (*document["trunks"], *(document.get("draft") or {"trunks": ()})["trunks"]):
        trunk["password"] = SecretStr(trunk["password"])
    return Organization.model_validate(document)
