"""What one attempt sends, from the request, the trunk and the settings; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from fscontrol.calls.choice import Way
from fscontrol.esl.originate import Dial
from fscontrol.model.outbound import OutboundRequest
from fscontrol.model.trunk import Trunk

FREESWITCH_RINGS_LONGER = 1
"""Seconds. FreeSWITCH compares whole seconds of the clock, so that two are up to one less (switch_ivr_originate.c,
`switch_epoch_time_now`); it is asked for one more, and the leg is ended by us when its time is over (`attempting`).
"""


@dataclass(frozen=True, slots=True)
class DialRules:
    """Of the settings: how long a leg may ring, and how long a carrier may take to say that it does.

    `worker`: our name, where we have siblings.
    """

    ring_seconds: int = 60
    progress_seconds: int = 20
    worker: str = ""


class Asked(Protocol):
    """The call an attempt is for."""

    @property
    def call_sid(self) -> str: ...
    @property
    def request(self) -> OutboundRequest: ...


def dial_of(call: Asked, way: Way, uuid: str, rules: DialRules, *, mask: bool) -> Dial:
    """One INVITE over one way. `mask`: the stored record will not have the numbers, so the channel carries them."""
    request, trunk = call.request, way.trunk
    ring = request.ring_timeout_seconds or trunk.ring_timeout_seconds or rules.ring_seconds
    return Dial(
        uuid=uuid,
        call_sid=call.call_sid,
        gateway=way.gateway,
        number=dialled(trunk, request.to_number),
        caller_id=request.from_number,
        ring_seconds=ring + FREESWITCH_RINGS_LONGER,
        progress_seconds=min(ring, rules.progress_seconds),
        display_name=trunk.display_name,
        codecs=trunk.carried_codecs,
        headers=trunk.headers,
        dtmf_mode=trunk.dtmf_mode,
        media_encryption=trunk.media_encryption,
        ignore_early_media=trunk.ignore_early_media is not False,
        numbers=quote(f"{request.to_number} {request.from_number}", safe="+") if mask else "",
        worker=rules.worker,
    )


def dialled(trunk: Trunk, number: str) -> str:
    """An E.164 number as this trunk's carrier wants it; behind a prefix with a plus only where that is said."""
    with_plus = not trunk.tech_prefix if trunk.leading_plus is None else trunk.leading_plus
    return trunk.tech_prefix + (number if with_plus else number.removeprefix("+"))
