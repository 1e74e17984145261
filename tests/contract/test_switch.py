"""One suite over the stand-in and the real FreeSWITCH: what this project relies on must hold on both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from fscontrol.errors import CommandRefused, EslAuthRefused
from fscontrol.esl import commands, subscriptions
from fscontrol.esl.call_socket import CallSession, CallSocketServer
from fscontrol.esl.event import Event
from fscontrol.esl.link import Link
from fscontrol.simulator.carrier import CarrierBehaviour
from fscontrol.sofia.deliver import write_private_file
from fscontrol.sofia.status import (
    GatewayStatus,
    parse_gateways,
    require_marked,
    require_registering,
    require_started,
)
from fscontrol.sofia.tree import GATEWAY_DIRECTORY, PROFILE
from tests import switches
from tests.invites import invite
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


def deliver(
    switch: Switch, name: str, proxy: str, *, register: bool = True, password: str = "right-password"
) -> None:
    text = (
        f'<include>\n<gateway name="{name}">\n<param name="proxy" value="{proxy}"/>\n'
        f'<param name="register" value="{str(register).lower()}"/>\n<param name="username" value="9228"/>\n'
        f'<param name="password" value="{password}"/>\n</gateway>\n</include>\n'
    )
    write_private_file(switch.config_dir / GATEWAY_DIRECTORY / f"{name}.xml", text)


def gateways(link: Link) -> dict[str, GatewayStatus]:
    return parse_gateways(link.request(commands.all_gateways()).text)


def state(link: Link, name: str) -> str:
    return gateways(link)[name].state.value if name in gateways(link) else "gone"


@pytest.mark.parametrize(
    ("behaviour", "states"),
    [
        (CarrierBehaviour.ACCEPT, {"REGED"}),
        (CarrierBehaviour.CHALLENGE, {"REGED"}),
        (CarrierBehaviour.FORBIDDEN, {"FAIL_WAIT", "FAILED"}),
        (CarrierBehaviour.UNAVAILABLE, {"FAIL_WAIT", "FAILED"}),
        (CarrierBehaviour.SILENT, {"TRYING"}),
    ],
)
def test_a_gateway_registers_as_its_carrier_lets_it(
    switch: Switch, link: Link, behaviour: CarrierBehaviour, states: set[str]
) -> None:
    name = f"reg.{behaviour.value}"
    deliver(switch, name, switch.carrier(behaviour))
    require_started(link.request(commands.start_gateway(PROFILE, name)).text)
    eventually(lambda: state(link, name) in states)


def test_registration_events_name_gateway_state_and_answer(switch: Switch, link: Link) -> None:
    seen: list[Event] = []
    link.register_handle("sofia::gateway_state", seen.append)
    link.register_handle("sofia::gateway_add", seen.append)
    link.request(subscriptions.subscribe(["CUSTOM", *subscriptions.GATEWAY_EVENTS]))
    deliver(switch, "ev.ok", switch.carrier(CarrierBehaviour.CHALLENGE))
    deliver(switch, "ev.no", switch.carrier(CarrierBehaviour.FORBIDDEN))
    link.request(commands.start_new_gateways(PROFILE))

    def has(gateway: str, wanted: str) -> list[Event]:
        return [e for e in seen if e.get("Gateway") == gateway and e.get("State") == wanted]

    registered = eventually(lambda: has("ev.ok", "REGED"))
    assert registered[0].get("Register-Network-IP") == "127.0.0.1", "where the registrar answered from"
    refused = eventually(
        lambda: [e for e in seen if e.get("Gateway") == "ev.no" and e.get("Status") == "403"]
    )
    assert refused[0].get("Phrase") == "Forbidden"
    assert any(e.name == "sofia::gateway_add" and e.get("profile-name") == PROFILE for e in seen)


def test_startgw_says_ok_for_a_name_that_does_not_exist(link: Link) -> None:
    require_started(link.request(commands.start_gateway(PROFILE, "no.such.gateway")).text)
    assert "no.such.gateway" not in gateways(link)
    assert link.request(commands.one_gateway("no.such.gateway")).text.startswith("Invalid Gateway")


def test_a_changed_file_does_not_change_a_loaded_gateway(switch: Switch, link: Link) -> None:
    first, second = switch.carrier(CarrierBehaviour.ACCEPT), switch.carrier(CarrierBehaviour.ACCEPT)
    deliver(switch, "chg", first, register=False)
    link.request(commands.start_gateway(PROFILE, "chg"))
    deliver(switch, "chg", second, register=False)
    for command in (
        commands.start_gateway(PROFILE, "chg"),
        commands.api("sofia", f"profile {PROFILE} rescan"),
    ):
        link.request(command)
        assert first in link.request(commands.one_gateway("chg")).text


def test_killgw_takes_effect_later_and_unregisters_its_own_contact(switch: Switch, link: Link) -> None:
    carrier = switch.carrier(CarrierBehaviour.ACCEPT)
    deliver(switch, "kill.me", carrier)
    link.request(commands.start_gateway(PROFILE, "kill.me"))
    eventually(lambda: state(link, "kill.me") == "REGED")
    require_marked(link.request(commands.kill_gateway(PROFILE, "kill.me")).text)
    assert "kill.me" in gateways(link), "it is marked, not gone"
    eventually(lambda: "kill.me" not in gateways(link))
    contact, expires = eventually(lambda: [r for r in switch.registers(carrier) if r[1] == 0])[0]
    assert "gw+kill.me" in contact
    assert expires == 0


def test_a_registered_gateway_registers_once_more_when_told(switch: Switch, link: Link) -> None:
    carrier = switch.carrier(CarrierBehaviour.CHALLENGE)
    deliver(switch, "again", carrier)
    link.request(commands.start_gateway(PROFILE, "again"))
    eventually(lambda: state(link, "again") == "REGED")
    before = len(switch.registers(carrier))
    require_registering(link.request(commands.register_gateway(PROFILE, "again")).text)
    eventually(lambda: len(switch.registers(carrier)) > before and state(link, "again") == "REGED")
    assert all(expires > 0 for _, expires in switch.registers(carrier)), "no binding is given up for it"
    with pytest.raises(CommandRefused):
        require_registering(link.request(commands.register_gateway(PROFILE, "nope")).text)


def test_killing_an_unknown_gateway_is_refused(link: Link) -> None:
    with pytest.raises(CommandRefused):
        require_marked(link.request(commands.kill_gateway(PROFILE, "nope")).text)


def test_an_unknown_profile_is_refused_without_err(link: Link) -> None:
    answer = link.request(commands.start_gateway("nope", "g")).text
    assert "Invalid Profile" in answer
    assert not answer.startswith("-ERR")


def test_a_one_line_include_loads_nothing(switch: Switch, link: Link) -> None:
    text = '<include><gateway name="one.line"><param name="proxy" value="127.0.0.1:9"/></gateway></include>\n'
    path = switch.config_dir / GATEWAY_DIRECTORY / "one.line.xml"
    write_private_file(path, text)
    try:
        link.request(commands.start_new_gateways(PROFILE))
        assert "one.line" not in gateways(link)
    finally:
        path.unlink()


def test_a_wrong_password_is_refused(switch: Switch) -> None:
    link = Link("127.0.0.1", switch.config.esl_port, SecretStr("not-the-password"), 10.0)
    with pytest.raises(EslAuthRefused):
        link.connect()
    link.stop()


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (commands.module_exists("mod_sofia"), "true"),
        (commands.module_exists("mod_audio_stream"), "false"),
        (commands.api("uuid_exists", "00000000-0000-0000-0000-000000000000"), "false"),
        (commands.api("nosuchcommand"), "-ERR nosuchcommand Command not found!\n"),
        (commands.kill_channel("00000000-0000-0000-0000-000000000000"), "-ERR No such channel!\n"),
    ],
)
def test_api_answers(link: Link, command: commands.Command, answer: str) -> None:
    assert link.request(command).text == answer


class Listener:
    """A call socket whose decision each test writes."""

    def __init__(self, switch: Switch) -> None:
        self.calls: list[Event] = []
        self.failures: list[BaseException] = []
        self.script: list[tuple[str, str]] = []
        self.afterwards: list[tuple[str, str]] = []
        self.server = CallSocketServer("127.0.0.1", switch.call_socket_port, self.decide, 10.0, 10)

    def decide(self, session: CallSession, call: Event) -> None:
        self.calls.append(call)
        if self.afterwards:
            session.execute_and_leave(self.script, self.afterwards)
            return
        for application, argument in self.script:
            session.execute(application, argument)


@pytest.fixture
def listener(switch: Switch) -> Iterator[Listener]:
    listener = Listener(switch)
    listener.server.start()
    yield listener
    listener.server.stop()


@pytest.mark.parametrize("status", [403, 404, 480, 486, 503])
def test_respond_sends_that_status(switch: Switch, listener: Listener, status: int) -> None:
    listener.script = [("respond", str(status))]
    assert switch.call(invite("+15551230001")) == status


def test_without_a_decision_the_caller_hears_503(switch: Switch, listener: Listener) -> None:
    assert switch.call(invite("+15551230001")) == 503
    assert listener.calls


def test_without_a_listener_the_caller_hears_503(switch: Switch) -> None:
    assert switch.call(invite("+15551230001")) == 503


def test_an_answered_call_is_parked_and_reports_its_end(
    switch: Switch, listener: Listener, link: Link
) -> None:
    ended: list[Event] = []
    link.register_handle("CHANNEL_HANGUP_COMPLETE", ended.append)
    link.request(subscriptions.subscribe(("CHANNEL_HANGUP_COMPLETE",)))
    listener.script = [
        ("set", "fscontrol_call_sid=sip-test-1"),
        ("answer", ""),
        ("transfer", "park XML fscontrol"),
    ]
    assert switch.call(invite("+15551230001")) == 200
    event = eventually(lambda: [e for e in ended if e.variable("fscontrol_call_sid") == "sip-test-1"])[0]
    assert event.get("Hangup-Cause") == "NORMAL_CLEARING"
    assert event.variable("sip_term_status") in ("200", None)
    assert (event.variable("billsec") or "").isdigit()


def test_a_call_goes_on_with_what_it_was_left_with(switch: Switch, listener: Listener, link: Link) -> None:
    heard: list[Event] = []
    for name in ("CHANNEL_PARK", "CHANNEL_HANGUP_COMPLETE"):
        link.register_handle(name, heard.append)
    link.request(subscriptions.subscribe(("CHANNEL_PARK", "CHANNEL_HANGUP_COMPLETE")))
    listener.script = [("answer", ""), ("set", "fscontrol_call_sid=sip-left-1")]
    listener.afterwards = [("sched_cancel", ""), ("set", "told=all of it"), ("park", "")]
    assert switch.call(invite("+15551230001")) == 200
    of_call = eventually(
        lambda: [e for e in heard if e.variable("fscontrol_call_sid") == "sip-left-1"][1:] and heard
    )
    assert [e.get("Event-Name") for e in of_call] == ["CHANNEL_PARK", "CHANNEL_HANGUP_COMPLETE"]
    assert {e.variable("told") for e in of_call} == {"all of it"}
    assert {e.get("Caller-Destination-Number") for e in of_call} == {"+15551230001"}


def test_a_call_that_cannot_be_answered_is_not_left_behind(
    switch: Switch, listener: Listener, link: Link
) -> None:
    heard: list[Event] = []
    for name in ("CHANNEL_PARK", "CHANNEL_HANGUP_COMPLETE"):
        link.register_handle(name, heard.append)
    link.request(subscriptions.subscribe(("CHANNEL_PARK", "CHANNEL_HANGUP_COMPLETE")))
    listener.script, listener.afterwards = [("respond", "480"), ("answer", "")], [("park", "")]
    assert switch.call(invite("+15551230001")) == 480
    eventually(lambda: heard)
    assert [e.get("Event-Name") for e in heard] == ["CHANNEL_HANGUP_COMPLETE"]


def test_a_long_argument_arrives_whole(switch: Switch, listener: Listener, link: Link) -> None:
    ended: list[Event] = []
    link.register_handle("CHANNEL_HANGUP_COMPLETE", ended.append)
    link.request(subscriptions.subscribe(("CHANNEL_HANGUP_COMPLETE",)))
    told = {f"fscontrol_long_{n}": "é%41 x=" * n for n in (1, 50, 200)}
    setting = "^^;" + ";".join(f"{name}={value}" for name, value in told.items())
    listener.script = [("multiset", setting), ("answer", ""), ("transfer", "park XML fscontrol")]
    assert switch.call(invite("+15551230001")) == 200
    event = eventually(lambda: [e for e in ended if e.variable("fscontrol_long_1")])[0]
    assert {name: event.variable(name) for name in told} == told


def test_of_an_inbound_call_only_what_is_needed_is_sent(
    switch: Switch, listener: Listener, link: Link
) -> None:
    heard: list[str] = []
    for name in (*subscriptions.OUTBOUND_LEG_EVENTS, *subscriptions.CALL_EVENTS):
        link.register_handle(name, lambda event: heard.append(event.get("Event-Name")))
    for command in subscriptions.listen(subscriptions.GATEWAY_EVENTS):
        link.request(command)
    listener.script = [("ring_ready", ""), ("answer", ""), ("transfer", "park XML fscontrol")]
    assert switch.call(invite("+15551230001")) == 200
    eventually(lambda: "CHANNEL_HANGUP_COMPLETE" in heard)
    assert [name for name in heard if name != "HEARTBEAT"] == [
        "CHANNEL_PARK", "CHANNEL_HANGUP_COMPLETE",
    ]  # fmt: skip


def test_connect_describes_the_call(switch: Switch, listener: Listener) -> None:
    listener.script = [("respond", "404")]
    lines = (
        "Diversion: <sip:+15551230002@pbx.example.com>;reason=unconditional",
        "Diversion: <sip:+15551230001@pbx.example.com>;reason=no-answer",
        "X-Original-Called: +15551230004",
    )
    assert switch.call(invite("9228", *lines, to="+15551230006"), source="127.0.0.7") == 404
    call = listener.calls[-1]
    expected = {
        "sip_network_ip": "127.0.0.7",
        "sip_req_user": "9228",
        "sip_from_user": "+15559876543",
        "sip_i_x_original_called": "+15551230004",
    }
    assert {name: call.variable(name) for name in expected} == expected
    diversion = call.variable("sip_i_diversion") or ""
    assert diversion.startswith("ARRAY::<sip:+15551230002@")
    assert "|:<sip:+15551230001@" in diversion
    assert "+15551230006" in (call.variable("sip_full_to") or "")
    assert call.get("FreeSWITCH-Switchname") == "fs1"


def test_a_newline_in_a_value_forges_nothing(switch: Switch, listener: Listener) -> None:
    listener.script = [("respond", "404")]
    assert switch.call(invite("9228", "X-Original-Called: a%0Avariable_sip_network_ip: 10.9.9.9")) == 404
    assert listener.calls[-1].variable("sip_network_ip") == "127.0.0.1"


def test_a_variable_of_the_whole_node_stays_over_a_reload_of_the_xml(link: Link) -> None:
    def read() -> str:
        return link.request(commands.get_global_variable("fscontrol_contract")).text.strip()

    assert read() == "-ERR no reply"
    assert link.request(commands.set_global_variable("fscontrol_contract", "7")).text.startswith("+OK")
    assert read() == "7"
    link.request(commands.start_new_gateways(PROFILE))
    link.request(commands.reload_acl())
    assert read() == "7"
    link.request(commands.set_global_variable("fscontrol_contract", "8"))
    assert read() == "8"
