"""What becomes of a call that has lost its assistant: it is hung up, hears a file and ends, or goes to somebody else.

Owns: the order of it, and that it happens once: a call that comes back from where it was sent is hung up. Refuses: to
leave a caller in silence; whatever of it fails, the call is hung up.
"""

from __future__ import annotations

import logging
from pathlib import Path

from fscontrol.calls.fetched_audio import FetchedAudio
from fscontrol.calls.live import LiveCalls
from fscontrol.calls.transfer import CallTransfer
from fscontrol.errors import CallOver, FscontrolError, NotFound
from fscontrol.esl import call_commands, commands
from fscontrol.model.assistant_media import WhenLost
from fscontrol.model.call import CallRecord
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)


class LostAssistants:
    """`media_dir` is absolute, as FreeSWITCH sees it."""

    def __init__(
        self, calls: LiveCalls, transfer: CallTransfer, audio: FetchedAudio, media_dir: Path
    ) -> None:
        self._calls = calls
        self._transfer = transfer
        self._audio = audio
        self._media_dir = media_dir

    def __call__(self, record: CallRecord, reason: str, detail: str, when_lost: WhenLost) -> None:
        """Do it, in the background; the reason and what was done go on the record."""
        spawn(f"assistant lost {record.call_sid}", self._lost, record.call_sid, reason, detail, when_lost)

    def _lost(self, call_sid: str, reason: str, detail: str, when_lost: WhenLost) -> None:
        try:
            call = self._calls.live(call_sid)
        except (CallOver, NotFound):
            return
        came_back = bool(call.reason)
        self._calls.book.amend(call_sid, reason=call.reason or reason)
        self._calls.note(call, "assistant", reason, detail)
        try:
            if came_back or when_lost.action == "hangup":
                self._hang_up(call)
            elif when_lost.action == "play":
                self._say_farewell(call, when_lost.target)
            elif when_lost.target.startswith("sip"):
                self._transfer.to_uri(call_sid, when_lost.target)
            else:
                self._transfer.to_number(call_sid, when_lost.target)
        except CallOver:
            return
        except FscontrolError as error:
            log.warning("a lost call could not be helped", extra={"call_sid": call_sid, "reason": str(error)})
            self._calls.note(call, "assistant", "hanging up", str(error))
            self._hang_up(call)

    def _say_farewell(self, call: CallRecord, target: str) -> None:
        is_url = target.startswith(("http://", "https://"))
        path = str(self._audio.file_for(target) if is_url else self._media_dir / target)
        if self._calls.tell(call, call_commands.file_exists(path)) != "true":
            raise NotFound(f"FreeSWITCH finds no audio file {target!r}")
        self._calls.tell(call, call_commands.say_farewell(call.uuid, path))
        self._calls.note(call, "play", "farewell", target)

    def _hang_up(self, call: CallRecord) -> None:
        try:
            self._calls.tell(call, commands.kill_channel(call.uuid))
        except FscontrolError as error:
            log.warning(
                "a call could not be hung up", extra={"call_sid": call.call_sid, "reason": str(error)}
            )
