"""The HTTP client to the backend.

Owns: the connections, authorization and signature, the deadline of a whole exchange, and the bound on an answer.
Refuses: redirects, proxies and credentials from the environment, cookies, and any exception but `BackendError`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import certifi
import urllib3
from pydantic import SecretStr
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, SSLError

from fscontrol.backend import signature
from fscontrol.backend.deadline import within
from fscontrol.backend.messages import PREWARM_PATH, prewarm_body
from fscontrol.errors import BackendRefused, BackendUnavailable
from fscontrol.model.call import CallRecord
from fscontrol.telemetry import tracing

LONGEST_ANSWER = 64 * 1024
_MOST_CONNECTIONS = 100
_SHOWN = 200


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
        self._place: _Place | None = None

    def post(self, path: str, body: bytes, idempotency_key: str, deadline_seconds: float) -> Answer:
        """One POST of JSON, answered whole within the deadline. Raises `BackendUnavailable` or `BackendRefused`."""
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # what is not compressed cannot unfold beyond the bound
            "Idempotency-Key": idempotency_key,
            "User-Agent": "fscontrol",
            **tracing.headers(),
        }
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
            self._place.connections.close()
            self._place = None

    def _exchange(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        # Without a timeout for each read: the deadline is of the whole, and a timer is what each would cost.
        try:
            if self._place is None:
                self._place = _place_of(self._base_url, self._key.get_secret_value())
            place = self._place
            response = place.connections.urlopen(
                "POST",
                place.path + path,
                body,
                {**headers, **place.authorization},
                retries=False,
                redirect=False,
                preload_content=False,
            )
            try:
                return response.status, _bounded(response).decode("utf-8", "replace")
            finally:
                response.close()  # an answer that was not read whole takes its connection with it
                response.release_conn()
        except (HTTPError, OSError, ValueError) as error:
            # In our words: theirs may repeat a header or the URL with its password.
            raise BackendUnavailable(f"the backend gave no whole answer to {path}: {_why(error)}") from None

    def _shown(self, text: str) -> str:
        """The beginning of a refusal, for whoever has to mend it; a debugging page may repeat our own headers."""
        for secret in (self._key.get_secret_value(), self._secret.get_secret_value()):
            if secret:
                text = text.replace(secret, "***")
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_SHOWN]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the backend is: connections that are kept, the path before each of ours, and who we say we are."""

    connections: urllib3.HTTPConnectionPool
    path: str
    authorization: Mapping[str, str]


def _place_of(base_url: str, key: str) -> _Place:
    """Raises `HTTPError` for what is no URL. Without a key a user in the URL is who we are."""
    url = urllib3.util.parse_url(base_url)
    options: dict[str, Any] = {"maxsize": _MOST_CONNECTIONS}
    if url.scheme == "https":
        options["ca_certs"] = certifi.where()
    authorization = {}
    if key:
        authorization["Authorization"] = f"Bearer {key}"
    elif url.auth:
        authorization = urllib3.util.make_headers(basic_auth=unquote(url.auth))
    return _Place(urllib3.connection_from_url(base_url, **options), url.path or "", authorization)


def _bounded(stream: urllib3.BaseHTTPResponse) -> bytes:
    """The body's first 64 kB, undecoded; closing the response drops the rest. A body cut short raises at its end."""
    read = b""
    while len(read) < LONGEST_ANSWER and (
        piece := stream.read(LONGEST_ANSWER - len(read), decode_content=False)
    ):
        read += piece
    return read


def _why(error: Exception) -> str:
    if isinstance(error, SSLError):
        return "TLS failed; is its certificate valid?"
    if isinstance(error, NameResolutionError):
        return "its name does not resolve"
    if isinstance(error, NewConnectionError):
        return "it cannot be connected to"
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
