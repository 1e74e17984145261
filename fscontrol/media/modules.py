"""The drivers `audio_stream` and `audio_fork`: modules that a stock FreeSWITCH lacks, where somebody installed them.

Owns: their commands, and following their events: what the assistant says comes as the name of a file, which must be
played; a connection that fails or ends loses the assistant. Refuses: marks, DTMF and pacing; the modules have a
protocol of their own (L16 as binary messages, JSON for the rest), and the assistant must speak that.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

from fscontrol.calls.book import CallBook
from fscontrol.errors import FscontrolError, NotFound
from fscontrol.esl import call_commands
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.media.choice import Choice
from fscontrol.media.driving import Lost
from fscontrol.model.assistant_media import Driver, WhenLost
from fscontrol.model.call import CALL_SID_VARIABLE, CallRecord
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

_PLAIN = re.compile(r"[A-Za-z0-9_.+\-]{1,100}")
_HEADERS_VARIABLE = "STREAM_EXTRA_HEADERS"


@dataclass(frozen=True, slots=True)
class _Events:
    """The names of a module's events, without the module's own."""

    says: str
    clears: str | None
    ended: tuple[str, ...]


_EVENTS = {
    Driver.AUDIO_STREAM: _Events("play", None, ("error", "disconnect")),
    Driver.AUDIO_FORK: _Events("play_audio", "kill_audio", ("error", "connect_failed", "disconnect")),
}


class ModuleAssistants:
    """One of the two modules. `lost` is told of calls whose connection failed or ended."""

    def __init__(self, driver: Driver, book: CallBook, lost: Lost, default: WhenLost) -> None:
        self._driver = driver
        self._book = book
        self._lost = lost
        self._default = default
        self._when_lost: dict[str, WhenLost] = {}

    def follow(self, node: NodeClient, serves: Callable[[str, Event], bool]) -> None:
        """Take the events of a node that are this module's, and ours to act on."""
        events, module = _EVENTS[self._driver], self._driver.module

        def soon(act: Callable[[NodeClient, Event], None]) -> Callable[[Event], None]:
            def handler(event: Event) -> None:
                if serves(node.name, event):
                    spawn(f"{module} event", act, node, event)

            return handler

        node.on_event(f"{module}::{events.says}", soon(self._play))
        if events.clears:
            node.on_event(f"{module}::{events.clears}", soon(self._clear))
        for ended in events.ended:
            node.on_event(f"{module}::{ended}", self._ended)
        node.on_event("CHANNEL_HANGUP_COMPLETE", self._forget)

    def begin(self, node: NodeClient, record: CallRecord, choice: Choice) -> None:
        """Attach the module to the parked call; it connects by itself and tells by events how it went."""
        parameters = {**record.variables, "callSid": record.call_sid, **record.told_to_assistant}
        metadata = {name: value for name, value in parameters.items() if _PLAIN.fullmatch(value)}
        if choice.headers:
            text = json.dumps(dict(choice.headers), separators=(",", ":"))
            node.request(call_commands.set_secret_variable(record.uuid, _HEADERS_VARIABLE, text))
        self._when_lost[record.call_sid] = choice.when_lost
        node.request(
            call_commands.start_module_stream(self._driver.value, record.uuid, choice.target, metadata)
        )

    def _play(self, node: NodeClient, event: Event) -> None:
        """The assistant said something: the module wrote it to a file and waits for nobody."""
        try:
            document = json.loads(event.text)
            path = document.get("file", "") if isinstance(document, dict) else ""
            node.request(call_commands.play(event.get("Unique-ID"), str(path)))
        except (ValueError, FscontrolError) as error:
            extra = {"call_sid": event.variable(CALL_SID_VARIABLE) or "", "reason": str(error)}
            log.warning("what an assistant said cannot be played", extra=extra)

    def _clear(self, node: NodeClient, event: Event) -> None:
        try:
            node.request(call_commands.stop_playing(event.get("Unique-ID")))
        except FscontrolError as error:
            log.info("nothing to clear", extra={"reason": str(error)})

    def _ended(self, event: Event) -> None:
        if event.get("Channel-Call-State") == "HANGUP":
            return  # the call went first, and its connection with it
        call_sid = event.variable(CALL_SID_VARIABLE) or ""
        when_lost = self._when_lost.pop(call_sid, None)
        try:
            record = self._book.get(call_sid)
        except NotFound:
            return
        if not record.status.is_final:
            self._lost(
                record, "assistant_lost", f"{event.name}: {event.text[:200]}", when_lost or self._default
            )

    def _forget(self, event: Event) -> None:
        self._when_lost.pop(event.variable(CALL_SID_VARIABLE) or "", None)
