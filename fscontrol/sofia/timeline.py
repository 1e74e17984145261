"""How a gateway's registration moves from one report to the next; pure.

Owns: the one transition that events and snapshots both go through, and the bounded timeline it leaves. Refuses: to
call a healthy refresh an outage.

What a real FreeSWITCH 1.10.12 reports, and what this rests on:

- A refresh passes through UNREGED, TRYING, REGISTER, REGED, or through REGISTER, REGED alone when sofia-sip refreshes
  by itself, a third to two thirds of the way; the status stays UP throughout. A first registration and every retry go
  through the same states with status DOWN.
- `freq` (and `expires`, the same as text) is the expiry that is *asked for*, in seconds. It does not move when the
  registrar grants less: asked 3600, granted 20, both went on saying 3600 while a REGISTER left every 6 s. No event
  carries the granted expiry. So the end of a binding is known as "at the latest", from the last 200 on.
- `retry` is there in FAILED, TRYING and FAIL_WAIT, and only in FAIL_WAIT does it count down to the next try: `9s` …
  `0s`. `NEVER` is what FreeSWITCH prints when that moment has passed. The wait is retry-seconds times the failures in a
  row, except after 503. A 200 starts the count anew; `register NAME` does not: it skips one wait, the next is longer.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace

from fscontrol.model.registration import ENDLESS_CHALLENGE, GatewayState, Registration, Transition

MOST_TRANSITIONS = 50
"""Kept for each gateway; a carrier that refuses leaves four for every try."""
RETRY_SECONDS = 30
"""sofia's default of `retry-seconds`, which the gateways rendered here leave as it is."""

_PASSING = frozenset({GatewayState.UNREGED, GatewayState.TRYING, GatewayState.REGISTER})
_UNHEALTHY = frozenset(
    {
        GatewayState.FAILED,
        GatewayState.FAIL_WAIT,
        GatewayState.TIMEOUT,
        GatewayState.EXPIRED,
        GatewayState.DOWN,
    }
)
"""States that a 200 of before does not explain: a missed ping fails a registered gateway without any answer."""
_ASKED_AGAIN = "again after credentials were sent"
"""What the carrier did; 904 is sofia-sip's own word for it, and no operator's."""
_UNBOUND = frozenset({GatewayState.NOREG, GatewayState.UNREGISTER, GatewayState.DOWN})


@dataclass(frozen=True, slots=True)
class Sighting:
    """One report of a gateway, at `at` (epoch seconds). What it does not say is empty, 0 or None.

    Only a snapshot knows `expiry` (`freq`), `retry_in` and `uptime`, all in seconds; only an event brings an answer.
    """

    at: float
    state: GatewayState
    status: str = ""
    ping: str = ""
    sip_status: int | None = None
    phrase: str = ""
    is_snapshot: bool = False
    expiry: int = 0
    retry_in: int | None = None
    uptime: float | None = None


def after(previous: Registration | None, node: str, gateway: str, seen: Sighting) -> Registration:
    """The registration after one report."""
    status = seen.status or (previous.status if previous else "")
    refreshing = _is_refresh(previous, seen, status)
    state = GatewayState.REGED if refreshing else seen.state
    sip_status, phrase = _answer(previous, seen)
    failures = _failures(previous, seen)
    return Registration(
        node=node,
        gateway=gateway,
        state=state,
        status=status,
        since=_since(previous, state, seen),
        sip_status=sip_status,
        phrase=phrase,
        ping=seen.ping or (previous.ping if previous else ""),
        refreshing=refreshing,
        expiry=seen.expiry or (previous.expiry if previous else 0),
        bound_at=_bound_at(previous, seen, refreshing=refreshing),
        bound_until=_bound_until(previous, seen),
        next_retry_at=_next_retry_at(previous, seen, sip_status, failures),
        failures=failures,
        told_at=seen.at if not seen.is_snapshot else previous.told_at if previous else None,
        timeline=_with(previous, seen.at, state, sip_status, phrase),
    )


def after_loss(previous: Registration, now: float) -> Registration:
    """The node cannot be seen: the gateway may be as before, or not. When its binding ends is known all the same."""
    if previous.state is GatewayState.UNKNOWN:
        return previous
    return Registration(
        node=previous.node,
        gateway=previous.gateway,
        state=GatewayState.UNKNOWN,
        status="",
        since=now,
        sip_status=previous.sip_status,
        phrase=previous.phrase,
        ping=previous.ping,
        expiry=previous.expiry,
        bound_at=previous.bound_at,
        bound_until=previous.bound_until,
        failures=previous.failures,
        told_at=previous.told_at,
        timeline=_with(previous, now, GatewayState.UNKNOWN, None, ""),
    )


