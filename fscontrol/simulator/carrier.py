"""What a carrier answers to SIP requests: a small registrar for demos and tests, without I/O.

Owns: `CarrierBehaviour`, the answer to one request, the REGISTERs seen and the bindings they leave.
Refuses: sockets (see `carrier_server.py`), reading and writing SIP (see `sip_message.py`), media, answering a call
with anything but a refusal.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from enum import StrEnum

from pydantic import SecretStr

from fscontrol.simulator.sip_message import SipRequest, auth_parameters, contacts, parse_request, response

_REALM = "carrier.example.com"
_DEFAULT_EXPIRES = 3600
_TOO_BRIEF = 5
_ALLOW = ("Allow", "REGISTER, OPTIONS, INVITE, ACK, BYE, CANCEL")


class CarrierBehaviour(StrEnum):
    """How the carrier treats a REGISTER."""

    ACCEPT = "accept"
    """200 without asking for credentials."""
    CHALLENGE = "challenge"
    """401 with a digest challenge, then 200 for the right username and password and 403 for wrong ones."""
    FORBIDDEN = "forbidden"
    """403 always."""
    UNAVAILABLE = "unavailable"
    """503 always."""
    SILENT = "silent"
    """No answer to anything, as a carrier behind a dropping firewall."""
    ENDLESS_CHALLENGE = "endless_challenge"
    """401 always, whatever credentials come."""


@dataclass(frozen=True, slots=True)
class Registration:
    """One REGISTER as it was received, and what it was answered."""

    time: float
    """When, in the clock of `answer`'s `now`, seconds."""
    aor: str
    """The address-of-record: the URI of To."""
    contact: str
    """The Contact's URI; `*` for all of them, empty for a mere query. One entry for each Contact."""
    expires: int
    """Seconds asked for; 0 removes the binding."""
    username: str
    """The digest's username; empty when there were no credentials."""
    status: int | None
    """The answer's status; None when the carrier stayed silent."""
    bound: frozenset[str] = frozenset()
    """The contacts that the address-of-record has after it."""


class Bindings:
    """The contacts of every address-of-record, each with the time its binding ends.

    `only_one`: a new Contact takes the place of the one before, whosever that was, as many carriers do. Taking away
    a Contact that is not bound any more takes nothing away (RFC 3261 §10.2.2).
    """

    def __init__(self, *, only_one: bool = False) -> None:
        self.only_one = only_one
        self._held: dict[str, dict[str, float]] = {}

    def take(self, aor: str, contact: str, expires: int, now: float) -> None:
        """Follow one Contact of a REGISTER that was accepted. `expires` 0 removes it, `*` all of them."""
        held = self._held.setdefault(aor, {})
        if contact == "*":
            held.clear()
        elif expires <= 0:
            held.pop(contact, None)
        else:
            if self.only_one:
                held.clear()
            held[contact] = now + max(expires, _TOO_BRIEF)

    def current(self, now: float) -> dict[str, dict[str, float]]:
        """Of every address-of-record the contacts that have not expired."""
        current = {
            aor: {contact: until for contact, until in held.items() if until > now}
            for aor, held in self._held.items()
        }
        return {aor: held for aor, held in current.items() if held}


