"""Everything that acts on live calls, put together from the settings; the composition root asks for it once.

Owns: how the parts fit, and what of an organisation they look up in the store. Refuses: rules of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from fscontrol.backend.outside import Outside
from fscontrol.calls.book import CallBook
from fscontrol.calls.caller_ids import is_anothers
from fscontrol.calls.control import CallControl
from fscontrol.calls.fetched_audio import FetchedAudio
from fscontrol.calls.live import LiveCalls
from fscontrol.calls.lost_assistants import LostAssistants
from fscontrol.calls.rule_actions import RuleActions
from fscontrol.calls.transfer import CallTransfer, outbound_gateways
from fscontrol.calls.wishes import Wishes
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.esl.nodes import Nodes
from fscontrol.model.call import CallRecord
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk
from fscontrol.settings import Settings
from fscontrol.store.base import Store


@dataclass(frozen=True, slots=True)
class Controls:
    """What acts on a live call, and what carries out a trunk's inbound rule before there is one."""

    control: CallControl
    transfer: CallTransfer
    rules: RuleActions
    lost: LostAssistants
    calls: LiveCalls

    def note_stream(self, call_sid: str, decision: str, detail: str) -> None:
        """Leave a step about a call's stream on its record."""
        self.calls.note(self.calls.book.get(call_sid), "stream", decision, detail)

    def follow(self, node: NodeClient, serves: Callable[[str, Event], bool]) -> None:
        """Take the events of a node that concern them and are ours to act on (`calls/sharing`)."""

        def while_ours(handler: Callable[[Event], None]) -> Callable[[Event], None]:
            return lambda event: handler(event) if serves(node.name, event) else None

        node.on_event("CHANNEL_HOLD", while_ours(self.control.on_hold))
        node.on_event("CHANNEL_BRIDGE", while_ours(self.transfer.on_bridge))
        node.on_event("CHANNEL_PARK", while_ours(self.transfer.on_park))


def make_controls(
    settings: Settings,
    store: Store,
    book: CallBook,
    nodes: Nodes,
    profile: str,
    has_stream: Callable[[str], bool],
    cancel: Callable[[str], bool] = lambda _call_sid: False,
) -> Controls:
    """`profile` is the sofia profile for SIP URIs; `has_stream` says whether a call's assistant is on `unicast`."""
    calls = LiveCalls(book, nodes, time.time)
    outside = Outside(allow_private=settings.allow_private_urls)
    media_dir = settings.media_dir.absolute()
    audio = FetchedAudio(media_dir / "fetched", outside, settings.fetch_timeout_seconds, time.monotonic)

    def organization(call: CallRecord) -> Organization | None:
        return None if call.organization_id is None else store.organization(str(call.organization_id))

    def gateways_for(call: CallRecord) -> list[str]:
        found = organization(call)
        if found is None:
            return []
        in_force = store.applied(found.key).get(call.node)
        on_one = settings.registers_on_one
        return outbound_gateways(found, in_force, store.fingerprint_key(), registers_on_one=on_one)

    def trunk_of(call: CallRecord) -> Trunk | None:
        found = organization(call)
        trunks = () if found is None else found.trunks
        return next((trunk for trunk in trunks if trunk.id == call.trunk_id), None)

    def terminates_on_hold(call: CallRecord) -> bool:
        trunk = trunk_of(call)
        return trunk is not None and trunk.terminate_on_hold

    def may_refer(call: CallRecord) -> bool:
        trunk = trunk_of(call)
        return trunk is None or trunk.refer is not False

    def anothers(call: CallRecord, number: str) -> bool:
        organization = store.organization(call.organization_key or "")
        return organization is not None and is_anothers(store, organization, f"+{number.removeprefix('+')}")

    control = CallControl(
        calls,
        audio,
        media_dir=media_dir,
        recordings_dir=settings.recordings_dir.absolute(),
        has_stream=has_stream,
        terminates_on_hold=terminates_on_hold,
        wish=Wishes(store, time.time).note,
        cancel=cancel,
    )
    transfer = CallTransfer(calls, gateways_for, profile, settings.transfer_ring_seconds, may_refer, anothers)
    rules = RuleActions(audio, outside, settings.rule_timeout_seconds, time.time)
    return Controls(control, transfer, rules, LostAssistants(calls, transfer, audio, media_dir), calls)
