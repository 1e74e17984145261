"""What a worker answers to its siblings, over a socket of the supervisor's private directory.

Owns: the calls it serves, its own figures, a sign of life, and requests of clients that another worker took and this
one is to act on. Refuses: everybody else, by the directory's mode; nothing here listens on a network.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gevent
from gevent import socket
from gevent.pywsgi import WSGIServer

log = logging.getLogger(__name__)

CALLS, FIGURES, LIFELINE, LOOK = "/-/calls", "/-/figures", "/-/lifeline", "/-/look"
PASSED_ON = "fscontrol.passed_on"
"""In a request's environ: a sibling has passed it on, and it goes no further."""
FOR_HEADER = "X-Fscontrol-Passed-On-For"
"""The address of the client whose request a sibling passes on."""
_HEARTBEAT_SECONDS = 5.0

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class BackDoor:
    """Serves `app` and what siblings ask. `calls`: those this worker serves, or has just ended, by call_sid the
    channel; `figures`: its own alone; `look`: has it look at what others took.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        app: Wsgi,
        calls: Callable[[], Mapping[str, str]],
        figures: Callable[[], bytes],
        look: Callable[[], None],
    ) -> None:
        self._path = path
        self._name = name
        self._app = app
        self._calls = calls
        self._figures = figures
        self._look = look
        self._server: WSGIServer | None = None

    def start(self) -> None:
        """Bind and serve. What a predecessor in this place left is cleared away."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self._path))
        listener.listen(128)
        listener.setblocking(False)
        self._server = WSGIServer(listener, self._answer, log=None, error_log=log)
        self._server.start()

    def stop(self) -> None:
        """End; siblings take what is left."""
        if self._server is not None:
            self._server.stop(timeout=1)
        self._path.unlink(missing_ok=True)

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/-/calls":
                return _whole(start, json.dumps(dict(self._calls())).encode())
            case "/-/look":
                self._look()
                return _whole(start, b"")
            case "/-/figures":
                return _whole(start, self._figures())
            case "/-/lifeline":
                start("200 OK", [("Content-Type", "application/jsonlines")])
                return self._lifeline()
            case _:
                environ[PASSED_ON] = True
                environ["REMOTE_ADDR"] = environ.pop("HTTP_X_FSCONTROL_PASSED_ON_FOR", "")
                environ.pop("HTTP_X_FORWARDED_FOR", None)  # whoever passes it on has read it
                return self._app(environ, start)

    def _lifeline(self) -> Iterator[bytes]:
        """First who we are, then a sign of life now and then; it ends when this worker does."""
        yield json.dumps({"name": self._name}).encode() + b"\n"
        while True:
            gevent.sleep(_HEARTBEAT_SECONDS)
            yield b"\n"


def _whole(start: Callable[..., Any], body: bytes) -> Iterable[bytes]:
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]
