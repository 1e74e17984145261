"""Which call and which request the work at hand is about, so that every line logged meanwhile says so.

Owns: the two names, kept for each greenlet. gevent starts a greenlet with nothing of this, so work that goes on in
another is taken along with `carried`. Refuses: names that came from outside and could be more than a name in a log.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

_call_sid: ContextVar[str | Callable[[], str]] = ContextVar("call_sid", default="")
_request_id: ContextVar[str] = ContextVar("request_id", default="")
_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")


def call_sid() -> str:
    """The call at hand; empty outside of one."""
    sid = _call_sid.get()
    return sid if isinstance(sid, str) else sid()


def request_id() -> str:
    """The HTTP request at hand; empty outside of one."""
    return _request_id.get()


def fields() -> dict[str, str]:
    """What a log line says of it."""
    found = {"call_sid": call_sid(), "request_id": _request_id.get()}
    return {name: value for name, value in found.items() if value}


def begin_call(sid: str | Callable[[], str]) -> None:
    """From here on this greenlet is about a call, to its end or until the next; with an empty name, about none.

    A name that has to be looked for is looked for when somebody asks: most events are handled without a line logged.
    """
    _call_sid.set(sid)


def begin_request(named: str, call: str = "") -> str:
    """From here on this greenlet serves a request, under the name its client gave it or one made here; that name."""
    chosen = named if _HARMLESS.fullmatch(named) else secrets.token_hex(8)
    _request_id.set(chosen)
    _call_sid.set(call if _HARMLESS.fullmatch(call) else "")
    return chosen


def end_request() -> None:
    """The request is answered; its connection, and this greenlet, may serve another."""
    _request_id.set("")
    _call_sid.set("")


def carried(run: Callable[_P, _R]) -> Callable[_P, _R]:
    """`run`, to be called in another greenlet, about the same as what is done here."""
    sid, request = call_sid(), _request_id.get()

    def about_the_same(*arguments: _P.args, **named: _P.kwargs) -> _R:
        _call_sid.set(sid)
        _request_id.set(request)
        return run(*arguments, **named)

    return about_the_same
