"""Everything that places calls, put together from the settings; the composition root asks for it once.

Owns: how the parts fit. Refuses: rules of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from fscontrol.calls.batch import Batches
from fscontrol.calls.book import CallBook
from fscontrol.calls.dialling import DialRules
from fscontrol.calls.draining import Draining
from fscontrol.calls.legs import Legs
from fscontrol.calls.limits import Places
from fscontrol.calls.orphans import Orphans
from fscontrol.calls.outbound import OutboundCalls
from fscontrol.calls.permissions import Gate
from fscontrol.calls.prewarming import Prewarm
from fscontrol.calls.trying import Trying
from fscontrol.calls.waiting import PlaceQueue
from fscontrol.calls.ways_out import WaysOut
from fscontrol.calls.wishes import Wishes
from fscontrol.esl.client import NodeClient
from fscontrol.esl.nodes import Nodes
from fscontrol.model.registration import GatewayState, Registration
from fscontrol.settings import Settings
from fscontrol.store.base import Store


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What places calls, and what looks after those whose control plane died."""

    calls: OutboundCalls
    legs: Legs
    orphans: Orphans
    batches: Batches
    wishes: Wishes

    def follow(self, node: NodeClient) -> None:
        """Take the events of a node that concern them; `calls.hung_up` is for its CHANNEL_HANGUP_COMPLETE."""
        self.legs.follow(node)
        self.orphans.follow(node)

    def start(self) -> None:
        """Begin to look after calls."""
        self.orphans.start()
        self.wishes.start(lambda: self.calls.being_placed, self.calls.cancel)
        self.batches.start()

    def stop(self) -> None:
        """Legs that ring go on; a restarted control plane takes them up."""
        self.batches.stop()
        self.wishes.stop()
        self.orphans.stop()


def make_outgoing(
    settings: Settings,
    name: str,
    store: Store,
    book: CallBook,
    nodes: Nodes,
    limits: Places,
    draining: Draining,
    registration: Callable[[str, str], Registration | None],
    gate: Gate,
    prewarm: Prewarm | None,
    *,
    is_ours: Callable[[str], bool],
    take_over: Callable[[str, str], None],
    found: Callable[[NodeClient], None],
    new_call_sid: Callable[[], str],
    random: Callable[[], float],
    worker: str = "",
) -> Outgoing:
    """`take_over` gives a call its stream; `found` compares a node's calls with its channels; `worker`: our name, where
    we have siblings.
    """
    legs = Legs(time.time)
    rules = DialRules(settings.outbound_ring_seconds, settings.outbound_progress_seconds, worker)

    def open_nodes() -> list[str]:
        return [node.name for node in nodes.reachable if node.name not in draining]

    def seen(node: str, gateway: str) -> Registration | None:
        found = registration(node, gateway)
        if found is None and not is_ours(node):
            # Who steers the node looks at its gateways; here events alone tell of them. That it is in force says the
            # store, and FreeSWITCH refuses by itself to call over one that is down.
            found = Registration(node, gateway, GatewayState.NOREG, "", 0.0)
        return found

    wishes = Wishes(store, time.time)
    calls = OutboundCalls(
        name,
        book,
        nodes,
        legs,
        Trying(book, nodes, legs, rules, time.time, take_over, wishes),
        WaysOut(store, open_nodes, seen, random).of,
        store.organization,
        limits,
        PlaceQueue(limits, settings.outbound_queue_seconds, settings.outbound_queue_length),
        gate,
        prewarm,
        new_call_sid=new_call_sid,
        clock=time.time,
    )
    orphans = Orphans(name, book, store, nodes, legs, is_ours, calls.is_placing, found, time.time, wishes)
    batches = Batches(
        name,
        store,
        book,
        nodes,
        calls,
        orphans.is_placed,
        time.time,
        time.monotonic,
        settings.calls_kept,
        wishes,
    )
    return Outgoing(calls, legs, orphans, batches, wishes)
