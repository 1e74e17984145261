"""One reader of events, as a program: `KIND PORT COUNT`. Prints its processor time for them, as JSON.

Each is used as its own documentation says, with a handler that reads three headers; the time runs from the
subscription to the last event.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and sys.argv[1] in ("fscontrol", "greenswitch"):
    from gevent import monkey

    monkey.patch_all()

import json
import os
import time
from typing import Any

NAMES = (
    "CHANNEL_CREATE", "CHANNEL_PROGRESS", "CHANNEL_PROGRESS_MEDIA", "CHANNEL_ANSWER", "CHANNEL_PARK", "CHANNEL_UNPARK",
    "CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE",
)  # fmt: skip
HEADERS = ("Event-Name", "Unique-ID", "variable_sip_call_id")


class Clock:
    """Processor time from `start` on, until so many events were handled."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._began = 0.0

    def start(self) -> None:
        """Now: a reader that queues its events reads many before it handles the first."""
        self._began = time.process_time()

    def event(self) -> None:
        """One was read; the last one ends the program."""
        self._left -= 1
        if not self._left:
            sys.stdout.write(json.dumps({"cpu": time.process_time() - self._began}))
            sys.stdout.flush()
            os._exit(0)


def fscontrol(port: int, clock: Clock) -> None:
    """Our link, as `esl/client` uses it."""
    import gevent
    from pydantic import SecretStr

    from fscontrol.esl import subscriptions
    from fscontrol.esl.link import Link

    link = Link("127.0.0.1", port, SecretStr("ClueCon"), 30.0)

    def take(event: Any) -> None:
        for name in HEADERS:
            event.find(name)
        clock.event()

    for name in NAMES:
        link.register_handle(name, take)
    link.connect()
    clock.start()
    link.request(subscriptions.subscribe(NAMES))
    gevent.sleep(100)


def greenswitch(port: int, clock: Clock) -> None:
    """greenswitch's InboundESL with its handler table."""
    import gevent
    import greenswitch as library

    link = library.InboundESL("127.0.0.1", port, "ClueCon", timeout=30)

    def take(event: Any) -> None:
        for name in HEADERS:
            event.headers.get(name)
        clock.event()

    for name in NAMES:
        link.register_handle(name, take)
    link.connect()
    clock.start()
    link.send(f"event plain {' '.join(NAMES)}")
    gevent.sleep(100)


def genesis(port: int, clock: Clock) -> None:
    """Genesis' Consumer."""
    import asyncio

    from genesis import Consumer  # type: ignore[import-not-found]

    consumer = Consumer("127.0.0.1", port, "ClueCon")

    async def take(event: Any) -> None:
        for name in HEADERS:
            event.get(name)
        clock.event()

    for name in NAMES:
        consumer.handle(name)(take)
    clock.start()
    asyncio.run(consumer.start())


def c_library(port: int, clock: Clock) -> None:
    """FreeSWITCH's own library through its Python binding."""
    sys.path.insert(0, os.environ["BENCH_ESL_PYTHON"])
    import ESL  # type: ignore[import-not-found]

    connection = ESL.ESLconnection("127.0.0.1", str(port), "ClueCon")
    clock.start()
    connection.events("plain", " ".join(NAMES))
    while True:
        event = connection.recvEvent()
        for name in HEADERS:
            event.getHeader(name)
        clock.event()


KINDS = {"fscontrol": fscontrol, "greenswitch": greenswitch, "genesis": genesis, "C library": c_library}

if __name__ == "__main__":
    KINDS[sys.argv[1]](int(sys.argv[2]), Clock(int(sys.argv[3])))
