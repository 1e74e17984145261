"""The other workers of this machine, as one of them sees them.

Owns: asking them, and noticing at once that one is gone: a connection to it ends with its process. Refuses: to wait
long for anyone; one that does not answer in time is passed over.
"""

from __future__ import annotations

import http.client
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import gevent
from gevent import socket

from fscontrol.esl.holders import is_running
from fscontrol.http.back_door import CALLS, FIGURES, LIFELINE, LOOK
from fscontrol.model.worker import WorkerPlace, pid_of
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

ASK_SECONDS = 2.0
PASS_ON_SECONDS = 60.0
_SILENT_SECONDS = 15.0
"""Without a heartbeat for so long a sibling is not listened to any more."""
_AGAIN_SECONDS = 0.2


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Siblings:
    """`gone` is told when one has ended."""

    def __init__(self, place: WorkerPlace, gone: Callable[[], None]) -> None:
        self._place = place
        self._gone = gone
        self._names: dict[int, str] = {}
        self._ended: set[str] = set()
        self._greenlets: list[gevent.Greenlet[..., object]] = []

    def start(self) -> None:
        """Begin to listen to them."""
        for number, path in self._place.siblings():
            self._greenlets.append(spawn(f"sibling {number}", self._follow, number, path))

    def stop(self) -> None:
        """End."""
        gevent.killall(self._greenlets, timeout=1)

    def lives(self, name: str) -> bool:
        """Whether it is a sibling's name, and its process is there."""
        if name in self._ended or not self._place.is_sibling(name) or name == self._place.name:
            return False
        return is_running(pid_of(name))

    def calls(self) -> dict[str, str]:
        """The calls they serve or have just ended, by call_sid the channel."""
        found: dict[str, str] = {}
        for answer in self._ask_all(CALLS):
            found |= json.loads(answer)
        return found

    def figures(self) -> list[bytes]:
        """What each of them has counted."""
        return self._ask_all(FIGURES)

    def look(self) -> None:
        """Have them look at what was noted in the store; returns when they have."""
        self._ask_all(LOOK)

    def serving(self, call_sid: str) -> int | None:
        """The number of the one that serves a call, or None."""
        for number, path in self._place.siblings():
            answer = self._ask(number, path, CALLS)
            if answer is not None and call_sid in json.loads(answer):
                return number
        return None

    def pass_on(
        self, number: int, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, list[tuple[str, str]], bytes] | None:
        """Have it answer a client's request: status, headers, body. None: it could not be reached at all."""
        path = dict(self._place.siblings()).get(number)
        if path is None:
            return None
        connection = _Connection(path, PASS_ON_SECONDS)
        try:
            connection.connect()
        except OSError:
            return None
        try:
            connection.request(method, target, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _ask_all(self, target: str) -> list[bytes]:
        answers = (self._ask(number, path, target) for number, path in self._place.siblings())
        return [answer for answer in answers if answer is not None]

    def _ask(self, number: int, path: Path, target: str) -> bytes | None:
        connection = _Connection(path, ASK_SECONDS)
        try:
            connection.request("GET", target)
            return connection.getresponse().read()
        except (OSError, http.client.HTTPException) as error:
            if number in self._names:
                log.warning("a worker does not answer", extra={"worker": number, "reason": str(error)})
            return None
        finally:
            connection.close()

    def _follow(self, number: int, path: Path) -> None:
        while True:
            connection = _Connection(path, _SILENT_SECONDS)
            try:
                connection.request("GET", LIFELINE)
                self._listen(number, connection.getresponse())
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            self._notice(number)
            gevent.sleep(_AGAIN_SECONDS)

    def _listen(self, number: int, stream: http.client.HTTPResponse) -> None:
        while line := stream.readline():
            told = json.loads(line) if line.strip() else {}
            if "name" in told:
                self._notice(number)
                self._names[number] = told["name"]
                log.info("a sibling is there", extra={"worker": number})

    def _notice(self, number: int) -> None:
        """Is the one that was there gone? Its socket closes before its process ends, and may break without that."""
        name = self._names.get(number)
        if name is None or is_running(pid_of(name)):
            return
        del self._names[number]
        self._ended.add(name)
        log.warning("a sibling is gone", extra={"worker": number})
        self._gone()
