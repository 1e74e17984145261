"""From the gateways an organisation should have on a node to where that node finds them.

Owns: the files (for every node: FreeSWITCH boots on them without us) and, for a node that asks over HTTP, what it will
be answered. Refuses (`RenderError`, `DeliveryError`): to serve what could not be written, or would not survive
FreeSWITCH's preprocessor.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fscontrol.model.gateway import Gateway
from fscontrol.sofia.deliver import GatewayFiles
from fscontrol.sofia.render import render_gateways, render_served
from fscontrol.sofia.served import ServedGateways
from fscontrol.sofia.tree import PROFILE
from fscontrol.telemetry.threads import on_a_thread


class NodeDelivery:
    """The way to one node. `served` is None for a node that gets its gateways from files alone.

    `is_alone`: no other node reads these files.
    """

    def __init__(
        self, files: GatewayFiles, served: ServedGateways | None = None, *, is_alone: bool = True
    ) -> None:
        self._files = files
        self._served = served
        self._is_alone = is_alone

    @property
    def starts_what_it_is_asked_to(self) -> bool:
        """Whether a start of many starts these alone: from files it starts whatever they hold, for other nodes too."""
        return self._is_alone or self._served is not None

    def deliver(self, organization: str, gateways: Sequence[Gateway]) -> None:
        """Have these where the node looks, in place of all the organisation had there; none: remove it."""
        # On a thread: rendering is CPU and fsync waits for the disk; calls in progress must not.
        if gateways:
            on_a_thread(lambda: self._files.write(organization, render_gateways(organization, gateways)))
        else:
            on_a_thread(lambda: self._files.remove(organization))
        if self._served is not None:
            self._served.replace(organization, gateways)

    @contextlib.contextmanager
    def offered(self, gateways: Sequence[Gateway]) -> Iterator[None]:
        """While these, which have been delivered, are started all at once (`startgw _all_`)."""
        if self._served is None:
            yield
            return
        document = on_a_thread(lambda: render_served(PROFILE, gateways))
        with self._served.offering(document):
            yield

    def delivered_names(self, organization: str) -> list[str]:
        """The gateways in what is delivered for an organisation; empty when nothing is, or it cannot be read."""
        return self._files.gateway_names(organization)


class Deliveries:
    """The ways to all nodes, each by its configuration directory, which nodes may share, and so the files."""

    def __init__(self, directories: Mapping[str, Path], served: Mapping[str, ServedGateways]) -> None:
        self._directories = directories
        self._files = {directory: GatewayFiles(directory) for directory in directories.values()}
        self._served = served

    @property
    def files(self) -> tuple[GatewayFiles, ...]:
        """Those of every directory."""
        return tuple(self._files.values())

    def to(self, node: str) -> NodeDelivery:
        """The way to one node."""
        directory = self._directories[node]
        readers = sum(one == directory for one in self._directories.values())
        return NodeDelivery(self._files[directory], self._served.get(node), is_alone=readers == 1)
