"""One socket that carries Event Socket frames: a reader greenlet, and writing with a deadline.

Owns: cutting what arrives into frames, waking whoever waits for them, giving up on a peer that does not read. Refuses:
knowing what a frame means.
"""

from __future__ import annotations

import logging

import gevent
from gevent import socket
from gevent.event import Event
from gevent.queue import Queue
from gevent.socket import socket as Socket

from fscontrol.errors import EslProtocolError
from fscontrol.esl.frames import Frame, FrameReader

log = logging.getLogger(__name__)

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_MOST_FRAMES_WAITING = 64
"""Beyond this the reader stops reading, and the peer's own buffer fills."""


class Connection:
    """A connected socket. `wake` is set when a frame came or the other side closed; others may set it too."""

    write_seconds = 5.0
    """How long a peer may leave its receive buffer full before the connection is given up."""

    def __init__(self, sock: Socket) -> None:
        self.wake = Event()
        self.usable = True
        self.peer_port = int(sock.getpeername()[1]) if sock.family in _INTERNET else 0
        self._socket = sock
        self._frames: Queue[Frame | None] = Queue(maxsize=_MOST_FRAMES_WAITING)
        self._reader = gevent.Greenlet(self._read)

    def start(self) -> None:
        """Begin to read."""
        self._reader.start()

    @property
    def has_frame(self) -> bool:
        """Whether `take` would return at once."""
        return not self._frames.empty()

    def take(self, seconds: float | None = None) -> Frame | None:
        """The next frame; None when the other side has closed, or when none came within `seconds`."""
        try:
            with gevent.Timeout(seconds):
                return self._frames.get()
        except gevent.Timeout:
            return None

    def send(self, data: bytes) -> None:
        """Write all of `data`, or mark the connection unusable."""
        if not self.usable:
            return
        try:
            with gevent.Timeout(self.write_seconds):
                self._socket.sendall(data)
        except (OSError, gevent.Timeout):
            self.usable = False

    def close(self) -> None:
        """Close, at once and without a word."""
        self.usable = False
        self._reader.kill(block=False)
        self._socket.close()
        self.wake.set()

    def _read(self) -> None:
        reader = FrameReader()
        try:
            while data := self._socket.recv(65536):
                reader.receive_data(data)
                while (frame := reader.next_frame()) is not None:
                    self._frames.put(frame)
                    self.wake.set()
        except (OSError, EslProtocolError) as error:
            log.debug("event socket connection ended: %s", error)
        self._frames.put(None)
        self.wake.set()