def _is_refresh(previous: Registration | None, seen: Sighting, status: str) -> bool:
    """A binding stands while the next is asked for. At first sight the status alone tells it from a first try."""
    was_bound = previous is None or previous.state in (GatewayState.REGED, GatewayState.UNKNOWN)
    until = previous.bound_until if previous else None
    return was_bound and seen.state in _PASSING and status == "UP" and (until is None or seen.at < until)


def _answer(previous: Registration | None, seen: Sighting) -> tuple[int | None, str]:
    if seen.state is GatewayState.REGED:
        return 200, "OK"
    if seen.sip_status == ENDLESS_CHALLENGE:
        return 401, _ASKED_AGAIN
    if seen.sip_status is not None:
        return seen.sip_status, sys.intern(seen.phrase)  # thousands of gateways, and few phrases
    if previous is None:
        return None, ""
    told_before = seen.is_snapshot and previous.state is seen.state
    unexplained = seen.state in _UNHEALTHY and previous.sip_status == 200
    if not told_before and (seen.state is GatewayState.NOREG or unexplained):
        return None, ""
    return previous.sip_status, previous.phrase


def _since(previous: Registration | None, state: GatewayState, seen: Sighting) -> float:
    if previous is not None and previous.state is state:
        return previous.since
    # FreeSWITCH counts from the moment the gateway came up, which may be long before this process did.
    is_up = state in (GatewayState.REGED, GatewayState.NOREG)
    return seen.at - seen.uptime if seen.uptime is not None and is_up else seen.at


def _bound_at(previous: Registration | None, seen: Sighting, *, refreshing: bool) -> float | None:
    """When it was last bound anew. What was bound before we looked may have been so a moment ago: the latest counts."""
    known = previous.bound_at if previous else None
    stood = previous is not None and previous.state is GatewayState.REGED and not previous.refreshing
    is_news = not stood if seen.state is GatewayState.REGED else refreshing and known is None
    return seen.at if is_news else known


def _bound_until(previous: Registration | None, seen: Sighting) -> float | None:
    if seen.state in _UNBOUND:
        return None
    known = previous.bound_until if previous else None
    expiry = seen.expiry or (previous.expiry if previous else 0)
    is_ok = seen.state is GatewayState.REGISTER and seen.sip_status == 200
    is_news = seen.state is GatewayState.REGED and (known is None or known <= seen.at)
    return seen.at + expiry if expiry and (is_ok or is_news) else known


def _failures(previous: Registration | None, seen: Sighting) -> int:
    known = previous.failures if previous else 0
    if seen.state is GatewayState.REGED:
        return 0
    if seen.state is GatewayState.FAILED and (previous is None or previous.state is not GatewayState.FAILED):
        return known + 1
    if seen.state is GatewayState.FAIL_WAIT and seen.retry_in:
        return max(known, math.ceil(seen.retry_in / RETRY_SECONDS))  # refused before we looked
    return known


def _next_retry_at(
    previous: Registration | None, seen: Sighting, sip_status: int | None, failures: int
) -> float | None:
    if seen.state is not GatewayState.FAIL_WAIT:
        return None
    known = previous.next_retry_at if previous and previous.state is GatewayState.FAIL_WAIT else None
    if not seen.is_snapshot:
        # An event does not say; until the next look at the node it is what FreeSWITCH computes.
        wait = RETRY_SECONDS * (1 if sip_status == 503 else max(1, failures))
        return known or seen.at + wait
    if seen.retry_in is None:
        return None
    told = seen.at + seen.retry_in
    # Whole seconds: the same moment, told twice, must not seem to move.
    return known if known is not None and abs(known - told) < 1.5 else told


def _with(
    previous: Registration | None, at: float, state: GatewayState, sip_status: int | None, phrase: str
) -> tuple[Transition, ...]:
    timeline = previous.timeline if previous else ()
    if previous is not None and previous.state is state:
        if sip_status is not None and timeline and timeline[-1].sip_status is None:
            # A snapshot overtook the event that says why: another connection.
            return (*timeline[:-1], replace(timeline[-1], sip_status=sip_status, phrase=phrase))
        return timeline
    entry = Transition(at, previous.state if previous else None, state, sip_status, phrase)
    return (*timeline, entry)[-MOST_TRANSITIONS:]
