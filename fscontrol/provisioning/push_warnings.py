"""What is accepted in a push and yet worth a word to its sender; pure.

Owns: which fields, or parts of them, have no effect. Refuses: refusing; what may not be is a problem, not a warning.
"""

from __future__ import annotations

import operator

from fscontrol.esl.originate import why_unusable
from fscontrol.model.organization import E164_TEXT, Organization
from fscontrol.model.trunk import CARRIED_CODECS, Trunk

MOST_WARNINGS = 1_000
_MOST_SHOWN = 10
_looked_at = operator.attrgetter("codecs", "display_name", "headers", "caller_id_numbers")


def warnings_of_trunk(trunk: Trunk) -> list[str]:
    """What is accepted of one trunk and has no effect, in sentences."""
    if not any(_looked_at(trunk)):  # most trunks have none of these, and there are 10,000 of them
        return []
    warnings = []
    left_out = [codec for codec in trunk.codecs if codec.partition("@")[0].upper() not in CARRIED_CODECS]
    if left_out:
        warnings.append(f"codecs not carried here, and left out: {', '.join(left_out)}")
    if (trunk.display_name or trunk.headers) and (why := why_unusable(trunk.display_name, trunk.headers)):
        warnings.append(f"no call can leave by it: {why}")
    unread = [number for number in trunk.caller_id_numbers if not E164_TEXT.fullmatch(number)]
    if unread:
        shown = ", ".join(unread[:_MOST_SHOWN])
        warnings.append(
            f"caller_id_numbers that no call can show, not being E.164 such as +15551234567: {shown}"
        )
    return warnings


def warnings_of(organization: Organization) -> list[str]:
    """What the sender of a push should know of it, in sentences; bounded."""
    warnings = [
        f"trunk {trunk.name}: {said}" for trunk in organization.trunks for said in warnings_of_trunk(trunk)
    ]
    trunk_ids = {trunk.id for trunk in organization.trunks}
    for number in organization.phone_numbers:
        if number.sip_trunk_id is not None and number.sip_trunk_id not in trunk_ids:
            warnings.append(
                f"number {number.phone_number}: sip_trunk_id names a trunk that is not in this push"
            )
    return warnings[:MOST_WARNINGS]
