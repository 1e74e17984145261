"""The board of registrations, driven by the captured events of eight gateways."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from fscontrol.esl.event import Event
from fscontrol.esl.frames import FrameReader
from fscontrol.model.registration import GatewayState, Registration
from fscontrol.sofia.registrations import Registrations, sighting_of_event
from fscontrol.sofia.status import GatewayStatus, parse_gateways
from fscontrol.sofia.timeline import after
from tests.conftest import CAPTURES


def events(name: str) -> list[Event]:
    reader = FrameReader()
    reader.receive_data((CAPTURES / "gateways" / name).read_bytes())
    found = []
    while (frame := reader.next_frame()) is not None:
        found.append(Event.of_frame(frame))
    return found


def state(gateway: str, word: str, **headers: str) -> Event:
    lines = {
        "Event-Name": "CUSTOM",
        "Event-Subclass": "sofia%3A%3Agateway_state",
        "Gateway": gateway,
        "State": word,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return Event(plain="\n".join(f"{name}: {value}" for name, value in lines.items()).encode())


def board() -> Registrations:
    ticks = itertools.count(1)
    return Registrations(lambda: float(next(ticks)))


def known(registrations: Registrations, gateway: str = "g", node: str = "fs1") -> Registration:
    found = registrations.of(node, gateway)
    assert found is not None
    return found


@pytest.fixture(params=["events.plain", "events.json"])
def after_capture(request: pytest.FixtureRequest) -> Registrations:
    registrations = board()
    for event in events(str(request.param)):
        registrations.take_event("fs1", event)
    return registrations


@pytest.mark.parametrize(
    ("gateway", "expected", "detail"),
    [
        ("org7.forbidden", GatewayState.TRYING, "403 Forbidden"),
        ("org7.silent", GatewayState.FAIL_WAIT, "503 Service Unavailable"),
        ("org7.unavailable", GatewayState.TRYING, "503 Service Unavailable"),
        ("org7.badpassword", GatewayState.TRYING, "408 Request Timeout"),
        ("org7.ip-auth-dead", GatewayState.NOREG, "503 Service Unavailable"),
    ],
)
def test_the_end_of_the_capture(
    after_capture: Registrations, gateway: str, expected: GatewayState, detail: str
) -> None:
    registration = known(after_capture, gateway)
    assert (registration.state, registration.detail) == (expected, detail)
    assert registration.status == "DOWN"


def test_a_killed_gateway_is_gone(after_capture: Registrations) -> None:
    assert after_capture.of("fs1", "org7.registered") is None
    assert "org7.silent" in {registration.gateway for registration in after_capture.all()}


def test_how_a_gateway_registers_in_the_capture() -> None:
    registrations = board()
    seen: list[Registration] = []
    for event in events("events.plain"):
        registrations.take_event("fs1", event)
        registration = registrations.of("fs1", "org7.registered")
        if registration and (not seen or seen[-1] != registration):
            seen.append(registration)
    assert [r.state.value for r in seen] == ["TRYING", "REGISTER", "REGED", "DOWN"]
    assert [r.status for r in seen] == ["DOWN", "DOWN", "UP", "DOWN"]
    assert seen[2].detail == "200 OK"


def test_a_healthy_refresh_is_no_outage() -> None:
    registrations = board()
    for word in ("TRYING", "REGISTER", "REGED"):
        registrations.take_event("fs1", state("g", word, Ping_Status="UP"))
    for word in ("UNREGED", "TRYING", "REGISTER", "REGED"):
        registrations.take_event("fs1", state("g", word, Ping_Status="UP"))
        assert known(registrations).status == "UP"
        assert known(registrations).detail == "200 OK"
        assert known(registrations).state is GatewayState.REGED
        assert known(registrations).refreshing is (word != "REGED")


def test_since_is_when_the_state_began() -> None:
    registrations = board()
    registrations.take_event("fs1", state("g", "REGED"))
    began = known(registrations).since
    registrations.take_event("fs1", state("g", "REGED"))
    assert known(registrations).since == began
    registrations.take_event("fs1", state("g", "FAILED", Status="403", Phrase="Forbidden"))
    assert known(registrations).since > began
    assert known(registrations).detail == "403 Forbidden"


def test_a_lost_node_makes_its_gateways_unknown_and_no_others() -> None:
    registrations = board()
    for node in ("fs1", "fs2"):
        registrations.take_event(node, state("g", "REGED", Ping_Status="UP"))
    registrations.lost("fs1")
    lost = known(registrations)
    assert (lost.state, lost.status) == (GatewayState.UNKNOWN, "")
    assert lost.sip_status == 200
    assert known(registrations, node="fs2").state is GatewayState.REGED
    registrations.lost("no such node")


def test_a_snapshot_after_a_loss_tells_the_truth_again() -> None:
    registrations = board()
    for name in ("g", "h"):
        registrations.take_event("fs1", state(name, "REGED", Ping_Status="UP"))
    registrations.lost("fs1")
    registrations.take_snapshot("fs1", [GatewayStatus("g", "external", GatewayState.REGED, "UP")])
    assert (known(registrations).state, known(registrations).status) == (GatewayState.REGED, "UP")
    assert registrations.of("fs1", "h") is None


def test_the_captured_snapshot() -> None:
    registrations = board()
    statuses = parse_gateways((CAPTURES / "gateways" / "xmlstatus-all.xml").read_text())
    registrations.take_snapshot("fs1", statuses.values())
    assert {r.gateway: (r.state, r.status) for r in registrations.all()} == {
        name: (status.state, status.status) for name, status in statuses.items()
    }


def test_a_snapshot_keeps_the_carriers_last_answer() -> None:
    registrations = board()
    registrations.take_event("fs1", state("g", "FAILED", Status="403", Phrase="Forbidden"))
    registrations.take_snapshot("fs1", [GatewayStatus("g", "external", GatewayState.FAIL_WAIT, "DOWN")])
    assert known(registrations).detail == "403 Forbidden"


def test_nodes_are_kept_apart_and_in_order() -> None:
    registrations = board()
    for node, gateway in (("fs2", "a"), ("fs1", "b"), ("fs1", "a")):
        registrations.take_event(node, state(gateway, "REGED"))
    assert [(r.node, r.gateway) for r in registrations.all()] == [("fs1", "a"), ("fs1", "b"), ("fs2", "a")]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, (None, "")),
        ({"Status": "403", "Phrase": "Forbidden"}, (403, "Forbidden")),
        ({"Status": "x", "Phrase": "y"}, (None, "")),
        ({"Status": "²"}, (None, "")),
        ({"Status": "-1"}, (None, "")),
    ],
)
def test_the_carriers_answer(headers: dict[str, str], expected: tuple[int | None, str]) -> None:
    seen = sighting_of_event(state("g", "FAILED", **headers), 1.0)
    registration = after(None, "fs1", "g", seen)
    assert (registration.sip_status, registration.phrase) == expected


def test_a_word_we_do_not_know_is_unknown() -> None:
    assert sighting_of_event(state("g", "NEW"), 1.0).state is GatewayState.UNKNOWN


def test_other_events_change_nothing() -> None:
    registrations = board()
    registrations.take_event("fs1", Event(plain=b"Event-Name: HEARTBEAT\nGateway: g"))
    registrations.take_event(
        "fs1", Event(plain=b"Event-Name: CUSTOM\nEvent-Subclass: sofia%3A%3Agateway_add\nGateway: g")
    )
    assert registrations.all() == []


def test_the_captures_are_there() -> None:
    assert len(events("events.plain")) == len(events("events.json")) == 44
    assert Path(CAPTURES / "gateways" / "xmlstatus-all.xml").is_file()


def test_when_it_was_last_bound_outlives_a_failed_refresh() -> None:
    registrations = board()
    registrations.take_event("fs1", state("g", "TRYING"))
    assert known(registrations).bound_at is None
    registrations.take_event("fs1", state("g", "REGED"))
    bound = known(registrations).bound_at
    assert bound == known(registrations).since
    for word in ("UNREGED", "TRYING", "FAILED", "FAIL_WAIT"):
        registrations.take_event("fs1", state("g", word))
        assert known(registrations).bound_at == bound
    registrations.take_event("fs1", state("g", "REGED"))
    assert (known(registrations).bound_at or 0) > (bound or 0)


def test_a_snapshot_does_not_undo_what_an_event_told_since_it_was_asked_for() -> None:
    registrations = board()
    registrations.take_event("fs1", state("g", "TRYING"))
    asked_at = registrations.now()
    registrations.take_event("fs1", state("g", "REGED"))
    late = GatewayStatus("g", "external", GatewayState.TRYING, "DOWN")
    assert registrations.take_snapshot("fs1", [late], asked_at)["g"].state is GatewayState.REGED
    assert registrations.take_status("fs1", late, asked_at).state is GatewayState.REGED
    registrations.take_snapshot("fs1", [late], registrations.now())
    assert known(registrations).state is GatewayState.TRYING


def test_a_snapshot_does_not_end_a_refresh_that_began_since_it_was_asked_for() -> None:
    registrations = board()
    registrations.take_event("fs1", state("g", "REGED", Ping_Status="UP"))
    asked_at = registrations.now()
    registrations.take_event("fs1", state("g", "TRYING", Ping_Status="UP"))
    late = GatewayStatus("g", "external", GatewayState.REGED, "UP")
    assert registrations.take_snapshot("fs1", [late], asked_at)["g"].is_on_the_way


def ailing(registrations: Registrations, since: float = 0.0) -> set[str]:
    return {one.gateway for one in registrations.ailing("fs1", since)}


def test_the_ailing_are_told_from_the_well_at_every_look() -> None:
    registrations = board()
    seen = [GatewayStatus(name, "external", GatewayState.REGED, "UP") for name in ("a", "b", "c")]
    registrations.take_snapshot("fs1", seen)
    assert ailing(registrations) == set()
    registrations.take_event("fs1", state("a", "FAILED"))
    assert ailing(registrations) == {"a"}
    assert ailing(registrations) == {"a"}, "nothing came since, and it is down still"
    registrations.take_event("fs1", state("a", "REGED"))
    assert ailing(registrations) == {"a"}, "it is up, and lost its registration a moment ago"
    assert ailing(registrations, registrations.now()) == set()
    registrations.take_status("fs1", GatewayStatus("b", "external", GatewayState.FAIL_WAIT, "DOWN"))
    assert ailing(registrations, registrations.now()) == {"b"}
    registrations.lost("fs1")
    assert ailing(registrations, registrations.now()) == set(), "nobody knows"
    gone_bad = [GatewayStatus("c", "external", GatewayState.NOREG, "DOWN"), *seen[:2]]
    registrations.take_snapshot("fs1", gone_bad)
    assert ailing(registrations, registrations.now()) == {"c"}
    registrations.take_gone("fs1", ["c"])
    assert ailing(registrations, registrations.now()) == set()
    assert registrations.ailing("fs2", 0.0) == []
