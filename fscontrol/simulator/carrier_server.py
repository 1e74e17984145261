"""The simulated carrier on a UDP socket.

Owns: the socket and its greenlet. Refuses: deciding anything; that is `carrier.py`.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from gevent.server import DatagramServer
from pydantic import SecretStr

from fscontrol.simulator.carrier import Carrier, CarrierBehaviour


class UdpCarrier:
    """A carrier that answers on `host:port` (UDP); port 0 takes a free one, known after `start`."""

    def __init__(
        self,
        behaviour: CarrierBehaviour,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        username: str = "",
        password: SecretStr | None = None,
        invite_status: int = 486,
        only_one_binding: bool = False,
    ) -> None:
        self.carrier = Carrier(
            behaviour,
            username=username,
            password=password,
            invite_status=invite_status,
            only_one_binding=only_one_binding,
        )
        self._host = host
        self._server = DatagramServer((host, port), self._on_datagram)

    @property
    def address(self) -> str:
        """`host:port`, as a gateway's proxy is written."""
        return f"{self._host}:{self._server.server_port}"

    def start(self) -> None:
        """Bind and answer from now on. Raises OSError when the port is taken."""
        self._server.start()

    def stop(self) -> None:
        """Close the socket; what comes later is answered by nobody."""
        self._server.stop()

    def bindings(self) -> dict[str, dict[str, float]]:
        """The contacts that are registered now, by address-of-record."""
        return self.carrier.bindings(time.time())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Any: gevent's stubs type every server's handler as a stream's, (socket, address).
    def _on_datagram(self, data: Any, source: Any) -> None:
        answer = self.carrier.answer(data, time.time(), source[:2])
        if answer is not None:
            self._server.sendto(answer, source)
