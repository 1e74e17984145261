"""One control plane among the workers of a machine: the part of the composition root (`app.py`) that knows siblings.

Owns: what a worker needs beyond what a control plane has, and what it does when a sibling is gone. Refuses: anything
of its own where there are no siblings; then a call is whose the node is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from flask import Flask
from gevent import socket

from fscontrol.calls.sharing import Sharing, alone
from fscontrol.esl.holders import worker_of
from fscontrol.http import passing
from fscontrol.http.back_door import BackDoor
from fscontrol.http.siblings import Siblings
from fscontrol.model.worker import WorkerPlace
from fscontrol.telemetry.adding import added_up

if TYPE_CHECKING:
    from fscontrol.app import Application


class Workers:
    """What an application knows of its siblings; `place` None: it has none."""

    def __init__(self, house: Application, place: WorkerPlace | None) -> None:
        self._house = house
        self._place = place
        self._siblings: Siblings | None = None
        self._back_door: BackDoor | None = None
        self.sharing = alone(house.is_ours)
        if place is not None:
            self._siblings = siblings = Siblings(place, self._gone)
            for lease in house.leases:
                lease.is_kin = self.is_kin
            self.sharing = Sharing(place.name, house.is_ours, self._is_near, siblings.lives, siblings.calls)

    @property
    def http(self) -> socket.socket | None:
        """The supervisor's listening socket for HTTP."""
        return None if self._place is None else _inherited(self._place.http)

    @property
    def call_socket(self) -> socket.socket | None:
        """The supervisor's listening socket for calls."""
        return None if self._place is None else _inherited(self._place.call_socket)

    def figures(self) -> bytes:
        """What is counted, here and at siblings."""
        own = self._house.metrics.exposition()
        return own if self._siblings is None else added_up([own, *self._siblings.figures()])

    def noted(self) -> None:
        """Something was noted in the store that they should know of before it is answered."""
        if self._siblings is not None:
            self._siblings.look()

    def install(self, app: Flask) -> None:
        """Have requests passed on that are a sibling's to act on; after `auth.require_principals`."""
        if self._siblings is not None and self._place is not None:
            passing.install(app, self._siblings, self._serves_call, self._steering)
            calls, figures = self._calls, self._house.metrics.exposition
            self._back_door = BackDoor(
                self._place.door, self._place.name, app, calls, figures,
                self._house.elsewhere.look,
            )  # fmt: skip

    def start(self) -> None:
        """Let siblings ask, and listen to them; before anything of theirs could be taken for nobody's."""
        if self._siblings is not None and self._back_door is not None:
            self._back_door.start()
            self._siblings.start()

    def stop(self) -> None:
        """End; siblings take over what is left."""
        if self._siblings is not None and self._back_door is not None:
            self._siblings.stop()
            self._back_door.stop()

    def _is_near(self, node: str) -> bool:
        """Whether one of us steers the node, or nobody knows yet who does."""
        holder = self._house.leases[node].seen_holder
        return self._house.is_ours(node) or not holder or self.is_kin(holder)

    def is_kin(self, holder: str) -> bool:
        """Whether a holder's name is a worker's of this family, our own included."""
        return self._place is not None and self._place.is_sibling(worker_of(holder))

    def _steering(self, node: str) -> int | None:
        """The number of the sibling that steers a node; None when it is this worker, or none of us."""
        if all(node != known.name for known in self._house.nodes) or self._house.is_ours(node):
            return None
        holder = self._house.leases[node].seen_holder
        return int(worker_of(holder).split(".")[1]) if self.is_kin(holder) else None

    def _serves_call(self, call_sid: str) -> bool:
        return any(record.call_sid == call_sid for record in self._house.book.active)

    def _calls(self) -> Mapping[str, str]:
        return self._house.book.channels

    def _gone(self) -> None:
        """What it steered and served is somebody else's now; whose, the store and the channels say."""
        for lease in self._house.leases:
            lease.look()
        for node in self._house.nodes:
            self._house.taking_up.soon(node)


def _inherited(descriptor: int) -> socket.socket:
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)
    return listener
