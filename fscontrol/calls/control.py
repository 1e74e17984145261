"""Control of a live call over its node's persistent connection: end, play, DTMF, hold, mute, record.

Owns: what is sent for each action, and when there is nothing to do because it is so already. Refuses: what `live`
refuses, and files outside the media directory. Transfers stand in `transfer`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import gevent

from fscontrol.calls.channel_state import HELD_VARIABLE, MUTED_VARIABLE, RECORDINGS_VARIABLE
from fscontrol.calls.fetched_audio import FetchedAudio
from fscontrol.calls.live import LiveCalls, Outcome
from fscontrol.errors import CallOver, CommandRefused, EslError, FscontrolError, NotFound
from fscontrol.esl import call_commands, commands
from fscontrol.esl.call_commands import Direction
from fscontrol.esl.event import Event
from fscontrol.model.call import CALL_SID_VARIABLE, CallRecord, CallStatus
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

_RE_INVITE_ANSWERED_SECONDS = 0.5
"""FreeSWITCH answers the re-INVITE a quarter of a second after CHANNEL_HOLD; hung up at once it says 488 (run)."""

Muted = Literal["caller", "assistant", "both"]
_DIRECTIONS: dict[Muted, tuple[Direction, ...]] = {
    "caller": ("read",),
    "assistant": ("write",),
    "both": ("read", "write"),
}


class CallControl:
    """The actions. `has_stream` says whether an assistant's audio flows through `unicast`; `terminates_on_hold` whether
    a call's trunk wants that; `cancel` ends a call that is being placed here, if it is; `wish` leaves word for whoever
    places it, False when that was left before.
    `media_dir` and `recordings_dir` are absolute, as FreeSWITCH sees them.
    """

    def __init__(
        self,
        calls: LiveCalls,
        audio: FetchedAudio,
        *,
        media_dir: Path,
        recordings_dir: Path,
        has_stream: Callable[[str], bool],
        terminates_on_hold: Callable[[CallRecord], bool],
        wish: Callable[[str], bool],
        cancel: Callable[[str], bool] = lambda _call_sid: False,
    ) -> None:
        self._calls = calls
        self._audio = audio
        self._media_dir = media_dir
        self._recordings_dir = recordings_dir
        self._has_stream = has_stream
        self._terminates_on_hold = terminates_on_hold
        self._wish = wish
        self._cancel = cancel

    def terminate(self, call_sid: str, cause: str = "NORMAL_CLEARING") -> Outcome:
        """Hang up. A call that was ended by this very action has been ended already; any other end is `CallOver`."""
        with self._calls.lock(call_sid):
            record = self._calls.book.get(call_sid)
            was_ended = any(step.step == "terminate" for step in record.steps)
            is_known = self._calls.book.knows(call_sid)
            if was_ended and (is_known or record.status.is_final):
                return Outcome("the call has been ended", already=True)
            call = self._calls.live(call_sid)
            if call.is_being_placed and (ended := self._end_placing(call)) is not None:
                return ended
            call = self._calls.live(call_sid)
            if not is_known and not was_ended:
                # Another control plane's: noted after its end was written, this would undo it.
                self._calls.note(call, "terminate", "hung up", cause)
            self._calls.tell(call, commands.kill_channel(call.uuid, cause))
            if is_known:
                self._calls.note(call, "terminate", "hung up", cause)
            return Outcome("the call is ended", already=was_ended)

    def _end_placing(self, call: CallRecord) -> Outcome | None:
        """End a call that nobody has answered; None: it was answered, or ended, at this very moment.

        Its record is its placer's: what we write of a call that another control plane places would undo what that one
        writes. The wish comes first and the record is read after it; the placer writes first and looks for wishes after
        that. So one of the two sees the other.
        """
        if self._cancel(call.call_sid):
            return Outcome("the call is ended")
        is_new = self._wish(call.call_sid)
        now = self._calls.book.get(call.call_sid)
        if now.status is CallStatus.CANCELED:
            return Outcome("the call is ended", already=not is_new)
        if not now.is_being_placed:
            return None
        try:
            if now.uuid:
                self._calls.tell(now, commands.kill_channel(now.uuid, "ORIGINATOR_CANCEL"))
        except (CallOver, EslError):
            log.info("a call is left to whoever places it", extra={"call_sid": call.call_sid})
        return Outcome("the call ends: it is not placed any further", already=not is_new)

    def play(self, call_sid: str, *, file: str = "", url: str = "", mix: bool = False) -> Outcome:
        """Play a file of the media directory, or the audio of a URL, in place of what plays now.

        With an assistant's stream `mix` puts it over the conversation; without, caller and assistant hear no other.
        """
        self._calls.answered(call_sid)
        found = self._audio.file_for(url) if url else self._media_dir / call_commands.media_file(file)
        path = str(found)
        with self._calls.lock(call_sid):
            call = self._calls.answered(call_sid)
            if self._calls.tell(call, call_commands.file_exists(path)) != "true":
                raise NotFound(f"FreeSWITCH finds no audio file {file or found.name!r}")
            self._stop_playing(call)
            if self._has_stream(call_sid):
                self._calls.tell(call, call_commands.play_over(call.uuid, path, mix=mix))
            else:
                self._calls.tell(call, call_commands.play(call.uuid, path))
            self._calls.note(call, "play", "started", file or found.name)
        return Outcome("it is played")

    def stop(self, call_sid: str) -> Outcome:
        """End what `play` plays."""
        with self._calls.lock(call_sid):
            call = self._calls.answered(call_sid)
            if not self._stop_playing(call):
                return Outcome("nothing was playing", already=True)
            self._calls.note(call, "play", "stopped")
            return Outcome("nothing is played any more")

    def send_dtmf(self, call_sid: str, digits: str) -> Outcome:
        """Send digits to the far end. How many goes on the record, and never which: they may be somebody's PIN."""
        with self._calls.lock(call_sid):
            call = self._calls.answered(call_sid)
            self._calls.tell(call, call_commands.send_dtmf(call.uuid, digits))
            self._calls.note(call, "dtmf", "sent", f"{len(digits)} digits")
            return Outcome("the digits are sent")

    def hold(self, call_sid: str) -> Outcome:
        """Put the far end on hold."""
        with self._calls.lock(call_sid):
            call = self._calls.answered(call_sid)
            if self._calls.channel(call).is_held:
                return Outcome("the call is on hold", already=True)
            self._calls.tell(call, call_commands.set_channel_variable(call.uuid, HELD_VARIABLE, "true"))
            try:
                self._calls.tell(call, call_commands.hold(call.uuid))
            except CommandRefused:
                self._calls.tell(call, call_commands.set_channel_variable(call.uuid, HELD_VARIABLE, ""))
                raise
            self._calls.note(call, "hold", "held")
            return Outcome("the call is on hold")

    def resume(self, call_sid: str) -> Outcome:
        """Take the far end off hold."""
        with self._calls.lock(call_sid):
            call = self._calls.answered(call_sid)
            if not self._calls.channel(call).is_held:
                return Outcome("the call is not on hold", already=True)
            self._calls.tell(call, call_commands.resume(call.uuid))
            self._calls.tell(call, call_commands.set_channel_variable(call.uuid, HELD_VARIABLE, ""))
            self._calls.note(call, "hold", "resumed")
            return Outcome("the call is not on hold any more")

    def mute(self, call_sid: str, who: Muted = "caller") -> Outcome:
        """Let nobody hear the caller, the assistant, or both."""
        with self._calls.lock(call_sid):
            call = self._calls.answered(call_sid)
            muted = self._calls.channel(call).muted
            if muted == who:
                return Outcome(f"muted: {who}", already=True)
            if muted:
                self._calls.tell(call, call_commands.unmute(call.uuid))
            for direction in _DIRECTIONS[who]:
                self._calls.tell(call, call_commands.mute(call.uuid, direction))
            self._calls.tell(call, call_commands.set_channel_variable(call.uuid, MUTED_VARIABLE, who))
            self._calls.note(call, "mute", "muted", who)
            return Outcome(f"muted: {who}")

    def unmute(self, call_sid: str) -> Outcome:
        """Let everybody be heard."""
        with self._calls.lock(call_sid):
            call = self._calls.answered(call_sid)
            if not self._calls.channel(call).muted:
                return Outcome("nobody is muted", already=True)
            self._calls.tell(call, call_commands.unmute(call.uuid))
            self._calls.tell(call, call_commands.set_channel_variable(call.uuid, MUTED_VARIABLE, ""))
            self._calls.note(call, "mute", "unmuted")
            return Outcome("nobody is muted any more")

    def start_recording(self, call_sid: str) -> Outcome:
        """Record both sides to CALL_SID.wav, a later recording of the same call to CALL_SID-2.wav and so on."""
        with self._calls.lock(call_sid):
            call = self._calls.answered(call_sid)
            if running := self._calls.media_bugs(call).recording:
                return Outcome("it is being recorded", already=True, file=Path(running[0]).name)
            number = self._calls.channel(call).recordings + 1
            path = self._recordings_dir / f"{call_sid}{f'-{number}' if number > 1 else ''}.wav"
            begun = call_commands.set_channel_variable(call.uuid, RECORDINGS_VARIABLE, str(number))
            self._calls.tell(call, begun)  # first: a file that was begun is never written over
            self._calls.tell(call, call_commands.start_recording(call.uuid, str(path)))
            self._calls.note(call, "record", "started", path.name)
            return Outcome("it is recorded", file=path.name)

    def stop_recording(self, call_sid: str) -> Outcome:
        """End the recording; its file is whole then. A call that ends ends it as well."""
        with self._calls.lock(call_sid):
            call = self._calls.answered(call_sid)
            running = self._calls.media_bugs(call).recording
            if not running:
                return Outcome("nothing is being recorded", already=True)
            for path in running:
                self._calls.tell(call, call_commands.stop_recording(call.uuid, path))
            self._calls.note(call, "record", "stopped", Path(running[0]).name)
            return Outcome("it is not recorded any more", file=Path(running[0]).name)

    def on_hold(self, event: Event) -> None:
        """CHANNEL_HOLD: the far end sent sendonly, inactive or 0.0.0.0 (run). Ends the call if its trunk says so."""
        call_sid = event.variable(CALL_SID_VARIABLE)
        if call_sid and not event.variable(HELD_VARIABLE):
            spawn("far end held", self._far_end_held, call_sid)

    def _far_end_held(self, call_sid: str) -> None:
        try:
            call = self._calls.live(call_sid)
            self._calls.note(call, "far end", "put the call on hold")
            if self._terminates_on_hold(call):
                self._calls.note(call, "terminate_on_hold", "hanging up")
                gevent.sleep(_RE_INVITE_ANSWERED_SECONDS)
                self._calls.tell(call, commands.kill_channel(call.uuid))
        except (NotFound, CallOver):
            return
        except FscontrolError as error:
            log.warning("a held call stays", extra={"call_sid": call_sid, "reason": str(error)})

    def _stop_playing(self, call: CallRecord) -> bool:
        """Whether anything may have been playing."""
        over = self._calls.media_bugs(call).playing
        for path in over:
            self._calls.tell(call, call_commands.stop_playing_over(call.uuid, path))
        # The name of the last application stays when it has ended: this stops what plays and, harmlessly, what did.
        played = self._calls.channel(call).application == "playback"
        if played:
            self._calls.tell(call, call_commands.stop_playing(call.uuid))
        return bool(over) or played
