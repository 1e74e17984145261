"""Sessions of the operators' page: a signed cookie that stands for an API key, for a while.

Owns: the cookie's text and the token that the page's forms carry against forged requests. Refuses: to keep anything in
the store: every control plane of an installation reads the cookies of the others by the key they share. What the cookie
names is the key's digest, so a session ends with its key; one that was signed out is refused until it would have ended,
by the control plane that was told.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

from pydantic import SecretStr

from fscontrol.model.access import Principal, Role

COOKIE = "fscontrol_session"
FORM_COOKIE = "fscontrol_form"
"""What stands for the browser before anybody signed in, so that a sign-in cannot be forged either."""
FORM_FIELD = "form"
MOST_ENDED = 10_000
_PURPOSE = b"fscontrol page session\x00"
_PARTS = 4
_LONGEST = 300
OfDigest = Callable[[str], Principal | None]


def bridge_digest(api_key: SecretStr, digest: Callable[[str], str]) -> OfDigest:
    """Who the installation's own key is, by its digest; another key in the settings ends its sessions."""
    text = api_key.get_secret_value()
    expected = digest(text)

    def of_digest(presented: str) -> Principal | None:
        same = hmac.compare_digest(presented.encode(), expected.encode())
        return Principal("SIP_BRIDGE_API_KEY", Role.BRIDGE) if same and text else None

    return of_digest


class Sessions:
    """Makes and reads cookies. `of_digest` are asked in their turn who a key's digest stands for, if it still works."""

    def __init__(
        self,
        installation_key: bytes,
        digest: Callable[[str], str],
        of_digest: tuple[OfDigest, ...],
        seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.seconds = seconds
        self._key = hmac.digest(installation_key, _PURPOSE, "sha256")
        self._digest = digest
        self._of_digest = of_digest
        self._clock = clock
        self._ended: dict[str, int] = {}

    def begin(self, api_key: str) -> str:
        """A cookie for whoever presented this key."""
        expires_at = int(self._clock() + self.seconds)
        bare = f"{expires_at}.{secrets.token_hex(16)}.{self._digest(api_key)}"
        return f"{bare}.{self._signature('session', bare)}"

    def principal(self, cookie: str) -> Principal | None:
        """Who it stands for; None: it is none of ours, ended, or its key works no more. Raises `StoreError`."""
        parts = cookie.split(".") if len(cookie) <= _LONGEST and cookie.isascii() else []
        if len(parts) != _PARTS:
            return None
        bare, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature, self._signature("session", bare)):
            return None
        if self._clock() >= int(parts[0]) or parts[1] in self._ended:
            return None
        return next((known for of in self._of_digest if (known := of(parts[2])) is not None), None)

    def end(self, cookie: str) -> None:
        """Refuse it from now on, though a copy of it were kept. Only for one that `principal` knows."""
        expires_at, name, *_ = cookie.split(".")
        now = self._clock()
        self._ended = {one: until for one, until in self._ended.items() if until > now}
        if len(self._ended) >= MOST_ENDED:
            self._ended.pop(next(iter(self._ended)))
        self._ended[name] = int(expires_at)

    def form_token(self, cookie: str) -> str:
        """What forms sent with this cookie carry: no other site can know it."""
        return self._signature("form", cookie)

    def is_form_of(self, cookie: str, token: str) -> bool:
        """Whether a form was made for this cookie."""
        return bool(cookie) and hmac.compare_digest(token.encode(), self.form_token(cookie).encode())

    def _signature(self, what: str, text: str) -> str:
        return hmac.new(self._key, f"{what}\x00{text}".encode(), hashlib.sha256).hexdigest()
