"""Calls that talk and of which the store knows nothing, or not that they were answered: they are taken in.

A call may be decided while the store is away, its record waiting in the process that decided it; killed then, it takes
the record with it. Owns: waiting for whoever may still have the record, then making it anew of what the channel knows.
Refuses: to count the time in which the store is away; to leave a call in silence that nobody can say anything of.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import gevent

from fscontrol.calls.announcing import Tell
from fscontrol.calls.book import CallBook
from fscontrol.calls.endings import epoch_seconds
from fscontrol.calls.limits import Places
from fscontrol.calls.on_channel import RECORD_VARIABLE, record_of
from fscontrol.errors import CommandRefused, FscontrolError, NotFound, StoreError
from fscontrol.esl import call_commands, commands
from fscontrol.esl.client import NodeClient
from fscontrol.model.call import CALL_SID_VARIABLE, CallRecord, CallStatus, Step
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0
"""Longer than a process that lives takes to write what waited for the store."""
AGAIN_SECONDS = 0.5


class UnrecordedCalls:
    """`is_ours` says of a node's name whether this control plane steers it; `take_over`, set once both are made, gives
    a call its assistant.
    """

    def __init__(
        self,
        book: CallBook,
        limits: Places,
        is_ours: Callable[[str], bool],
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._book = book
        self._limits = limits
        self._is_ours = is_ours
        self.take_over: Callable[[NodeClient, str], None] = lambda _node, _call_sid: None
        self._patience = patience
        self._looked_after: set[str] = set()

    def look_at(self, node: NodeClient, uuid: str) -> None:
        """A channel that no record names: is it a call of ours? Raises `EslError`."""
        try:
            call_sid = node.request(call_commands.get_channel_variable(uuid, CALL_SID_VARIABLE)).strip()
        except CommandRefused:
            return  # gone meanwhile
        if call_sid and call_sid != "_undef_":
            self.soon(node, uuid, call_sid)

    def soon(self, node: NodeClient, uuid: str, call_sid: str) -> None:
        """In the background, once for each call."""
        if call_sid not in self._looked_after:
            self._looked_after.add(call_sid)
            spawn(f"unrecorded {call_sid}", self._look_after, node, uuid, call_sid)

    def _look_after(self, node: NodeClient, uuid: str, call_sid: str) -> None:
        try:
            record, left = None, self._patience
            while self._is_ours(node.name):
                try:
                    record = self._book.get(call_sid)
                except NotFound:
                    pass
                except StoreError:
                    left += AGAIN_SECONDS
                if record is not None and (record.status.is_final or record.status is CallStatus.IN_PROGRESS):
                    break
                if left <= 0:
                    record = self._taken_in(node, uuid, call_sid, record)
                    break
                left -= AGAIN_SECONDS
                gevent.sleep(AGAIN_SECONDS)
            if record is not None and not record.status.is_final and self._is_ours(node.name):
                self.take_over(node, call_sid)
        except FscontrolError as error:
            # The next comparison of the node's calls finds it again.
            log.warning("a call is not taken in", extra={"call_sid": call_sid, "reason": str(error)})
        finally:
            self._looked_after.discard(call_sid)

    def _taken_in(
        self, node: NodeClient, uuid: str, call_sid: str, record: CallRecord | None
    ) -> CallRecord | None:
        """The record as it is from now on; None for a call that is over, not answered, or ended here."""
        channel = _channel(node, uuid)
        if channel is None or channel.get("Answer-State") != "answered":
            return None  # its own end closes it
        if record is None:
            record = record_of(channel.get(f"variable_{RECORD_VARIABLE}", ""))
            if record is None or record.call_sid != call_sid:
                log.error(
                    "a call without a record is hung up", extra={"call_sid": call_sid, "node": node.name}
                )
                node.request(commands.kill_channel(uuid, "NORMAL_TEMPORARY_FAILURE"))
                return None
            record = self._book.put(record, Tell.INCOMING | Tell.STATUS)
        log.warning("a call's record is made anew of its channel", extra={"call_sid": call_sid})
        answered_at = epoch_seconds(channel.get("Caller-Channel-Answered-Time", "")) or record.started_at
        note = Step(at=answered_at - record.started_at, step="record", decision="made anew of the channel")
        changes = {
            "status": CallStatus.IN_PROGRESS, "sip_status": 200, "answered_at": answered_at,
            "steps": (*record.steps, note),
        }  # fmt: skip
        self._limits.restore(call_sid, record.scopes)
        return self._book.put(record.model_copy(update=changes), Tell.STATUS)


def _channel(node: NodeClient, uuid: str) -> dict[str, str] | None:
    try:
        found = json.loads(node.request(call_commands.channel(uuid)))
    except (CommandRefused, ValueError):
        return None
    return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else None
