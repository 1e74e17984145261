"""The HTTP client to the backend.

Owns: the connections, authorization and signature, the deadline of a whole exchange, and the bound on an answer.
Refuses: redirects, proxies and credentials from the environment, cookies, and any exception but `BackendError`.
"""

from __future__ import annotations

import errno
import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from fscontrol.backend import signature
from fscontrol.backend.deadline import within
from fscontrol.backend.kept_connections import ExchangeFailed, NoAnswer, NotHttp, Place, place_of
from fscontrol.backend.messages import PREWARM_PATH, prewarm_body
from fscontrol.errors import BackendRefused, BackendUnavailable
from fscontrol.model.call import CallRecord
from fscontrol.telemetry import tracing

LONGEST_ANSWER = 64 * 1024
_SHOWN = 200
_UNREACHABLE = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT}
_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # what is not compressed cannot unfold beyond the bound
    "User-Agent": "fscontrol",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer; `text` is its first 64 kB."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class PrewarmResult:
    """Whether the backend prepared the call; `detail` says why not."""

    prewarmed: bool
    detail: str = ""


class BackendClient:
    """The backend at `base_url`. Empty `key` or `secret`: no authorization, no signature."""

    def __init__(
        self, base_url: str, key: SecretStr, secret: SecretStr, clock: Callable[[], float] = time.time
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._secret = secret
        self._clock = clock
        self._place: Place | None = None

    def post(self, path: str, body: bytes, idempotency_key: str, deadline_seconds: float) -> Answer:
        """One POST of JSON, answered whole within the deadline. Raises `BackendUnavailable` or `BackendRefused`."""
        headers = {"Idempotency-Key": idempotency_key, **tracing.headers()}
        if self._secret.get_secret_value():
            headers[signature.HEADER] = signature.sign(self._secret, body, self._clock())
        too_late = BackendUnavailable(
            f"the backend gave no whole answer to {path} within {deadline_seconds:g} s"
        )
        with within(deadline_seconds, too_late):
            status, text = self._exchange(path, body, headers)
        if not 200 <= status < 300:
            shown = self._shown(text)
            raise BackendRefused(f"the backend answered {path} with {status}{shown and ': ' + shown}", status)
        return Answer(status, text)

    def prewarm(
        self,
        record: CallRecord,
        deadline_seconds: float,
        welcome_message: str | None = None,
        agenda: str | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> PrewarmResult:
        """Have the assistant of a call prepared. Raises as `post`; a 2xx that says nothing sensible is a no."""
        body = prewarm_body(record, welcome_message, agenda, variables)
        answer = self.post(PREWARM_PATH, body, f"{record.call_sid}:prewarm", deadline_seconds)
        return read_prewarm(answer.text, record.call_sid)

    def close(self) -> None:
        """Let go of idle connections."""
        if self._place is not None:
            self._place.close()
            self._place = None

    def _exchange(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        try:
            if self._place is None:
                self._place = place_of(self._base_url, self._key.get_secret_value(), _HEADERS)
            status, text = self._place.post(path, body, headers, LONGEST_ANSWER)
            return status, text.decode("utf-8", "replace")
        except ExchangeFailed as error:
            # In our words: theirs may repeat a header or the URL with its password.
            raise BackendUnavailable(f"the backend gave no whole answer to {path}: {_why(error)}") from None

    def _shown(self, text: str) -> str:
        """The beginning of a refusal, for whoever has to mend it; a debugging page may repeat our own headers."""
        for secret in (self._key.get_secret_value(), self._secret.get_secret_value()):
            if secret:
                text = text.replace(secret, "***")
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_SHOWN]


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "TLS failed; is its certificate valid?"
    if isinstance(error, socket.gaierror):
        return "its name does not resolve"
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return "it cannot be connected to"
    if isinstance(error, NotHttp):
        return "what came is not whole, or not valid HTTP"
    if isinstance(error, NoAnswer):
        return "the connection ended before an answer"
    return f"the connection broke ({type(error).__name__})"


def read_prewarm(text: str, call_sid: str) -> PrewarmResult:
    """What a 2xx answer of `/sip-prewarm` says."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return PrewarmResult(False, "the answer is not JSON")
    if not isinstance(document, dict) or not isinstance(document.get("prewarmed"), bool):
        return PrewarmResult(False, "the answer does not say whether it prewarmed")
    if document.get("call_sid", call_sid) != call_sid:
        return PrewarmResult(False, "the answer is about another call")
    return (
        PrewarmResult(True) if document["prewarmed"] else PrewarmResult(False, "the backend did not prewarm")
    )
