"""One gateway's registration from report to report, as a real FreeSWITCH 1.10.12 reports it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from fscontrol.model.registration import GatewayState, Registration, is_refusal
from fscontrol.sofia.timeline import MOST_TRANSITIONS, RETRY_SECONDS, Sighting, after, after_loss


def event(at: float, state: str, status: str = "UP", code: int | None = None, phrase: str = "") -> Sighting:
    return Sighting(at, GatewayState(state), status, status, code, phrase)


def look(
    at: float, state: str, status: str = "UP", *, retry: int | None = None, uptime: float | None = None
) -> Sighting:
    """A snapshot of a gateway that asks for 300 seconds."""
    word = GatewayState(state)
    return Sighting(at, word, status, is_snapshot=True, expiry=300, retry_in=retry, uptime=uptime)


def through(*reports: Sighting, start: Registration | None = None) -> Registration:
    found = start
    for seen in reports:
        found = after(found, "fs1", "g", seen)
    assert found is not None
    return found


def words(registration: Registration) -> list[str]:
    return [entry.after.value for entry in registration.timeline]


FIRST = (
    look(0, "UNREGED", "DOWN"),
    event(0.5, "TRYING", "DOWN"),
    event(0.6, "REGISTER", "DOWN", 200, "OK"),
    event(1.5, "REGED"),
)
REFUSED = (event(8, "TRYING"), event(8.1, "FAILED", "UP", 403, "Forbidden"), event(9, "FAIL_WAIT", "DOWN"))


def test_a_first_registration() -> None:
    registered = through(*FIRST)
    assert words(registered) == ["UNREGED", "TRYING", "REGISTER", "REGED"]
    assert [entry.before for entry in registered.timeline][:2] == [None, GatewayState.UNREGED]
    assert (registered.since, registered.detail, registered.refreshing) == (1.5, "200 OK", False)
    assert registered.bound_until == 300.6, "from the 200 on, not from the tick after it"
    assert not through(*FIRST[:3]).refreshing, "a first try is none"


@pytest.mark.parametrize(
    "refresh",
    [("UNREGED", "TRYING", "REGISTER", "REGED"), ("TRYING", "REGISTER", "REGED"), ("REGISTER", "REGED")],
)
@pytest.mark.parametrize("looked", [False, True])
def test_a_refresh_is_no_outage(refresh: Iterable[str], looked: bool) -> None:
    registration = through(*FIRST)
    before = registration
    for number, word in enumerate(refresh):
        at = 100.0 + number
        seen = event(at, word, "UP", *((200, "OK") if word == "REGISTER" else ()))
        registration = through(look(at, word) if looked else seen, start=registration)
        assert registration.state is GatewayState.REGED
        assert registration.refreshing is (word != "REGED")
        assert (registration.status, registration.detail) == ("UP", "200 OK")
    assert (registration.timeline, registration.since) == (before.timeline, before.since)
    if not looked:
        assert registration.bound_until == 400.0 + list(refresh).index("REGISTER")


def test_when_it_was_bound_is_when_it_was_last_bound_anew() -> None:
    registered = through(*FIRST)
    assert registered.bound_at == 1.5
    assert through(event(50, "REGED"), look(51, "REGED"), start=registered).bound_at == 1.5, "nothing new"
    refreshing = through(event(100, "TRYING"), start=registered)
    assert (refreshing.bound_at, refreshing.is_on_the_way, refreshing.is_registered) == (1.5, True, False)
    refreshed = through(event(101, "REGED"), start=refreshing)
    assert (refreshed.bound_at, refreshed.since, refreshed.is_registered) == (101, 1.5, True)
    failed = through(*REFUSED, start=registered)
    assert (failed.bound_at, failed.is_on_the_way) == (1.5, False)
    lost = after_loss(registered, 60)
    assert (lost.bound_at, through(look(70, "REGED"), start=lost).bound_at) == (1.5, 70), (
        "who knows what was between"
    )


def test_what_was_bound_before_we_looked_may_have_been_so_a_moment_ago() -> None:
    standing = through(Sighting(40, GatewayState.REGED, "UP", is_snapshot=True, uptime=30))
    assert (standing.since, standing.bound_at) == (10, 40)
    refreshing = through(look(40, "TRYING", "UP"))
    assert (refreshing.refreshing, refreshing.bound_at) == (True, 40)
    assert through(look(40, "TRYING", "DOWN")).bound_at is None


def test_a_try_after_the_binding_is_over_is_no_refresh() -> None:
    late = through(*FIRST, event(301, "TRYING"))
    assert (late.state, late.refreshing) == (GatewayState.TRYING, False)
    assert words(late)[-2:] == ["REGED", "TRYING"]


def test_a_refused_refresh_is_an_outage_though_the_binding_still_stands() -> None:
    refused = through(*FIRST, *REFUSED)
    assert words(refused)[3:] == ["REGED", "FAILED", "FAIL_WAIT"]
    assert (refused.state, refused.detail, refused.status) == (
        GatewayState.FAIL_WAIT,
        "403 Forbidden",
        "DOWN",
    )
    assert refused.bound_until == 300.6
    assert refused.next_retry_at == 9 + RETRY_SECONDS
    entry = refused.timeline[-2]
    assert (entry.at, entry.before, entry.sip_status, entry.phrase) == (
        8.1,
        GatewayState.REGED,
        403,
        "Forbidden",
    )
    assert not through(*FIRST, *REFUSED[:2], event(8.3, "UNREGED"), event(8.4, "TRYING")).refreshing


def test_an_answer_that_comes_after_the_snapshot_it_explains() -> None:
    known = through(*FIRST, look(8, "FAILED"))
    assert known.timeline[-1].sip_status is None
    explained = through(event(8.1, "FAILED", "UP", 403, "Forbidden"), start=known)
    assert (explained.timeline[-1].at, explained.timeline[-1].sip_status, explained.detail) == (
        8,
        403,
        "403 Forbidden",
    )
    assert len(explained.timeline) == len(known.timeline)
    assert explained.failures == 1


def test_a_challenge_without_end_is_the_401_that_the_carrier_sent() -> None:
    challenged = event(0.6, "FAILED", "DOWN", 904, "Operation has no matching challenge ")
    refused = through(*FIRST[:2], challenged, event(1.5, "FAIL_WAIT", "DOWN"))
    assert (refused.sip_status, refused.detail) == (401, "401 again after credentials were sent")
    assert is_refusal(refused.sip_status)
    assert refused.timeline[-2].sip_status == 401


def test_the_wait_grows_with_every_refusal_and_not_with_503() -> None:
    registration = through(*FIRST)
    for number in (1, 2, 3):
        at = 100.0 * number
        refusal = event(at, "FAILED", "DOWN", 403, "Forbidden")
        registration = through(refusal, event(at + 1, "FAIL_WAIT", "DOWN"), start=registration)
        assert registration.failures == number
        assert registration.next_retry_at == at + 1 + RETRY_SECONDS * number
        registration = through(event(at + 50, "UNREGED", "DOWN"), start=registration)
        assert registration.next_retry_at is None
    unavailable = through(
        event(500, "FAILED", "DOWN", 503, "x"), event(501, "FAIL_WAIT", "DOWN"), start=registration
    )
    assert unavailable.next_retry_at == 501 + RETRY_SECONDS
    assert through(event(600, "REGED"), start=unavailable).failures == 0


def test_a_snapshot_knows_the_next_try_better() -> None:
    refused = through(*FIRST, *REFUSED, look(10, "FAIL_WAIT", "DOWN", retry=119))
    assert (refused.next_retry_at, refused.failures) == (129, 4)
    assert refused.detail == "403 Forbidden"
    again = through(look(11.4, "FAIL_WAIT", "DOWN", retry=118), start=refused)
    assert again.next_retry_at == 129, "whole seconds: the same moment does not move"
    overdue = through(look(140, "FAIL_WAIT", "DOWN"), start=again)
    assert overdue.next_retry_at is None, "NEVER: the moment is past"
    refused_anew = through(
        event(141, "FAILED", "DOWN", 403, "x"), event(142, "FAIL_WAIT", "DOWN"), start=again
    )
    assert refused_anew.next_retry_at == 142 + 5 * RETRY_SECONDS


def test_first_seen_registered() -> None:
    found = through(look(1000, "REGED", uptime=400.0))
    assert (found.since, found.bound_until, words(found)) == (600.0, 1300.0, ["REGED"])
    refreshing = through(look(1000, "TRYING", uptime=400.0))
    assert (refreshing.state, refreshing.refreshing, refreshing.since) == (GatewayState.REGED, True, 600.0)


def test_a_registration_whose_expiry_is_not_known_yet() -> None:
    assert through(event(1, "REGED")).bound_until is None
    assert through(event(1, "REGED"), event(2, "TRYING")).refreshing
    assert through(event(1, "REGED"), look(2, "REGED")).bound_until == 302


def test_a_lost_node() -> None:
    lost = after_loss(through(*FIRST), 50)
    assert (lost.state, lost.status, lost.since, lost.bound_until) == (GatewayState.UNKNOWN, "", 50, 300.6)
    assert after_loss(lost, 60) is lost
    found = through(look(70, "REGED", uptime=68.5), start=lost)
    assert words(found)[-3:] == ["REGED", "UNKNOWN", "REGED"]
    assert found.since == 1.5, "FreeSWITCH kept the registration all the time"
    assert through(look(70, "UNREGED"), start=lost).refreshing
    assert not through(look(70, "UNREGED", "DOWN"), start=lost).refreshing


@pytest.mark.parametrize("word", ["NOREG", "DOWN", "UNREGISTER"])
def test_what_has_no_binding(word: str) -> None:
    assert through(*FIRST, event(9, word)).bound_until is None


def test_a_gateway_that_does_not_register() -> None:
    pinged = through(look(0, "NOREG", uptime=0.0), event(5, "NOREG", "DOWN", 503, "Service Unavailable"))
    assert (pinged.state, pinged.status, pinged.detail) == (
        GatewayState.NOREG,
        "DOWN",
        "503 Service Unavailable",
    )
    assert through(look(6, "NOREG", "DOWN"), start=pinged).detail == "503 Service Unavailable"
    assert words(pinged) == ["NOREG"]


def test_the_timeline_is_bounded_and_keeps_the_newest() -> None:
    registration = through(*FIRST)
    for number in range(100):
        registration = through(
            event(number, "FAILED", "DOWN", 403, "x"), event(number, "REGED"), start=registration
        )
    assert len(registration.timeline) == MOST_TRANSITIONS
    assert registration.timeline[-1].at == 99
