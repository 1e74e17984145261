"""The assistants' side of the house, put together from the settings; the composition root asks for it once.

Owns: which drivers there are, and which events go to which. Refuses: rules of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fscontrol.calls.book import CallBook
from fscontrol.calls.limits import Places
from fscontrol.calls.sharing import Sharing
from fscontrol.calls.sources import TrunkSources
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.esl.nodes import Nodes
from fscontrol.media.choice import MediaDefaults
from fscontrol.media.drivers import Drivers
from fscontrol.media.driving import Lost, MediaDriver, Note
from fscontrol.media.ends import Deadlines
from fscontrol.media.modules import ModuleAssistants
from fscontrol.media.relay import Relay
from fscontrol.media.sip_assistant import SipAssistants
from fscontrol.media.unrecorded import UnrecordedCalls
from fscontrol.model.assistant_media import AssistantMedia, Driver, WhenLost
from fscontrol.model.call import CALL_SID_VARIABLE, CallRecord, MediaFigures
from fscontrol.settings import Settings


@dataclass(frozen=True, slots=True)
class Assistants:
    """Everything that carries audio."""

    drivers: Drivers
    relay: Relay
    modules: tuple[ModuleAssistants, ...]
    unrecorded: UnrecordedCalls

    def start(self) -> None:
        """Begin keeping time."""
        self.relay.start()

    def stop(self) -> None:
        """End the streams; the calls stay parked in FreeSWITCH."""
        self.relay.stop()

    def follow(self, node: NodeClient, serves: Callable[[str, Event], bool]) -> None:
        """Take the events of a node that concern them; `hung_up` is for its CHANNEL_HANGUP_COMPLETE.

        Only a call that is ours to serve (`calls/sharing`) gets its assistant from us.
        """

        def while_ours(handler: Callable[[NodeClient, Event], None]) -> Callable[[Event], None]:
            return lambda event: handler(node, event) if serves(node.name, event) else None

        node.on_event("CHANNEL_PARK", while_ours(self.drivers.parked))
        node.on_event("CHANNEL_UNPARK", self.relay.unparked)
        node.on_event("DTMF", self.relay.dtmf)
        node.on_event("CHANNEL_UNHOLD", while_ours(self._unheld))
        for module in self.modules:
            module.follow(node, serves)

    def leave(self, node: str) -> None:
        """Another control plane steers the node now, or may, and takes its calls up."""
        self.relay.leave(node)

    def _unheld(self, node: NodeClient, event: Event) -> None:
        call_sid = event.variable(CALL_SID_VARIABLE) or ""
        self.drivers.unheld(node, event, is_carried=self.relay.carries(call_sid))

    def hung_up(self, event: Event) -> MediaFigures | None:
        """A call is over; what the relay saw of it, where it carried it."""
        return self.relay.hung_up(event)

    def take_over(self, node: NodeClient, call_sid: str) -> None:
        """After a restart, or a node's absence: a call in progress without a stream gets one."""
        if not self.relay.carries(call_sid):
            self.drivers.take_over(node, call_sid)

    def end_finished(self) -> None:
        """End the streams of calls that ended unseen."""
        self.relay.end_finished()


def make_media(
    settings: Settings,
    nodes: Nodes,
    book: CallBook,
    limits: Places,
    sharing: Sharing,
    sources: TrunkSources,
    lost: Lost,
    note: Note,
    profile: str,
) -> Assistants:
    """`profile` is the sofia profile that SIP assistants are called from."""
    defaults = MediaDefaults(
        driver=settings.media_driver,
        stream_url=settings.stream_url,
        stream_token=settings.stream_key,
        sip_uri=settings.assistant_sip_uri,
        when_lost=WhenLost.parse(settings.when_assistant_lost or "hangup"),
        hosts=settings.assistant_hosts,
    )
    deadlines = Deadlines(settings.stream_first_audio_seconds, settings.stream_idle_seconds)
    relay = Relay(settings.stream_open_seconds, deadlines, book, lost, note)
    modules = {
        driver: ModuleAssistants(driver, book, lost, defaults.when_lost)
        for driver in (Driver.AUDIO_STREAM, Driver.AUDIO_FORK)
    }
    sip = SipAssistants(profile, settings.stream_open_seconds)

    def said(record: CallRecord) -> AssistantMedia | None:
        return sources.media_for(str(record.organization_id), record.trunk_id or "", record.direction)

    by_name: dict[Driver, MediaDriver] = {Driver.RELAY: relay, Driver.SIP: sip, **modules}
    unrecorded = UnrecordedCalls(book, limits, sharing.is_ours)
    drivers = Drivers(by_name, nodes, book, said, defaults, lost, note, unrecorded.soon, sharing.me)
    made = Assistants(drivers, relay, tuple(modules.values()), unrecorded)
    unrecorded.take_over = made.take_over
    return made
