"""The driver `sip`: an assistant that speaks SIP itself is called, and bridged to the caller.

Owns: how that leg is dialled and what it is told. Refuses: to hold the call; the bridge is FreeSWITCH's own
and needs us no more. A call whose assistant does not answer comes back to its parking place.
"""

from __future__ import annotations

import re

from fscontrol.esl import call_commands, commands
from fscontrol.esl.client import NodeClient
from fscontrol.media.choice import Choice
from fscontrol.model.call import CallRecord

_PLAIN = re.compile(r"[A-Za-z0-9_.+\-]{1,100}")


class SipAssistants:
    """`profile` is the sofia profile they are called from; `ring_seconds` how long one may ring."""

    def __init__(self, profile: str, ring_seconds: float) -> None:
        self._profile = profile
        self._ring_seconds = max(1, round(ring_seconds))

    def begin(self, node: NodeClient, record: CallRecord, choice: Choice) -> None:
        """Take the call out of its parking place and connect it."""
        headers = {
            "X-Call-Sid": record.call_sid,
            "X-Assistant-Id": str(record.assistant_id or ""),
            "X-Called-Number": record.to_number,
            "X-Agent-Id": record.variables.get("agent_id", ""),
        }
        told = {name: value for name, value in headers.items() if _PLAIN.fullmatch(value)}
        target = call_commands.through_profile(self._profile, choice.target, told)
        caller = record.from_number if commands.DIAL_NUMBER.fullmatch(record.from_number) else ""
        node.request(call_commands.bridge(record.uuid, [target], self._ring_seconds, caller))
