"""Carrying out what a trunk's inbound rule decided, on the call socket, before anything is answered.

Owns: fetching the audio, telling the webhook, answering and playing, each with a deadline and given up at once when the
caller hangs up. Refuses: deciding (`rules`), and holding the call: what plays is FreeSWITCH's own, after the socket has
closed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fscontrol.backend import messages, signature
from fscontrol.calls import rules
from fscontrol.calls.finding import Trail
from fscontrol.calls.routing import Reason, Reject
from fscontrol.calls.rules import GoOn, InboundRules, NotifyThenReject, PlayAndHangUp, RejectByRule
from fscontrol.errors import FscontrolError
from fscontrol.esl import call_commands
from fscontrol.esl.call_socket import CallSession
from fscontrol.model.call import CallRecord

log = logging.getLogger(__name__)


class Tells(Protocol):
    """How a webhook is told: `backend.outside.Outside`."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str], deadline_seconds: float) -> int: ...


class FindsAudio(Protocol):
    """How a URL becomes a file: `fetched_audio.FetchedAudio`."""

    def file_for(self, url: str) -> Path: ...


@dataclass(frozen=True, slots=True)
class Play:
    """The call is to be answered, to hear this file and to end: `hand_over` does it."""

    path: Path

    def hand_over(self, session: CallSession) -> None:
        """After the answer: FreeSWITCH plays and hangs up; the socket may close."""
        session.execute("transfer", call_commands.play_and_hang_up(str(self.path)))


class RuleActions:
    """`deadline` (seconds) bounds what a call waits for, be it the audio or the webhook."""

    def __init__(
        self, audio: FindsAudio, outside: Tells, deadline: float, clock: Callable[[], float]
    ) -> None:
        self._audio = audio
        self._outside = outside
        self._deadline = deadline
        self._clock = clock

    def apply(
        self, session: CallSession, record: CallRecord, given: InboundRules, trail: Trail
    ) -> Reject | Play | None:
        """What becomes of a routed call: refused, played to, or (None) on to its assistant. Raises `CallerGone`."""
        action = rules.decide(given)
        match action:
            case GoOn():
                return None
            case RejectByRule():
                return self._refusal(trail, action.detail, action.sip_code)
            case PlayAndHangUp():
                return self._play(session, action, trail)
            case NotifyThenReject():
                return self._notify(session, record, action, trail)

    def _play(self, session: CallSession, action: PlayAndHangUp, trail: Trail) -> Reject | Play:
        def fetch() -> Path | str:
            try:
                return self._audio.file_for(action.url)
            except FscontrolError as error:
                return str(error)

        found = session.run_unless_gone(fetch, self._deadline)
        if isinstance(found, Path):
            trail.note("rule", "play and hang up", action.detail)
            return Play(found)
        why = f"no audio within {self._deadline:g} s" if found is None else found
        return self._refusal(trail, f"{action.detail}; {why}", action.sip_code)

    def _notify(
        self, session: CallSession, record: CallRecord, action: NotifyThenReject, trail: Trail
    ) -> Reject:
        def tell() -> str:
            try:
                return f"the webhook answered {self._tell(record, action)}"
            except FscontrolError as error:
                return str(error)

        said = session.run_unless_gone(tell, self._deadline)
        if said is None:
            said = f"no answer of the webhook within {self._deadline:g} s"
        return self._refusal(trail, f"{action.detail}; {said}", action.sip_code)

    def _tell(self, record: CallRecord, action: NotifyThenReject) -> int:
        """The body of `call.incoming`; the trunk's token is its bearer and its signing key (CONTRACTS.md §6)."""
        now = self._clock()
        body = messages.incoming(record, now).body.encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"{record.call_sid}:rule"}
        if action.token.get_secret_value():
            headers["Authorization"] = f"Bearer {action.token.get_secret_value()}"
            headers[signature.HEADER] = signature.sign(action.token, body, now)
        return self._outside.post(action.url, body, headers, self._deadline)

    @staticmethod
    def _refusal(trail: Trail, detail: str, code: int) -> Reject:
        trail.note("rule", Reason.REJECTED_BY_RULE, detail)
        return Reject(Reason.REJECTED_BY_RULE, detail, code)
