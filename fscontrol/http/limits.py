"""How often a principal may ask, by group of routes; and how often an address may present what is no key.

Owns: who is counted and as what, 429 with Retry-After, and the headers that tell what is left (RateLimit and
RateLimit-Policy of draft-ietf-httpapi-ratelimit-headers). `counting` counts.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from flask import Flask, Response, current_app, g, request

from fscontrol.errors import TooManyRequests
from fscontrol.http.auth import Recognise
from fscontrol.http.counting import Counter, Rate
from fscontrol.http.operation import Operation, operation_of
from fscontrol.model.access import Principal
from fscontrol.settings import OFF, Settings

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Allowed:
    """How often, such as `600/minute`, or `off`. `store_url`: a Redis in which replicas count together, or another.

    `wrong_keys` are of one address: a guesser, or a client gone wrong, is not to fill the log and keep the store busy.
    """

    reads: str
    writes: str
    store_url: str = ""
    wrong_keys: str = OFF

    @classmethod
    def by(cls, settings: Settings) -> Allowed:
        """What the settings say."""
        return cls(
            settings.rate_limit,
            settings.rate_limit_writes,
            settings.store_url,
            settings.rate_limit_wrong_keys,
        )

    @property
    def redis(self) -> str:
        """The Redis in which it is counted; empty: in memory."""
        return self.store_url if self.store_url.startswith("redis") else ""


class RateLimits:
    """The counters of one application. `guarded` goes around who recognises keys, `install` onto the application."""

    def __init__(self, allowed: Allowed) -> None:
        self._reads, self._writes, self._wrong_keys = (
            None if text == OFF else Rate.of(text)
            for text in (allowed.reads, allowed.writes, allowed.wrong_keys)
        )
        self._counter = Counter(allowed.redis)

    def guarded(self, recognise: Recognise) -> Recognise:
        """The same, but that an address with too many wrong keys gets `TooManyRequests`.

        A right key is known before anything is counted: others behind the same address are not locked out.
        """

        def recognise_within_limits(presented: str) -> Principal | None:
            known = recognise(presented)
            if known is None and presented:
                self._count_wrong_key(request.remote_addr or "")
            return known

        return recognise_within_limits

    def install(self, app: Flask) -> None:
        """Count every request from now on; after `auth.require_principals`, so that it is known who asks."""
        if self._reads or self._writes:
            app.before_request(self._count)
            app.after_request(_tell)

    def _count(self) -> None:
        rate = self._reads if request.method in _READS else self._writes
        wanted = operation_of(current_app, request.endpoint)
        if rate is None or (wanted is not None and wanted.is_unlimited):
            return
        window = self._counter.hit(rate, _counted_as(wanted))
        g.rate_limit = rate, window.left, window.ends_at
        if not window.is_within:
            raise TooManyRequests("too many requests; try again later", _seconds_to(window.ends_at))

    def _count_wrong_key(self, address: str) -> None:
        if self._wrong_keys is None:
            return
        window = self._counter.hit(self._wrong_keys, "wrong keys", address)
        if not window.is_within:
            why = "too many wrong keys from this address; try again later"
            raise TooManyRequests(why, _seconds_to(window.ends_at))


def _tell(response: Response) -> Response:
    counted = g.get("rate_limit")
    if counted is not None:
        rate, left, ends_at = counted
        policy = '"reads"' if request.method in _READS else '"writes"'
        response.headers["RateLimit-Policy"] = f"{policy};q={rate.amount};w={rate.seconds}"
        response.headers["RateLimit"] = f"{policy};r={left};t={_seconds_to(ends_at)}"
    return response


def _counted_as(wanted: Operation | None) -> str:
    """Who asks and for which group of routes: what is counted together. Open routes know only the address."""
    known = g.get("principal")
    who = f"{known.organization or '*'}/{known.name}" if isinstance(known, Principal) else request.remote_addr
    return f"{who}|{wanted.tag if wanted else ''}|{'reads' if request.method in _READS else 'writes'}"


def _seconds_to(moment: float) -> int:
    return max(1, math.ceil(moment - time.time()))
