"""The `socket` application in sync mode: FreeSWITCH connects to the control plane and does what it is told.

Owns: connecting to the first host that answers, and serving that connection in the leg's own greenlet. Refuses:
`async`: the control plane does not use it, and the socket is served sync all the same.
"""

from __future__ import annotations

import logging

from gevent import socket

from fscontrol.simulator.leg import Leg
from fscontrol.simulator.listener import Listener

log = logging.getLogger(__name__)

_DEFAULT_PORT = 8084
_CONNECT_SECONDS = 127.0
"""FreeSWITCH sets no connect timeout; this is what the kernel's SYN retries come to."""


def run_socket(leg: Leg, data: str) -> None:
    """The application: `HOST:PORT[|HOST:PORT…] [full]`. Returns when the connection is over."""
    words = data.split(" ")
    connection = None
    for target in words[0].split("|"):
        host, colon, port = target.rpartition(":")
        if not colon:
            host, port = target, str(_DEFAULT_PORT)
        leg.channel.set("socket_host", host)
        connection = _connect(host, int(port) if port.isdigit() else _DEFAULT_PORT)
        if connection is not None:
            break
    if connection is not None:
        Listener(connection, leg.node, "", leg).run()


def _connect(host: str, port: int) -> socket.socket | None:
    try:
        connection = socket.create_connection((host, port), timeout=_CONNECT_SECONDS)
    except OSError as error:
        log.info("socket application: %s:%d: %s", host, port, error)
        return None
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
