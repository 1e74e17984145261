"""What happens, over Redis: one stream that all control planes write to and read from, so that all hear the same.

Owns: the stream, which is the memory of the last happenings over restarts too, and its two greenlets. Refuses: to make
anybody wait, and to be needed: without Redis each control plane tells its own listeners what happens at it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import gevent
import redis
from gevent.queue import Empty, Queue

from fscontrol.telemetry.bus import MOST_KEPT, Bus, Happening
from fscontrol.telemetry.greenlets import spawn
from fscontrol.telemetry.outages import Outage

log = logging.getLogger(__name__)

MOST_WAITING = 10_000
_AT_ONCE = 200
_BLOCK_MS = 5_000
_TIMEOUT_SECONDS = 10.0
_AGAIN_SECONDS = 1.0


class RedisWire:
    """`Wire` over the stream `PREFIX:happenings`. While Redis is away, listeners hear what happens at theirs alone."""

    def __init__(self, url: str, bus: Bus, prefix: str = "fscontrol", again: float = _AGAIN_SECONDS) -> None:
        self._redis = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            max_connections=4,
        )
        self._bus = bus
        self._stream = f"{prefix}:happenings"
        self._again = again
        self._waiting: Queue[tuple[str, str | None, dict[str, Any]]] = Queue(MOST_WAITING)
        self._last = ""
        self._works = False
        self._failing = Outage()
        self._greenlets: list[gevent.Greenlet[..., object]] = []

    def send(self, kind: str, organization: str | None, what: dict[str, Any]) -> bool:
        """See `Wire`; what waits when Redis goes is told here."""
        if not self._works or self._waiting.full():
            return False
        self._waiting.put_nowait((kind, organization, what))
        return True

    def start(self) -> None:
        """Learn what happened last, then carry; when Redis is away, once it is back."""
        self._greenlets = [
            spawn("hear what happens", self._forever, self._hear),
            spawn("tell what happens", self._forever, self._tell),
        ]

    def stop(self) -> None:
        """Carry no more; what happens from now on is told here."""
        self._works = False
        gevent.killall(self._greenlets, timeout=2)
        self._redis.close()

    def _forever(self, work: Callable[[], None]) -> None:
        while True:
            try:
                work()
            except redis.RedisError as error:
                if self._works and self._failing.begins():
                    log.warning("what happens is told by each to its own", extra={"reason": str(error)})
                self._works = False
                gevent.sleep(self._again)

    def _hear(self) -> None:
        if not self._last:
            newest: Any = self._redis.xrevrange(self._stream, count=MOST_KEPT)
            self._last = "0-0"
            self._take(reversed(newest))
        self._works = True
        found: Any = self._redis.xread({self._stream: self._last}, count=_AT_ONCE, block=_BLOCK_MS)
        if self._failing.ends():
            log.info("what happens is told to all again")
        for _, entries in found:
            self._take(entries)

    def _take(self, entries: Any) -> None:
        for name, said in entries:
            self._last = name
            what = json.loads(said["what"])
            self._bus.arrived(Happening(name, said["kind"], said.get("organization"), what))

    def _tell(self) -> None:
        told = [self._waiting.get()]
        while len(told) < _AT_ONCE:
            try:
                told.append(self._waiting.get_nowait())
            except Empty:
                break
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for kind, organization, what in told:
                    whose = {} if organization is None else {"organization": organization}
                    said: Any = {"kind": kind, "what": json.dumps(what), **whose}
                    pipe.xadd(self._stream, said, maxlen=MOST_KEPT, approximate=True)
                pipe.execute()
        except redis.RedisError:
            for kind, organization, what in told:
                self._bus.tell_here(kind, organization, what)
            raise
