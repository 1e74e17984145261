"""A link's reader: what it does with a burst of events."""

from __future__ import annotations

from typing import cast

import gevent
import pytest
from gevent.socket import socket
from pydantic import SecretStr

from fscontrol.esl import link as module
from fscontrol.esl.event import Event
from fscontrol.esl.link import Link

DEADLINE = 10


class _AlwaysReadable:
    """A socket that has the next read ready whenever it is asked, so that nobody waits for it."""

    def __init__(self, reads: int, each: bytes) -> None:
        self._reads = [each] * reads

    def recv(self, _size: int) -> bytes:
        return self._reads.pop() if self._reads else b""

    def close(self) -> None:
        self._reads.clear()


def _event(name: str) -> bytes:
    body = f'{{"Event-Name":"{name}","variable_fscontrol_call_sid":"sip-1"}}'
    return f"Content-Length: {len(body)}\nContent-Type: text/event-json\n\n{body}".encode()


def test_a_burst_longer_than_the_queue_reaches_its_handlers_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_QUEUED_EVENTS", 20)
    link = Link("127.0.0.1", 1, SecretStr("x"), DEADLINE)
    handled: list[str] = []

    def take(event: Event) -> None:
        handled.append(event.name)

    link.register_handle("CHANNEL_ANSWER", take)
    reads = _AlwaysReadable(100, _event("CHANNEL_ANSWER") * 10)
    link.sock = cast(socket, reads)
    link.connected = True
    link.start_event_handlers()
    with gevent.Timeout(DEADLINE):
        link.wait_closed()
        link.stop()
    assert (len(handled), link.events_dropped) == (1000, 0)