class Carrier:
    """A registrar with one account and one behaviour, which may be changed while it runs.

    `invite_status` (300 to 699) is what every INVITE is answered; FORBIDDEN and UNAVAILABLE go before it.
    """

    def __init__(
        self,
        behaviour: CarrierBehaviour,
        *,
        username: str = "",
        password: SecretStr | None = None,
        invite_status: int = 486,
        only_one_binding: bool = False,
    ) -> None:
        if not 300 <= invite_status <= 699:
            raise ValueError(f"an INVITE can only be refused here, with 300 to 699, not {invite_status}")
        self.behaviour = behaviour
        self.username = username
        self.password = password or SecretStr("")
        self.invite_status = invite_status
        self.registrations: list[Registration] = []
        self._bindings = Bindings(only_one=only_one_binding)
        self._nonce_key = secrets.token_bytes(16)

    def answer(self, request: bytes, now: float, source: tuple[str, int] | None = None) -> bytes | None:
        """The bytes to send back for one datagram, None when there is nothing to say.

        `source` is where it came from; when given it is written into the Via (RFC 3581).
        """
        message = parse_request(request)
        if message is None or message.method == "ACK":
            return None
        status, extra = self._decide(message, now)
        if self.behaviour is CarrierBehaviour.SILENT:
            return None
        return response(message, status, extra, source)

    def bindings(self, now: float) -> dict[str, dict[str, float]]:
        """Of every address-of-record the contacts that have not expired, each with the time it will."""
        return self._bindings.current(now)

    def _decide(self, message: SipRequest, now: float) -> tuple[int, list[tuple[str, str]]]:
        if message.method == "REGISTER":
            return self._register(message, now)
        if message.method == "INVITE":
            refusals = {CarrierBehaviour.FORBIDDEN: 403, CarrierBehaviour.UNAVAILABLE: 503}
            return refusals.get(self.behaviour, self.invite_status), []
        if message.method in ("OPTIONS", "BYE", "CANCEL"):
            return 200, [_ALLOW]
        return 405, [_ALLOW]  # RFC 3261 §21.4.6 wants the Allow header

    def _register(self, message: SipRequest, now: float) -> tuple[int, list[tuple[str, str]]]:
        credentials = auth_parameters(message.header("authorization"))
        status, extra = self._admit(message, credentials, now)
        asked = contacts(message, _DEFAULT_EXPIRES)
        silent = self.behaviour is CarrierBehaviour.SILENT
        if status == 200 and not silent:
            for contact, expires in asked:
                self._bindings.take(message.aor, contact, expires, now)
        held = self.bindings(now).get(message.aor, {})
        for contact, expires in asked or [("", 0)]:
            self.registrations.append(
                Registration(
                    now,
                    message.aor,
                    contact,
                    expires,
                    credentials.get("username", ""),
                    None if silent else status,
                    frozenset(held),
                )
            )
        if status != 200 or silent:
            return status, extra
        # RFC 3261 §10.3, step 8: the answer lists every binding there is now.
        return 200, [
            ("Contact", f"<{contact}>;expires={round(until - now)}") for contact, until in held.items()
        ]

    def _admit(
        self, message: SipRequest, credentials: dict[str, str], now: float
    ) -> tuple[int, list[tuple[str, str]]]:
        challenge = ("WWW-Authenticate", self._challenge(now))
        match self.behaviour:
            case CarrierBehaviour.FORBIDDEN:
                return 403, []
            case CarrierBehaviour.UNAVAILABLE:
                return 503, []
            case CarrierBehaviour.ENDLESS_CHALLENGE:
                return 401, [challenge]
            case CarrierBehaviour.CHALLENGE:
                if not self._is_our_nonce(credentials.get("nonce", "")):
                    return 401, [challenge]
                return (200, []) if self._is_right(message.method, credentials) else (403, [])
            case CarrierBehaviour.ACCEPT | CarrierBehaviour.SILENT:
                return 200, []

    def _challenge(self, now: float) -> str:
        stamp = f"{now:.6f}"
        return f'Digest realm="{_REALM}", nonce="{stamp}-{self._seal(stamp)}", algorithm=MD5, qop="auth"'

    def _is_our_nonce(self, nonce: str) -> bool:
        stamp, _, seal = nonce.partition("-")
        return hmac.compare_digest(seal.encode(), self._seal(stamp).encode())

    def _seal(self, stamp: str) -> str:
        return hmac.new(self._nonce_key, stamp.encode(), "sha256").hexdigest()[:32]

    def _is_right(self, method: str, credentials: dict[str, str]) -> bool:
        if credentials.get("username") != self.username:
            return False
        expected = digest_response(method, credentials, self.password)
        return hmac.compare_digest(expected.encode(), credentials.get("response", "").encode())


def digest_response(method: str, credentials: dict[str, str], password: SecretStr) -> str:
    """The `response` that digest credentials must carry for `password` (RFC 2617 §3.2.2, MD5, qop none or auth)."""
    given = credentials.get
    first = _md5(f"{given('username', '')}:{given('realm', '')}:{password.get_secret_value()}")
    second = _md5(f"{method}:{given('uri', '')}")
    if "qop" not in credentials:
        return _md5(f"{first}:{given('nonce', '')}:{second}")
    middle = f"{given('nonce', '')}:{given('nc', '')}:{given('cnonce', '')}:{given('qop', '')}"
    return _md5(f"{first}:{middle}:{second}")


def _md5(text: str) -> str:
    # SIP's digest is MD5 by definition; nothing here is protected by it.
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
