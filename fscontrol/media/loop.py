"""What gevent's loop is asked for directly, by sockets that are read and written where it reports them.

Such a socket never waits, so it is the standard library's: gevent's own has around every call what a waiting one needs.
Refuses: sockets that wait; those are `gevent.socket`'s.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from gevent import monkey

from fscontrol.errors import MediaError

READ, WRITE = 1, 2
"""libev's events; gevent has no names for them."""

if TYPE_CHECKING:
    Socket = socket.socket
else:
    Socket = monkey.get_original("socket", "socket")


def datagram_socket(ip: str) -> Socket:
    """One on a free port of `ip`; raises `MediaError`."""
    made = Socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    try:
        made.bind((ip, 0))
    except OSError as error:
        made.close()
        raise MediaError(f"no port for the call's audio on {ip}: {error.strerror}") from None
    return made
