"""A backend that answers at once, as cheaply as can be, on connections that are kept. Prints its port."""

from gevent import monkey

monkey.patch_all()

import contextlib  # noqa: E402  (only after patching)
import sys  # noqa: E402

import gevent  # noqa: E402
from gevent import socket  # noqa: E402
from gevent.server import StreamServer  # noqa: E402

_BODY = b'{"success": true, "prewarmed": true}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(_BODY),
    _BODY,
)


def answer(connection: socket.socket, _peer: object) -> None:
    """Every request of a connection."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(OSError), connection.makefile("rb") as stream:
        while stream.readline():
            length = 0
            while (line := stream.readline().strip()) != b"":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            stream.read(length)
            connection.sendall(_ANSWER)


if __name__ == "__main__":
    server = StreamServer(("127.0.0.1", 0), answer)
    server.start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    gevent.wait()
