"""One attempt: an INVITE is asked for, and followed until it is answered or known to be over.

Owns: what to do while that is not known: ask by the leg's own name once its node is heard again, end it when somebody
wants that or when it rang for long enough. Refuses: to call an attempt over because nothing is heard of it; only
FreeSWITCH's word counts, or a node that has been gone for longer than any leg rings.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Literal

from fscontrol.calls.channel_state import is_answered
from fscontrol.calls.legs import Leg
from fscontrol.errors import CommandRefused, EslError, NodeUnreachable
from fscontrol.esl import call_commands, commands
from fscontrol.esl.client import NodeClient
from fscontrol.esl.commands import Command

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
_HANGUP_FOLLOWS_SECONDS = 1.0
"""A job's result comes before its leg's hang-up (captures), by less than this."""
_LATE_SECONDS = 5.0
"""FreeSWITCH itself ends a leg that rings on where we are not heard; by this much later it surely has."""
LOST_FOR_GOOD_SECONDS = 60.0
"""Beyond the ringing: a node that is not heard for so long has no leg any more that anybody could find."""
_WITHOUT_CHANNEL = frozenset({"GATEWAY_DOWN", "INVALID_GATEWAY", "INVALID_PROFILE", "CHAN_NOT_IMPLEMENTED"})

Found = Literal["answered", "ended", "unseen"]
"""`unseen`: it is over, and nobody can say how it went."""


class Attempting:
    """One attempt on its node. `wanted` says whether it is to end; `told` hears of changes."""

    def __init__(
        self,
        node: NodeClient,
        leg: Leg,
        ring_seconds: int,
        progress_seconds: int,
        wanted: Callable[[], bool],
        told: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._leg = leg
        self._wanted = wanted
        self._told = told
        self._clock = clock
        self._progress_until = clock() + progress_seconds
        self._rings_until = clock() + ring_seconds
        self._pause = LOOK_SECONDS
        self._refused_at: float | None = None

    def run(self, command: Command) -> Found:
        """Ask for it and wait until its outcome is known."""
        leg = self._leg
        try:
            self._node.request(command)
        except CommandRefused as error:
            leg.job = f"-ERR {str(error)[:80]}"
            return "ended"
        except EslError as error:  # whether FreeSWITCH has read it nobody knows
            log.warning("an originate got no reply", extra={"node": self._node.name, "reason": str(error)})
            leg.doubt()
        while True:
            leg.changed.wait(self._pause)
            leg.changed.clear()
            self._told()
            if leg.is_known:
                break
            if (found := self._look()) is not None:
                return found
        return "answered" if leg.answered_at is not None else "ended"

    def _look(self) -> Found | None:
        now = self._clock()
        left = self._rings_until - now
        self._pause = min(LOOK_SECONDS, left) if left > 0 else LOOK_SECONDS
        if leg_refused := self._leg.refusal:
            return self._after_refusal(leg_refused, now)
        if self._leg.in_doubt:
            return self._resolve(now)
        if self._wanted():
            self._end("ORIGINATOR_CANCEL")
        elif self._leg.ringing_at is None and now > self._progress_until:
            self._end("PROGRESS_TIMEOUT")
        elif left <= 0:
            self._end("NO_ANSWER")
        return None

    def _after_refusal(self, cause: str, now: float) -> Found | None:
        """The job says it failed; its leg's hang-up says how, where there was a leg."""
        if cause in _WITHOUT_CHANNEL:
            return "ended"
        if self._refused_at is None:
            self._refused_at = now
        if now - self._refused_at < _HANGUP_FOLLOWS_SECONDS:
            return None
        return "ended" if self._exists() is False else None

    def _resolve(self, now: float) -> Found | None:
        """Its node was away: ask for it by name."""
        exists = self._exists()
        if exists is None:
            return "unseen" if now > self._rings_until + _LATE_SECONDS + LOST_FOR_GOOD_SECONDS else None
        if self._leg.is_known:
            return None
        if not exists:
            return "unseen"
        try:
            answered = is_answered(self._node.request(call_commands.channel(self._leg.uuid)))
        except EslError:
            return None  # gone this very moment, or its node is again
        self._leg.in_doubt = False
        if answered and self._leg.answered_at is None:
            self._leg.answered_at = time.time()
        return None

    def _exists(self) -> bool | None:
        """None: the node cannot be asked."""
        try:
            return self._node.request(commands.channel_exists(self._leg.uuid)).strip() == "true"
        except EslError:
            return None

    def _end(self, cause: str) -> None:
        try:
            self._node.request(commands.kill_channel(self._leg.uuid, cause))
        except NodeUnreachable:
            self._leg.doubt()
        except EslError:
            return  # not there yet, or not any more: what comes next tells
