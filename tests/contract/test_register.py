"""What a gateway reports while it registers, and what `register NAME` does to it: stand-in and real FreeSWITCH."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fscontrol.errors import CommandRefused
from fscontrol.esl import commands, subscriptions
from fscontrol.esl.event import Event
from fscontrol.esl.link import Link
from fscontrol.model.registration import GatewayState
from fscontrol.simulator.carrier import CarrierBehaviour
from fscontrol.sofia.deliver import write_private_file
from fscontrol.sofia.status import GatewayStatus, parse_gateway, require_registering
from fscontrol.sofia.tree import GATEWAY_DIRECTORY, PROFILE
from tests import switches
from tests.switches import Switch
from tests.waiting import eventually


@pytest.fixture(scope="module", params=switches.BOTH)
def switch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switch]:
    with switches.running(request.param, tmp_path_factory.mktemp("switch")) as running:
        yield running


@pytest.fixture
def link(switch: Switch) -> Iterator[Link]:
    link = Link("127.0.0.1", switch.config.esl_port, switches.PASSWORD, 10.0)
    link.connect()
    yield link
    link.stop()


@pytest.fixture
def events(switch: Switch) -> Iterator[list[Event]]:
    """Every `sofia::gateway_state` from here on; on a connection of its own."""
    seen: list[Event] = []
    link = Link("127.0.0.1", switch.config.esl_port, switches.PASSWORD, 10.0)
    link.connect()
    link.register_handle("sofia::gateway_state", seen.append)
    link.request(subscriptions.subscribe(["CUSTOM", *subscriptions.GATEWAY_EVENTS]))
    yield seen
    link.stop()


def start(switch: Switch, link: Link, name: str, carrier: str, **params: str) -> None:
    values = {"proxy": carrier, "username": "9228", "password": "right-password", **params}
    lines = "".join(f'<param name="{n.replace("_", "-")}" value="{v}"/>\n' for n, v in values.items())
    text = f'<include>\n<gateway name="{name}">\n{lines}</gateway>\n</include>\n'
    write_private_file(switch.config_dir / GATEWAY_DIRECTORY / f"{name}.xml", text)
    link.request(commands.start_gateway(PROFILE, name))


def look(link: Link, name: str) -> GatewayStatus:
    status = parse_gateway(link.request(commands.one_gateway(name)).text)
    assert status is not None
    return status


def in_state(link: Link, name: str, state: GatewayState) -> GatewayStatus:
    return eventually(lambda: [status for status in (look(link, name),) if status.state is state])[0]


def register(link: Link, name: str) -> None:
    require_registering(link.request(commands.register_gateway(PROFILE, name)).text)


def words(events: list[Event], name: str) -> list[tuple[str, str, str]]:
    return [
        (event.get("State"), event.get("Ping-Status"), event.get("Status"))
        for event in events
        if event.get("Gateway") == name
    ]


def test_the_expiry_asked_for_and_the_uptime(switch: Switch, link: Link) -> None:
    start(switch, link, "up", switch.carrier(CarrierBehaviour.ACCEPT), expire_seconds="300")
    first = look(link, "up")
    assert (first.expiry, first.retry_in, first.uptime) == (300, None, None)
    registered = in_state(link, "up", GatewayState.REGED)
    assert (registered.expiry, registered.retry_in) == (300, None)
    assert registered.uptime is not None


def test_a_waiting_gateway_registers_at_once(switch: Switch, link: Link, events: list[Event]) -> None:
    carrier = switch.carrier(CarrierBehaviour.FORBIDDEN)
    start(switch, link, "wait", carrier)
    waiting = in_state(link, "wait", GatewayState.FAIL_WAIT)
    assert waiting.retry_in is not None, "only in FAIL_WAIT is it the next try"
    assert 0 < waiting.retry_in <= 30
    eventually(lambda: [word for word in words(events, "wait") if word[0] == "FAIL_WAIT"])
    switch.behave(carrier, CarrierBehaviour.ACCEPT)
    del events[:]
    register(link, "wait")
    in_state(link, "wait", GatewayState.REGED)
    expected = [("TRYING", "DOWN", ""), ("REGISTER", "DOWN", "200"), ("REGED", "UP", "")]
    assert eventually(lambda: words(events, "wait") if len(words(events, "wait")) >= 3 else []) == expected


def test_the_backoff_is_not_reset(switch: Switch, link: Link) -> None:
    start(switch, link, "grow", switch.carrier(CarrierBehaviour.FORBIDDEN))
    in_state(link, "grow", GatewayState.FAIL_WAIT)
    nudges = 0

    def waits_longer() -> int:
        # A nudge within milliseconds of a refusal is undone by what FreeSWITCH still has to do for that: nudge again.
        nonlocal nudges
        status = look(link, "grow")
        seconds = status.retry_in or 0
        if status.state is GatewayState.FAIL_WAIT and seconds <= 30:
            register(link, "grow")
            nudges += 1
        return seconds if seconds > 30 else 0

    assert 30 < eventually(waits_longer) <= 30 * (1 + nudges)
    assert look(link, "grow").state is GatewayState.FAIL_WAIT


def test_a_registered_gateway_stays_up_meanwhile(switch: Switch, link: Link, events: list[Event]) -> None:
    start(switch, link, "stay", switch.carrier(CarrierBehaviour.CHALLENGE))
    in_state(link, "stay", GatewayState.REGED)
    eventually(lambda: [word for word in words(events, "stay") if word[0] == "REGED"])
    del events[:]
    register(link, "stay")
    eventually(lambda: [word for word in words(events, "stay") if word[0] == "REGED"])
    assert {ping for _state, ping, _code in words(events, "stay")} == {"UP"}
    assert {state for state, _ping, _code in words(events, "stay")} == {"TRYING", "REGISTER", "REGED"}


def test_a_refused_refresh(switch: Switch, link: Link, events: list[Event]) -> None:
    carrier = switch.carrier(CarrierBehaviour.ACCEPT)
    start(switch, link, "lose", carrier)
    in_state(link, "lose", GatewayState.REGED)
    switch.behave(carrier, CarrierBehaviour.FORBIDDEN)
    del events[:]
    register(link, "lose")
    eventually(lambda: [word for word in words(events, "lose") if word[0] == "FAIL_WAIT"])
    assert [word for word in words(events, "lose") if word[0] not in ("REGED", "UNREGED")] == [
        ("TRYING", "UP", ""),
        ("FAILED", "UP", "403"),
        ("FAIL_WAIT", "DOWN", ""),
    ]


def test_who_cannot_register(switch: Switch, link: Link) -> None:
    with pytest.raises(CommandRefused, match="Invalid gateway"):
        register(link, "no.such.gateway")
    answer = link.request(commands.register_gateway("nope", "g")).text
    with pytest.raises(CommandRefused, match="Invalid Profile"):
        require_registering(answer)
