"""What gevent's loop is asked for directly, by sockets that are read and written where it reports them, and by timers.

Such a socket never waits, so it is the standard library's: gevent's own has around every call what a waiting one needs.
Such a timer has no greenlet: one that does nothing but wait is 9 kB of each call. Refuses: sockets that wait; those are
`gevent.socket`'s.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent
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


class Timer:
    """Has the loop call `callback` once, after as long as was `set` last; the callback must not wait."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._watcher: Any = None

    def set(self, seconds: float) -> None:
        """Begin, or begin anew."""
        self.stop()
        self._watcher = gevent.get_hub().loop.timer(seconds)
        self._watcher.start(self._callback)

    def bring_forward(self) -> None:
        """Call at once what would be called later; nothing when nothing would."""
        if self._watcher is not None:
            self.set(0.0)

    def stop(self) -> None:
        """Call no more."""
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
