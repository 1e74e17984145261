"""Which events of a node go to whom, and in which order: the third part of the composition root (`app.py`).

Owns: the list. Refuses: doing anything with an event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.model.call import MediaFigures
from fscontrol.telemetry.greenlets import spawn

if TYPE_CHECKING:
    from fscontrol.app import Application


def follow(house: Application, node: NodeClient) -> None:
    """Take a node's events, over every reconnect."""
    for name in ("sofia::gateway_state", "sofia::gateway_delete"):
        node.on_event(name, lambda event, node=node.name: house.registrations.take_event(node, event))  # type: ignore[misc]
        node.on_event(name, lambda event, node=node.name: house.sources.take_gateway_event(node, event))  # type: ignore[misc]
    # One handler for both: what the relay saw belongs to the message that tells of the end.
    node.on_event(
        "CHANNEL_HANGUP_COMPLETE",
        lambda event: house.outgoing.calls.hung_up(
            event, lambda: _end(house, node.name, event, house.media.hung_up(event))
        ),
    )
    house.outgoing.follow(node)
    house.happenings.follow(node)
    house.controls.follow(node, house.workers.sharing.serves)
    house.media.follow(node, house.workers.sharing.serves)
    node.on_down(lambda: house.registrations.lost(node.name))
    node.on_up(lambda: house.taking_up.soon(node))
    lease = house.leases[node.name]
    lease.on_taken(lambda: house.wall.look_again(node.name))
    lease.on_taken(lambda: house.taking_up.soon(node))
    lease.on_left(lambda: house.media.leave(node.name))
    _tell_of(house, node)


def _end(house: Application, node: str, event: Event, media: MediaFigures | None) -> None:
    """Not while the next events wait: their calls' ends go into the store together with this one."""
    spawn("end of a call", house.ends.hung_up, node, event, media)


def _tell_of(house: Application, node: NodeClient) -> None:
    """Whoever watches hears of a node that comes, goes, is drained, or has another control plane."""

    def tell() -> None:
        drained, ours = node.name in house.draining, house.is_ours(node.name)
        house.happenings.node_changed(node, house.name, is_drained=drained, is_ours=ours)

    node.on_up(tell)
    node.on_down(tell)
    house.leases[node.name].on_taken(tell)
    house.leases[node.name].on_lost(tell)
    house.draining.on_change(lambda name: tell() if name == node.name else None)
