"""What is measured, in a process of its own on a core of its own: the relay as it is, or a bare UDP echo as its bound.

Told over its UDP socket, in JSON: `{"calls": n}`, carry n calls. Tells the load the port of each (`relay_load`).
"""

from gevent import monkey

monkey.patch_all()

import contextlib  # noqa: E402  (only after patching)
import json  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
import uuid  # noqa: E402
from typing import Any, Protocol, cast  # noqa: E402

import gevent  # noqa: E402
from gevent import socket  # noqa: E402

from fscontrol.cli.serve import collect_garbage_less_often  # noqa: E402

FRAME_SECONDS = 0.02
LOCAL = "127.0.0.1"


class Subject(Protocol):
    """Carries calls."""

    def begin(self) -> None:
        """Carry one more."""


class Bare:
    """The bound: datagrams in, datagrams out by one clock, and nothing else (no assistant, no transcoding)."""

    def __init__(self, tell: Any) -> None:
        self._tell = tell
        self._calls: list[list[Any]] = []
        gevent.spawn(self._pace)

    def begin(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((LOCAL, 0))
        call = [sock, None, b""]
        self._calls.append(call)
        gevent.spawn(self._listen, call)
        self._tell(sock.getsockname()[1])

    @staticmethod
    def _listen(call: list[Any]) -> None:
        sock = call[0]
        while True:
            call[2], call[1] = sock.recvfrom(4096)

    def _pace(self) -> None:
        due = time.monotonic()
        while True:
            due += FRAME_SECONDS
            gevent.sleep(max(0.0, due - time.monotonic()))
            for sock, address, data in self._calls:
                if address is not None:
                    sock.sendto(data, address)


class Sockets(Bare):
    """The relay's sockets and nothing else: each datagram becomes a WebSocket frame made beforehand, and what the
    assistant says is read and forgotten. What it takes is the price of two more messages a frame.
    """

    def __init__(self, tell: Any, assistant_port: int) -> None:
        super().__init__(tell)
        self._url = f"ws://{LOCAL}:{assistant_port}/streams"
        self._assistants: list[Any] = []

    def begin(self) -> None:
        from fscontrol.media import loop
        from fscontrol.media.socket import shake_hands
        from fscontrol.media.twilio import Stream
        from fscontrol.media.websocket_frames import TEXT, Outgoing

        message = Outgoing().frame(TEXT, Stream("MZ" + "0" * 32, "", {}).media(b"\xff" * 160).encode())
        assistant, _behind = shake_hands(self._url, {})
        udp = loop.datagram_socket(LOCAL)
        call = [udp, None, b""]

        def datagram() -> None:
            call[2], call[1] = udp.recvfrom(4096)
            assistant.send(message)

        def said() -> None:
            assistant.recv(16_384)

        for sock, take in ((udp, datagram), (assistant, said)):
            watcher = gevent.get_hub().loop.io(sock.fileno(), loop.READ)
            watcher.start(take)
            self._assistants.append((watcher, sock))
        self._calls.append(call)
        self._tell(udp.getsockname()[1])


class RealRelay:
    """The relay of the project, between a node and a book that are not there."""

    path = (LOCAL, LOCAL)

    def __init__(self, tell: Any, assistant_port: int) -> None:
        from fscontrol.media.ends import Deadlines
        from fscontrol.media.relay import Relay

        self._tell = tell
        self._url = f"ws://{LOCAL}:{assistant_port}/streams"
        self._relay = Relay(10.0, Deadlines(), cast(Any, self), lost=_gone_wrong, note=_gone_wrong)
        self._relay.start()

    def begin(self) -> None:
        from fscontrol.media.choice import Choice
        from fscontrol.model.assistant_media import Driver
        from fscontrol.model.call import CallRecord

        channel = str(uuid.uuid4())
        record = CallRecord(
            call_sid=f"sip-{channel}",
            uuid=channel,
            direction="inbound",
            from_number="+15550001",
            to_number="+15550002",
        )
        self._relay.begin(cast(Any, self), record, Choice(Driver.RELAY, self._url))

    def request(self, command: object) -> str:
        """As the node: `unicast` is asked for."""
        if port := re.search(r"remote-port: (\d+)", str(command)):
            self._tell(int(port[1]))
        return "+OK"

    def get(self, _call_sid: str) -> None:
        """As the book: never asked, since no call ends."""
        raise NotImplementedError


def _gone_wrong(*why: object) -> None:
    sys.exit(f"a call went wrong: {why}")


def allow_many_sockets() -> None:
    """Two a call; the limit at login is often 1024."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    kind, core, load_port, assistant_port = sys.argv[1], *(int(argument) for argument in sys.argv[2:5])
    os.sched_setaffinity(0, {core})
    allow_many_sockets()
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    control.bind((LOCAL, 0))

    def tell(port: int) -> None:
        control.sendto(json.dumps({"port": port}).encode(), (LOCAL, load_port))

    subject: Subject
    if kind == "bare":
        subject = Bare(tell)
    elif kind == "sockets":
        subject = Sockets(tell, assistant_port)
    else:
        subject = RealRelay(tell, assistant_port)
    collect_garbage_less_often()  # as `serve` does
    sys.stdout.write(json.dumps(control.getsockname()[1]) + "\n")
    sys.stdout.flush()
    carried = 0
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            wanted = json.loads(control.recv(4096))["calls"]
            for _ in range(wanted - carried):
                subject.begin()
                gevent.sleep(0.004)
            carried = max(carried, wanted)


if __name__ == "__main__":
    main()
