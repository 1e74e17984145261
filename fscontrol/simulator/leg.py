"""A leg: a channel that runs dialplan actions, can be parked, told what to do, and hung up from either end.

Owns: the life of one channel in one greenlet, the SIP statuses its caller sees, and the order of its events. Refuses:
SIP and media.

FreeSWITCH keeps to one rule that matters here: `hangup` marks a channel down at once, but its final SIP answer and
CHANNEL_HANGUP_COMPLETE come when the channel's own thread gets there; a lingering call socket delays them (run).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gevent.event import Event

from fscontrol.simulator import causes
from fscontrol.simulator.channel import Channel
from fscontrol.simulator.dialplan import actions_for, expanded
from fscontrol.simulator.live import LiveMedia, inline_actions
from fscontrol.simulator.node import Node

Application = Callable[["Leg", str], None]
_MOST_TRANSFERS = 50
_MOST_QUEUED = 5_000


@dataclass(frozen=True, slots=True)
class Transfer:
    """Where a leg goes when its present action ends."""

    extension: str
    context: str
    actions: tuple[tuple[str, str], ...] | None = None
    """What it does there, where that is given instead of looked up."""


class Leg:
    """One channel at work. `applications` are the dialplan applications it knows by name."""

    def __init__(
        self, node: Node, channel: Channel, applications: dict[str, Application], *, inbound: bool
    ) -> None:
        self.node = node
        self.channel = channel
        self.inbound = inbound
        self.live = LiveMedia()
        self.statuses: list[int] = []
        self.final = Event()
        self.ended = Event()
        self.wake = Event()
        self.transfer: Transfer | None = None
        self.orders: deque[tuple[str, str]] = deque(maxlen=_MOST_QUEUED)
        self.cancel_timers: list[Callable[[], None]] = []
        self.on_end: list[Callable[[], None]] = []
        self.on_down: list[Callable[[], None]] = []
        self._applications = applications
        self._disposition = ""
        self._has_disposition = True

    def run_dialplan(self) -> None:
        """From CHANNEL_CREATE to CHANNEL_DESTROY: route, execute, follow transfers, end."""
        self._fire_state("CS_INIT")
        self.channel.fire("CHANNEL_CREATE")
        try:
            self._route_and_execute()
            self.follow_transfers()
        finally:
            self.finish()

    def follow_transfers(self) -> None:
        """Go where the last action sent the leg, as often as it does."""
        for _ in range(_MOST_TRANSFERS):
            if self.channel.down or not self.transfer:
                return
            self._route_and_execute()

    def _route_and_execute(self) -> None:
        channel, transfer = self.channel, self.transfer
        if transfer:
            channel.profile.destination = transfer.extension
            channel.profile.context = transfer.context
            self.transfer = None
        channel.call_state = "RINGING"
        self._fire_state("CS_ROUTING")
        contexts = self.node.configuration.contexts
        actions, matched = actions_for(contexts.get(channel.profile.context, ()), channel.get)
        if transfer and transfer.actions is not None:
            actions, matched = list(transfer.actions), True
        if not matched:
            self.hang_up("NO_ROUTE_DESTINATION")
            return
        channel.set("DP_MATCH", (channel.profile.destination, channel.profile.destination))
        channel.set("call_uuid", channel.uuid)
        if channel.answer_state == "answered":
            channel.call_state = "ACTIVE"
        self._fire_state("CS_EXECUTE")
        for name, data in actions:
            self.execute(name, data)
            if channel.down or self.transfer:
                return

    def execute(self, name: str, data: str, application_uuid: str = "") -> None:
        """Run one application now; an unknown one does nothing here, as its failure is only logged by FreeSWITCH."""
        channel = self.channel
        data = expanded(data, channel.get, self.node.executed_commands.append)
        channel.application, channel.application_data = name, data
        channel.set("current_application_data", data)
        channel.set("current_application", name)
        extra: list[tuple[str, str | tuple[str, ...]]] = [("Application", name)]
        if data:
            extra.append(("Application-Data", data))
        if application_uuid:
            extra.append(("Application-UUID", application_uuid))
        application = self._applications.get(name)
        if application is None:
            return
        channel.fire("CHANNEL_EXECUTE", extra)
        application(self, data)
        channel.fire("CHANNEL_EXECUTE_COMPLETE", [*extra, ("Application-Response", "_none_")])

    def order(self, name: str, data: str) -> None:
        """Queue an application from `sendmsg UUID`: executed while the leg is parked."""
        self.orders.append((name, data))
        self.wake.set()

    def park(self) -> None:
        """Wait until hung up or transferred, executing what is ordered meanwhile."""
        self.channel.fire("CHANNEL_PARK")
        while not self.channel.down and not self.transfer:
            self.wake.clear()
            if self.orders:
                self.execute(*self.orders.popleft())
                continue
            self.wake.wait()
        self.channel.fire("CHANNEL_UNPARK")

    def pause(self, seconds: float) -> None:
        """Do nothing for that long, or until hung up or told something else."""
        self.wake.clear()
        if not self.channel.down:
            self.node.wait(self.wake, seconds)

    def transfer_to(
        self, extension: str, context: str = "", actions: tuple[tuple[str, str], ...] | None = None
    ) -> None:
        """Go there when the present application ends, or only to other actions; a parked leg goes at once."""
        profile = self.channel.profile
        self.transfer = Transfer(extension or profile.destination, context or profile.context, actions)
        self.wake.set()

    def transfer_inline(self, actions: str) -> None:
        """The same to actions that are given instead of looked up."""
        self.transfer_to(actions, actions=tuple(inline_actions(actions)))

    def ring(self) -> None:
        """180, once."""
        channel = self.channel
        if channel.answer_state == "ringing" and not channel.times["progress"] and not channel.down:
            channel.mark("progress")
            self._status(180)
            channel.fire("CHANNEL_PROGRESS")

    def pre_answer(self) -> None:
        """183 with media, once."""
        if self.channel.answer_state == "ringing" and not self.channel.down:
            self._media()
            self._status(183)

    def answer(self) -> None:
        """200, once. Media starts with it, so CHANNEL_PROGRESS_MEDIA comes first when there was none."""
        channel = self.channel
        if channel.answer_state in ("answered", "hangup") or channel.down:
            return
        if not channel.times["progress_media"] and self.inbound:
            self._media()
        if channel.call_state == "RINGING":
            channel.call_state = "EARLY"
        channel.mark("answered")
        channel.answer_state = "answered"
        channel.set("endpoint_disposition", "ANSWER")
        self._status(200)
        channel.fire("CHANNEL_ANSWER")
        channel.call_state = "ACTIVE"

    def respond(self, status: int) -> None:
        """An exact SIP answer on an unanswered leg: from 300 on it ends the call. After 200 it hangs up."""
        if self.channel.down or not 100 < status < 700:
            return
        if self.channel.answer_state == "answered":
            self.hang_up(causes.cause_of(status))
        elif status < 300:
            self._status(status)
        else:
            self._status(status)
            self.hang_up(causes.cause_of(status))

    def refused(self, disposition: str = "recv_refuse") -> None:
        """The far end refused an outbound leg: what SIP saw is set already. Some refusals have no disposition."""
        self._disposition = disposition
        self._has_disposition = bool(disposition)

    def leave(self, cause: str) -> None:
        """The caller's side ends the call: CANCEL before the answer, BYE after it."""
        if self.channel.times["answered"]:
            self.hang_up(cause, "recv_bye")
        else:
            self.hang_up("ORIGINATOR_CANCEL", "recv_cancel")

    def hang_up(self, cause: str, disposition: str = "") -> None:
        """Mark the leg down. `disposition` is what SIP saw: recv_bye, recv_cancel, or empty for our own doing."""
        channel = self.channel
        if channel.down:
            return
        channel.cause = cause
        channel.mark("hangup")
        answered = bool(channel.times["answered"])
        channel.answer_state = "hangup"
        own = "send_bye" if answered else "send_refuse" if self.inbound else "send_cancel"
        self._disposition = disposition or self._disposition or own
        if disposition == "recv_cancel":
            channel.set("sip_hangup_disposition", disposition)
            self._status(487)
        if disposition:
            self._term_variables(200 if answered else self.statuses[-1] if self.statuses else 0)
        channel.fire("CHANNEL_HANGUP")
        self.wake.set()
        for callback in self.on_down:
            callback()

    def _term_variables(self, status: int) -> None:
        channel = self.channel
        if status >= 400:
            channel.set("sip_invite_failure_status", str(status))
            channel.set("sip_invite_failure_phrase", "CANCEL" if status == 487 else "")
        channel.set("sip_term_status", str(status))
        channel.set("proto_specific_hangup_cause", f"sip:{status}")
        channel.set("sip_term_cause", "487" if status == 487 else str(causes.Q850.get(channel.cause, 16)))

    def finish(self) -> None:
        """The channel's own thread has got there: the final answer, the last events, gone."""
        channel = self.channel
        if self.ended.is_set():
            return
        if not channel.down:
            self.hang_up("NORMAL_CLEARING")
        if self.inbound and not self.final.is_set():
            self._status(causes.sip_status(channel.cause))
        if self.inbound and not channel.times["answered"]:
            self.node.failed_calls_in += 1
        for cancel in self.cancel_timers:
            cancel()
        self._fire_state("CS_HANGUP")
        channel.call_state = "HANGUP"
        if channel.has_caller and self._has_disposition:
            channel.set("sip_hangup_disposition", self._disposition)
        channel.set_final_variables()
        self._fire_state("CS_REPORTING")
        channel.fire("CHANNEL_HANGUP_COMPLETE")
        self.node.legs.pop(channel.uuid, None)
        channel.fire("CHANNEL_DESTROY")
        self._fire_state("CS_DESTROY")
        self.ended.set()
        for callback in self.on_end:
            callback()

    def _fire_state(self, state: str) -> None:
        self.channel.state = state
        self.channel.fire("CHANNEL_STATE")

    def _status(self, status: int) -> None:
        if self.inbound and not self.final.is_set():
            self.statuses.append(status)
        if status >= 200:
            self.final.set()

    def _media(self) -> None:
        channel = self.channel
        channel.mark("progress_media")
        channel.answer_state = "early"
        port = random.randrange(16384, 32768, 2)  # noqa: S311  (a port number, not a secret)
        for name, value in (
            ("remote_audio_media_flow", "sendrecv"),
            ("audio_media_flow", "sendrecv"),
            ("rtp_use_codec_name", "PCMU"),
            ("rtp_use_codec_rate", "8000"),
            ("rtp_use_codec_ptime", "20"),
            ("read_codec", "PCMU"),
            ("read_rate", "8000"),
            ("write_codec", "PCMU"),
            ("write_rate", "8000"),
            ("local_media_ip", "127.0.0.1"),
            ("local_media_port", str(port)),
            ("endpoint_disposition", "EARLY MEDIA"),
        ):
            channel.set(name, value)
        channel.fire("CHANNEL_PROGRESS_MEDIA")
