"""How often a principal may ask, by group of routes; and how often an address may present what is no key.

Owns: who is counted and as what, 429 with Retry-After, and the headers that tell what is left (RateLimit and
RateLimit-Policy of draft-ietf-httpapi-ratelimit-headers). Counting is Flask-Limiter's: in memory, or in the Redis that
replicas share. Refuses: to stop anybody while Redis is away; each replica then counts for itself, and says so once.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass

from flask import Flask, Response, current_app, g, request
from flask_limiter import Limiter, RateLimitExceeded
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from fscontrol.errors import TooManyRequests
from fscontrol.http.auth import Recognise
from fscontrol.http.operation import operation_of
from fscontrol.http.problems import problem
from fscontrol.model.access import Principal
from fscontrol.settings import OFF, Settings

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_SHARED_SECONDS = 1
"""Longest wait for Redis, once; after that it is left alone for a while."""


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
    def storage(self) -> str:
        """Where it is counted, as `limits` names it."""
        return self.store_url if self.store_url.startswith("redis") else "memory://"


class RateLimits:
    """The counters of one application. `guarded` goes around who recognises keys, `install` onto the application."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._counts = {allowed.reads, allowed.writes} != {OFF}
        self._wrong_keys = None if allowed.wrong_keys == OFF else parse(allowed.wrong_keys)
        waits: dict[str, str | int] = {
            "socket_timeout": _SHARED_SECONDS,
            "socket_connect_timeout": _SHARED_SECONDS,
        }
        shared = allowed.storage != "memory://"
        options = {**waits, "wrap_exceptions": True} if shared else {}
        self._limiter = Limiter(
            _counted_as,
            application_limits=[self._limit],
            storage_uri=allowed.storage,
            storage_options=options,
            strategy="fixed-window",
            in_memory_fallback_enabled=shared,
            key_prefix="fscontrol",
            swallow_errors=True,
            enabled=self._counts,
        )
        self._limiter.request_filter(self._is_unlimited)
        # One that counts no requests is in the way of none, and has no counter to lend.
        self._own_counter = (
            None if self._counts else FixedWindowRateLimiter(storage_from_string(allowed.storage, **options))
        )
        # What it says of each refusal would be a line for each; that Redis is away is a warning, and said once.
        log = logging.getLogger("flask-limiter")
        log.setLevel(logging.WARNING)
        log.addFilter(_is_said_once)

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
        self._limiter.init_app(app)
        if self._counts:
            app.after_request(self._tell)

        @app.errorhandler(RateLimitExceeded)
        def _refuse(_error: RateLimitExceeded) -> Response:
            return problem(TooManyRequests("too many requests; try again later", self._seconds_left()))

    def _limit(self) -> str:
        return self._allowed.reads if request.method in _READS else self._allowed.writes

    def _is_unlimited(self) -> bool:
        wanted = operation_of(current_app, request.endpoint)
        return self._limit() == OFF or (wanted is not None and wanted.is_unlimited)

    def _count_wrong_key(self, address: str) -> None:
        if self._wrong_keys is None:
            return
        try:
            counter = self._own_counter or self._limiter.limiter
            if counter.hit(self._wrong_keys, "wrong keys", address):
                return
            until = counter.get_window_stats(self._wrong_keys, "wrong keys", address).reset_time
        except StorageError:
            return
        raise TooManyRequests("too many wrong keys from this address; try again later", _seconds_to(until))

    def _seconds_left(self) -> int:
        current = self._limiter.current_limit
        try:
            return _seconds_to(current.window.reset_time) if current else 1
        except StorageError:
            return 1

    def _tell(self, response: Response) -> Response:
        current = self._limiter.current_limit
        if current is None:
            return response
        try:
            window = current.window
        except StorageError:
            return response
        policy, seconds = _policy(current.limit), _seconds_to(window.reset_time)
        response.headers["RateLimit-Policy"] = (
            f"{policy};q={current.limit.amount};w={current.limit.get_expiry()}"
        )
        response.headers["RateLimit"] = f"{policy};r={window.remaining};t={seconds}"
        return response


def _is_said_once(record: logging.LogRecord) -> bool:
    """Not the requests that were waiting for Redis when it was found to be away; they go on uncounted."""
    return not (record.exc_info and isinstance(record.exc_info[1], StorageError))


def _counted_as() -> str:
    """Who asks and for which group of routes: what is counted together. Open routes know only the address."""
    known = g.get("principal")
    who = f"{known.organization or '*'}/{known.name}" if isinstance(known, Principal) else request.remote_addr
    wanted = operation_of(current_app, request.endpoint)
    return f"{who}|{wanted.tag if wanted else ''}|{'reads' if request.method in _READS else 'writes'}"


def _policy(_limit: RateLimitItem) -> str:
    return '"reads"' if request.method in _READS else '"writes"'


def _seconds_to(moment: float) -> int:
    return max(1, math.ceil(moment - time.time()))
