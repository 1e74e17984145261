"""What is accepted in a push and yet worth a word to its sender; pure.

Owns: the list of fields without effect in this version. Refuses: refusing; what may not be is a problem, not a warning.
"""

from __future__ import annotations

from fscontrol.model.organization import Organization

MOST_WARNINGS = 1_000
_NOT_YET: dict[str, object] = {
    "media_encryption": "off",
    "codecs": (),
    "leading_plus": None,
    "outbound_enabled": True,
    "headers": {},
    "headers_to_variables": {},
    "dtmf_mode": None,
    "ring_timeout_seconds": None,
    "max_call_seconds": None,
    "caller_id_numbers": (),
    "country_allow": (),
    "refer": None,
}
"""Optional fields that are stored and have no effect yet; a push that sets one is told so. Never silently stored."""


def warnings_of(organization: Organization) -> list[str]:
    """What the sender of a push should know of it, in sentences; bounded."""
    warnings = []
    trunk_ids = {trunk.id for trunk in organization.trunks}
    for trunk in organization.trunks:
        idle = [field for field, default in _NOT_YET.items() if getattr(trunk, field) != default]
        if idle:
            warnings.append(f"trunk {trunk.name}: stored, without effect in this version: {', '.join(idle)}")
    for number in organization.phone_numbers:
        if number.sip_trunk_id is not None and number.sip_trunk_id not in trunk_ids:
            warnings.append(
                f"number {number.phone_number}: sip_trunk_id names a trunk that is not in this push"
            )
    return warnings[:MOST_WARNINGS]
