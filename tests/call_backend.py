"""A backend that a journey scripts: answers by path, requests that may be held, all it was told kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent.event import Event as Signal
from gevent.pywsgi import WSGIServer

Answer = tuple[str, bytes]
OK: Answer = ("200 OK", b'{"success": true}')


@dataclass(slots=True)
class Told:
    """One request the backend received."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(slots=True)
class CallBackend:
    """`answers[path]` makes the answer; `holds[path]` keeps requests of a path waiting until it is set."""

    told: list[Told] = field(default_factory=list)
    answers: dict[str, Callable[[dict[str, Any]], Answer]] = field(default_factory=dict)
    holds: dict[str, Signal] = field(default_factory=dict)
    server: WSGIServer | None = None

    def start(self) -> None:
        self.answers.setdefault("/sip-prewarm", prewarmed)
        self.server = WSGIServer(("127.0.0.1", 0), self._serve, log=None, error_log=None)
        self.server.start()

    def stop(self) -> None:
        for hold in self.holds.values():
            hold.set()
        assert self.server is not None
        self.server.stop(timeout=1)

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.server_port}"

    def statuses(self, call_sid: str) -> list[str]:
        """The statuses told of a call, in the order in which they came."""
        return [
            t.body["status"] for t in self.told if t.path == "/sip-status" and t.body["call_sid"] == call_sid
        ]

    def at(self, path: str) -> list[dict[str, Any]]:
        """The bodies that came to a path."""
        return [told.body for told in self.told if told.path == path]

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = json.loads(environ["wsgi.input"].read())
        path = environ["PATH_INFO"]
        headers = {
            name[5:].replace("_", "-").title(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        self.told.append(Told(path, headers, body))
        if path in self.holds:
            with gevent.Timeout(30):
                self.holds[path].wait()
        status, answer = self.answers[path](body) if path in self.answers else OK
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
        return [answer]


def prewarmed(body: dict[str, Any]) -> Answer:
    """The published answer to a prewarm."""
    return "200 OK", json.dumps({"call_sid": body["call_sid"], "prewarmed": True}).encode()
