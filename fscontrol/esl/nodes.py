"""The fleet: every FreeSWITCH node this control plane steers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fscontrol.errors import NotFound
from fscontrol.esl.client import NodeClient


class Nodes:
    """The nodes by name, in the order of the settings."""

    def __init__(self, clients: Iterable[NodeClient]) -> None:
        self._clients = {client.name: client for client in clients}

    def __iter__(self) -> Iterator[NodeClient]:
        return iter(self._clients.values())

    def __getitem__(self, name: str) -> NodeClient:
        """The node of that name; raises `NotFound`."""
        try:
            return self._clients[name]
        except KeyError:
            raise NotFound(f"there is no node {name!r}") from None

    @property
    def reachable(self) -> list[NodeClient]:
        """The nodes we are connected to."""
        return [client for client in self if client.connected]

    def start(self) -> None:
        """Begin connecting to all of them."""
        for client in self:
            client.start()

    def stop(self) -> None:
        """Disconnect from all of them."""
        for client in self:
            client.stop()
