"""The WebSocket to an assistant: opened with a deadline, TLS verified, every failure in one type.

Owns: `websocket-client` and its exceptions. Refuses: certificates that do not fit, redirects, messages beyond the
bound, proxies from the environment.
"""

from __future__ import annotations

import ssl

import websocket
from pydantic import SecretStr

from fscontrol.errors import StreamUnavailable
from fscontrol.media.twilio import LONGEST_MESSAGE

_TEXT = websocket.ABNF.OPCODE_TEXT
_BINARY = websocket.ABNF.OPCODE_BINARY
_CLOSE = websocket.ABNF.OPCODE_CLOSE


class AssistantSocket:
    """One open WebSocket. Every method raises `StreamUnavailable` once it is broken or closed."""

    def __init__(self, url: str, bearer: SecretStr, deadline: float) -> None:
        key = bearer.get_secret_value()
        header = [f"Authorization: Bearer {key}"] if key else []
        self._socket = websocket.WebSocket(
            sslopt={"cert_reqs": ssl.CERT_REQUIRED, "check_hostname": True}, enable_multithread=True
        )
        self._socket.settimeout(deadline)
        try:
            self._socket.connect(  # type: ignore[no-untyped-call]
                url, header=header, redirect_limit=0, suppress_origin=True, http_no_proxy=["*"]
            )
        except (websocket.WebSocketException, OSError, ValueError) as error:
            raise StreamUnavailable(f"the assistant's stream cannot be opened: {_why(error)}") from None
        self._socket.settimeout(None)

    def send(self, message: str) -> None:
        """Send one text message."""
        try:
            self._socket.send(message)
        except (websocket.WebSocketException, OSError) as error:
            raise StreamUnavailable(f"the assistant's stream broke: {_why(error)}") from None

    def receive(self) -> str | bytes:
        """The next text message; waits as long as it takes."""
        try:
            while True:
                opcode, data = self._socket.recv_data()
                if opcode in (_TEXT, _BINARY):
                    if len(data) > LONGEST_MESSAGE:
                        raise StreamUnavailable(f"the assistant sent a message of {len(data)} bytes")
                    return bytes(data)
                if opcode == _CLOSE:
                    raise StreamUnavailable("the assistant closed the stream")
        except (websocket.WebSocketException, OSError) as error:
            raise StreamUnavailable(f"the assistant's stream broke: {_why(error)}") from None

    def close(self) -> None:
        """Close at once; a peer that does not answer the closing handshake is not waited for."""
        try:
            self._socket.close(timeout=0)
        except (websocket.WebSocketException, OSError):
            return


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not fit ({error.verify_message})"
    if isinstance(error, websocket.WebSocketBadStatusException):
        return f"it answered {error.status_code}"
    if isinstance(error, websocket.WebSocketTimeoutException | TimeoutError):
        return "no answer in time"
    return f"{type(error).__name__}"
