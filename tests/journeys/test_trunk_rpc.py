"""Conformance of the provisioning door. Each row quotes the sentence of the contract (seeds/002) that it proves."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from lxml import etree

from fscontrol.cli.assistant_echo import AssistantServer
from fscontrol.esl import call_commands
from fscontrol.http.trunk_rpc import WARNING_HEADER
from fscontrol.provisioning.rpc_trunk import TrunkRequest
from fscontrol.sofia.deliver import organization_file
from fscontrol.sofia.tree import GATEWAY_DIRECTORY
from tests import bridge, on_the_line, switches
from tests.backends import answer, running_backend
from tests.bridge import API_KEY, Bridge
from tests.call_backend import CallBackend
from tests.conversations import Assistant, calling
from tests.invites import invite
from tests.switches import RealSwitch, StandInSwitch
from tests.unit.test_fetched_audio import wav
from tests.waiting import eventually

NUMBER = {"id": 1, "phone_number": "+15551230001", "assistant_id": 123}
TOKEN, PASSWORD = "rpc-token-canary-5b1c", "rpc-password-canary-77de"

PUBLISHED: dict[str, tuple[str, Any, str]] = {
    "admin_token": ("string", None, "Admin JWT."),
    "trunk_id": ("string", None, "Stable identifier; this is what SDKs reference."),
    "channel_limit": ("uint32", 50, "Max concurrent calls on the trunk."),
    "internal_sip_ip": ("string", "", "Gateway-side SIP bind."),
    "external_sip_ip": ("string", "", "Public IP advertised in SIP headers (NAT)."),
    "internal_rtp_ip": ("string", "", "Gateway-side RTP bind."),
    "external_rtp_ip": ("string", "", "Public IP for RTP; usually equals external_sip_ip."),
    "gateway_ip": ("string", "", "Far-end peer (carrier / SBC)."),
    "sbc_ip": ("string", "", "If routing through an SBC, its address."),
    "source_pbx_port": ("uint16", 5060, "Local SIP source port."),
    "destination_sbc_port": ("uint16", 5060, "Far-end SIP port."),
    "display_name": ("string", "", "Caller-ID display-name for outbound INVITEs."),
    "domain": ("string", "", "SIP From domain."),
    "proxy": ("string", "", "Outbound proxy URI, if any."),
    "require_registration": ("bool", False, "If true, gateway registers with sip_username/sip_password."),
    "sip_username": ("string", "", "Registrar credentials."),
    "sip_password": ("string", "", "Registrar credentials."),
    "register_expires_secs": ("uint32", 3600, "REGISTER Expires value."),
    "codec_preferences": ("vector<string>", ["PCMU", "PCMA", "OPUS"], "Offer order in SDP."),
    "rtp_start_port": ("uint16", 16384, "RTP port range start."),
    "rtp_end_port": ("uint16", 32768, "RTP port range end."),
    "media_ip_cidrs": ("vector<string>", [], "Allow-listed media peers; non-matching SDPs are rejected."),
    "reject_incoming_calls": (
        "bool",
        True,
        "Default-deny inbound; flip to false when you wire inbound_rule.",
    ),
    "reject_sip_code": ("uint16", 603, "SIP response code used when rejecting."),
    "reject_audio_file": (
        "string",
        "",
        "URL of audio to play before rejecting (if 200 OK-then-hangup mode).",
    ),
    "ignore_early_media": ("bool", False, "Suppress 183 Session Progress audio."),
    "terminate_on_hold": ("bool", False, "Hang up the call instead of going on hold."),
    "inbound_rule": (
        "int32",
        0,
        "One of InboundRule (0=REJECT, 1=PLAY_AND_HANGUP, 2=NOTIFY_AND_HANGUP, 3=HANDLE_AI).",
    ),
    "inbound_audio_url": ("string", "", "Used by PLAY_AND_HANGUP."),
    "inbound_webhook_url": ("string", "", "Used by NOTIFY_AND_HANGUP."),
    "inbound_ai_websocket_url": ("string", "", "Used by HANDLE_AI."),
    "inbound_ai_quic_url": ("string", "", "Used by HANDLE_AI for QUIC-side AI bridges."),
    "api_bearer_token": ("string", "", "Per-trunk webhook signing token."),
    "ai_websocket_url": ("string", "", "Default AI endpoint for outbound calls on this trunk."),
    "ai_quic_url": ("string", "", "Same, QUIC variant."),
    "auto_bargein_mode": ("string", "energy", '"energy", "vad", "semantic", or "off".'),
    "auto_bargein_aggressiveness": ("int32", 2, "0–3. Higher = barge sooner."),
    "agent_id": ("string", "", "Optional bound agent DAG id (resolved server-side)."),
}
"""Every field of the request: its type, its default (None: there is none), the sentence about it."""


def rpc(
    running: Bridge, method: str, body: dict[str, Any], token: object = API_KEY, organization: str = "7"
) -> requests.Response:
    headers = {"X-Organization-Id": organization} if organization else {}
    document = body if token is None else {"admin_token": token, **body}
    return requests.post(f"{running.url}/rpc/{method}", json=document, headers=headers, timeout=30)


def told(response: requests.Response) -> tuple[int, int, str, dict[str, str]]:
    """Status, number, its name, and the fields it is about."""
    error = response.json()["error"]
    return (
        response.status_code,
        error["code"],
        error["name"],
        {item["field"]: item["message"] for item in error.get("fields", ())},
    )


def put(running: Bridge, **fields: Any) -> requests.Response:
    """The trunk `carrier` as these fields describe it, whether or not it is there."""
    body = {"trunk_id": "carrier", "gateway_ip": "127.0.0.1", "destination_sbc_port": 5099, **fields}
    found = rpc(running, "GetTrunk", {"trunk_id": "carrier"}).json()["found"]
    return rpc(running, "UpdateTrunk" if found else "AddTrunk", body)


def put_open(running: Bridge, **fields: Any) -> requests.Response:
    """The same, its calls taken."""
    response = put(running, **{"reject_incoming_calls": False, "inbound_rule": 3, **fields})
    assert (response.status_code, response.json()) == (200, {}), response.text
    return response


def parameters(running: Bridge) -> dict[str, str]:
    """The trunk's gateway as it lies in FreeSWITCH's configuration."""
    path = running.switch.config_dir / GATEWAY_DIRECTORY / organization_file("7")
    if not path.exists():
        return {}
    root = etree.fromstring(path.read_bytes())
    return {param.get("name", ""): param.get("value", "") for param in root.iter("param")}


@pytest.fixture(scope="module", params=switches.BOTH)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    work = tmp_path_factory.mktemp("rpc")
    changes = {"media_dir": work / "media", "allow_private_urls": True, "caller_wall": "off"}
    with bridge.running(request.param, work, **changes, assistant_hosts=("127.0.0.1",)) as running:
        running.sync({"organization_id": 7, "trunks": [], "phone_numbers": [NUMBER]})
        running.sync({"organization_id": 8, "trunks": [], "phone_numbers": []})
        yield running


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """For what needs no call."""
    with bridge.running("stand-in", tmp_path_factory.mktemp("rpc"), assistant_hosts=("ai.test",)) as running:
        for key in (7, 8):
            running.sync(
                {"organization_id": key, "trunks": [], "phone_numbers": [NUMBER] if key == 7 else []}
            )
        yield running


@dataclass(frozen=True)
class Rendered:
    """The field is a parameter of the gateway."""

    fields: dict[str, Any]
    expected: dict[str, str]


@dataclass(frozen=True)
class Called:
    """The field decides what an INVITE is answered."""

    fields: dict[str, Any]
    status: int


@dataclass(frozen=True)
class Refused:
    """The field is refused by name, saying why."""

    value: Any
    words: str
    beside: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Accepted:
    """The value says what is so in any case."""

    value: Any


@dataclass(frozen=True)
class Outgoing:
    """The field is for outbound calls (tests/journeys/test_outbound.py shows what it does)."""

    value: Any
    ours: str


@dataclass(frozen=True)
class Elsewhere:
    """A test of its own proves it."""

    test: str


_CREDENTIALS = {"sip_username": "9228", "sip_password": PASSWORD}
_BINDING = "every trunk uses the one binding the nodes have, which is"
ROWS: list[tuple[str, Any]] = [
    ("admin_token", Elsewhere("test_only_an_admin_comes_in")),
    ("trunk_id", Elsewhere("test_a_trunks_life")),
    ("channel_limit", Called({"channel_limit": 0}, 486)),
    ("internal_sip_ip", Refused("192.0.2.1", f"{_BINDING} 127.0.0.1: leave it out, or say that")),
    ("internal_sip_ip", Refused("eth0", _BINDING)),
    ("internal_sip_ip", Accepted("127.0.0.1")),
    ("external_sip_ip", Refused("192.0.2.1", _BINDING)),
    ("external_sip_ip", Accepted("127.0.0.1")),
    ("internal_rtp_ip", Refused("192.0.2.1", _BINDING)),
    ("internal_rtp_ip", Accepted("127.0.0.1")),
    ("external_rtp_ip", Refused("192.0.2.1", _BINDING)),
    ("external_rtp_ip", Accepted("127.0.0.1")),
    ("source_pbx_port", Refused(5080, f"{_BINDING} 5060")),
    ("source_pbx_port", Accepted(5060)),
    ("rtp_start_port", Refused(16384, f"{_BINDING} 10000")),
    ("rtp_start_port", Accepted(10000)),
    ("rtp_end_port", Refused(32768, f"{_BINDING} 20000")),
    ("rtp_end_port", Accepted(20000)),
    ("gateway_ip", Rendered({"gateway_ip": "127.0.0.7"}, {"proxy": "127.0.0.7:5099"})),
    ("gateway_ip", Refused("http://carrier.test", "not a URL")),
    ("gateway_ip", Refused("carrier.test:5070", "destination_sbc_port")),
    ("gateway_ip", Refused("", "is required")),
    (
        "sbc_ip",
        Rendered({"sbc_ip": "127.0.0.8"}, {"proxy": "127.0.0.1", "outbound-proxy": "127.0.0.8:5099"}),
    ),
    ("sbc_ip", Rendered({"gateway_ip": "", "sbc_ip": "127.0.0.8"}, {"proxy": "127.0.0.8:5099"})),
    ("sbc_ip", Refused("sip:sbc.test", "not a URL or SIP URI")),
    ("destination_sbc_port", Rendered({"destination_sbc_port": 5071}, {"proxy": "127.0.0.1:5071"})),
    ("destination_sbc_port", Refused(0, "greater than or equal to 1")),
    ("domain", Rendered({"domain": "acme.test"}, {"from-domain": "acme.test"})),
    ("domain", Refused("acme test", "is not a host name")),
    (
        "proxy",
        Rendered(
            {"proxy": "sip:127.0.0.6:5070;transport=tcp;lr"},
            {"outbound-proxy": "127.0.0.6:5070", "register-transport": "tcp"},
        ),
    ),
    ("proxy", Rendered({"proxy": "sips:127.0.0.6"}, {"register-transport": "tls"})),
    ("proxy", Refused("sip:user@proxy.test", "not a URL or SIP URI")),
    ("proxy", Refused("sip:proxy.test;maddr=192.0.2.1", "lr only")),
    ("proxy", Refused("sip:proxy.test", "name one of them", {"sbc_ip": "192.0.2.4"})),
    (
        "require_registration",
        Rendered({"require_registration": True, **_CREDENTIALS}, {"register": "true"}),
    ),
    ("sip_username", Rendered(_CREDENTIALS, {"username": "9228", "register": "false"})),
    ("sip_username", Refused("", "is required when", {"require_registration": True, "sip_password": "x"})),
    ("sip_username", Refused("a:b", "contains ':'")),
    ("sip_password", Rendered(_CREDENTIALS, {"password": PASSWORD})),
    ("sip_password", Refused("", "is required when", {"require_registration": True, "sip_username": "x"})),
    ("sip_password", Refused("a:b", "contains ':'")),
    (
        "register_expires_secs",
        Rendered(
            {"require_registration": True, "register_expires_secs": 120, **_CREDENTIALS},
            {"expire-seconds": "120"},
        ),
    ),
    ("register_expires_secs", Refused(1, "greater than or equal to 5")),
    ("codec_preferences", Elsewhere("test_the_codecs_of_the_answer")),
    ("codec_preferences", Refused(["OPUS"], "PCMU and PCMA are")),
    ("media_ip_cidrs", Called({"media_ip_cidrs": ["192.0.2.0/24"]}, 488)),
    ("media_ip_cidrs", Called({"media_ip_cidrs": ["192.0.2.0/24", "127.0.0.0/8"]}, 200)),
    ("media_ip_cidrs", Refused(["everywhere"], "is not an IP address or CIDR network")),
    ("reject_incoming_calls", Called({"reject_incoming_calls": True}, 603)),
    ("reject_incoming_calls", Called({"reject_incoming_calls": False}, 200)),
    ("reject_sip_code", Called({"reject_incoming_calls": True, "reject_sip_code": 486}, 486)),
    ("reject_sip_code", Refused(200, "greater than or equal to 400")),
    ("reject_audio_file", Elsewhere("test_audio_before_the_hang_up")),
    ("reject_audio_file", Refused("/etc/passwd", "must be an http:// or https:// URL")),
    ("ignore_early_media", Outgoing(True, "ignore_early_media")),
    ("terminate_on_hold", Elsewhere("test_a_caller_who_holds")),
    ("inbound_rule", Called({"inbound_rule": 0}, 603)),
    ("inbound_rule", Called({"inbound_rule": 3}, 200)),
    ("inbound_rule", Refused(4, "less than or equal to 3")),
    ("inbound_rule", Refused(1, "inbound_audio_url is required")),
    ("inbound_rule", Refused(2, "inbound_webhook_url is required")),
    ("inbound_audio_url", Elsewhere("test_audio_before_the_hang_up")),
    ("inbound_audio_url", Refused("ftp://files.test/a.wav", "must be an http:// or https:// URL")),
    ("inbound_webhook_url", Elsewhere("test_the_webhook_signed_with_the_token")),
    ("inbound_webhook_url", Refused("hook", "must be an http:// or https:// URL")),
    ("api_bearer_token", Elsewhere("test_the_webhook_signed_with_the_token")),
    ("api_bearer_token", Refused("two words", "visible ASCII")),
    ("inbound_ai_websocket_url", Elsewhere("test_the_agent_at_the_trunks_own_endpoint")),
    ("inbound_ai_websocket_url", Refused("wss://evil.test/", "not one of FSCONTROL_ASSISTANT_HOSTS")),
    ("inbound_ai_quic_url", Refused("quic://ai.test", "there is no QUIC here")),
    ("ai_websocket_url", Outgoing("wss://ai.test/out", "ai_websocket_url")),
    ("ai_websocket_url", Refused("wss://evil.test/", "not one of FSCONTROL_ASSISTANT_HOSTS")),
    ("ai_quic_url", Refused("quic://ai.test", "there is no QUIC here")),
    ("auto_bargein_mode", Accepted("off")),
    ("auto_bargein_mode", Accepted("energy")),
    ("auto_bargein_mode", Refused("semantic", "nothing else decides it here")),
    ("auto_bargein_mode", Refused("vad", "nothing else decides it here")),
    ("auto_bargein_mode", Refused("loud", "Input should be")),
    ("auto_bargein_aggressiveness", Refused(3, "is the assistant's to decide")),
    ("auto_bargein_aggressiveness", Accepted(2)),
    ("display_name", Outgoing("Acme Support", "display_name")),
    ("agent_id", Elsewhere("test_the_agent_at_the_trunks_own_endpoint")),
]
"""Every field: what it does, or why it is refused."""


def rows(kind: type[Any]) -> list[Any]:
    return [
        pytest.param(name, row, id=f"{number}-{name}")
        for number, (name, row) in enumerate(ROWS)
        if isinstance(row, kind)
    ]


def test_every_field_has_its_row_and_the_published_default() -> None:
    """'AddTrunk and UpdateTrunk accept the same DTO.'"""
    assert len(PUBLISHED) == 38
    assert set(TrunkRequest.model_fields) == set(PUBLISHED) == {name for name, _ in ROWS}
    for name, (_, default, _) in PUBLISHED.items():
        info = TrunkRequest.model_fields[name]
        found = info.default.get_secret_value() if hasattr(info.default, "get_secret_value") else info.default
        assert info.is_required() if default is None else found == default, name


def test_rows_that_point_elsewhere_point_somewhere() -> None:
    for _, row in ROWS:
        assert not isinstance(row, Elsewhere) or callable(globals().get(row.test)), row


@pytest.mark.parametrize(("name", "row"), rows(Rendered))
def test_fields_that_the_gateway_has(house: Bridge, name: str, row: Rendered) -> None:
    response = put(house, **row.fields)
    assert (response.status_code, response.json()) == (200, {}), response.text
    eventually(lambda: row.expected.items() <= parameters(house).items())


@pytest.mark.parametrize(("name", "row"), rows(Refused))
def test_fields_that_are_refused(house: Bridge, name: str, row: Refused) -> None:
    put(house)
    before = house.ask("GET", "/api/organizations/7")[1]["generation"]
    status, code, number, fields = told(put(house, **{**row.beside, name: row.value}))
    assert (status, code, number) == (422, 6, "ERR_VALIDATION_FAILED")
    assert row.words in next(why for path, why in fields.items() if path.partition("[")[0] == name)
    assert house.ask("GET", "/api/organizations/7")[1]["generation"] == before


@pytest.mark.parametrize(("name", "row"), rows(Accepted))
def test_values_that_say_what_is_so_anyway(house: Bridge, name: str, row: Accepted) -> None:
    settings = house.application.settings
    node = {"source_pbx_port": settings.sip_port, "rtp_start_port": settings.rtp_ports[0]}
    assert node.get(name, row.value) == row.value
    response = put(house, **{name: row.value})
    assert (response.status_code, response.json()) == (200, {})
    assert name not in response.headers.get(WARNING_HEADER, "")


@pytest.mark.parametrize(("name", "row"), rows(Outgoing))
def test_fields_of_outbound_calls_are_kept(house: Bridge, name: str, row: Outgoing) -> None:
    response = put(house, **{name: row.value})
    assert (response.status_code, response.json()) == (200, {})
    assert row.ours not in response.headers.get(WARNING_HEADER, "")
    (trunk,) = house.ask("GET", "/api/organizations/7")[1]["trunks"]
    assert trunk[row.ours] == row.value


@pytest.mark.parametrize(("name", "row"), rows(Called))
def test_fields_that_a_call_meets(both: Bridge, name: str, row: Called) -> None:
    put_open(both, **row.fields)
    assert both.switch.call(invite("+15551230001")) == row.status


def test_audio_before_the_hang_up(both: Bridge) -> None:
    with running_backend(answer(body=wav(samples=bytes(8000)))) as web:
        for fields in (
            {"inbound_rule": 1, "inbound_audio_url": f"{web.url}/closed.wav"},
            {"reject_incoming_calls": True, "reject_audio_file": f"{web.url}/closed.wav"},
        ):
            put_open(both, **fields)
            if isinstance(both.switch, StandInSwitch):
                text = invite("+15551230001").encode()
                call = both.switch.stand_in.place_call(text, source=("127.0.0.1", 5121))
                assert call.wait_final(10) == 200
                assert call.wait_ended(10) == "NORMAL_CLEARING"
            else:
                with on_the_line.call(both.switch) as caller:
                    eventually(lambda: caller.was_sent("BYE"))
        assert web.requests


def test_the_webhook_signed_with_the_token(both: Bridge) -> None:
    with running_backend() as web:
        put_open(both, inbound_rule=2, inbound_webhook_url=f"{web.url}/hook", api_bearer_token=TOKEN)
        assert both.switch.call(invite("+15551230001")) == 603
        (heard,) = web.requests
    assert heard.headers["authorization"] == f"Bearer {TOKEN}"
    moment, _, digest = heard.headers["x-signature"].partition(",v1=")
    signed = moment.removeprefix("t=").encode() + b"." + heard.body
    assert digest == hmac.new(TOKEN.encode(), signed, "sha256").hexdigest()


def test_a_caller_who_holds(both: Bridge) -> None:
    put_open(both, terminate_on_hold=True)
    with on_the_line.call(both.switch, hold="sendonly") as caller:
        eventually(lambda: caller.was_sent("BYE"))


def test_the_codecs_of_the_answer(both: Bridge) -> None:
    if not isinstance(both.switch, RealSwitch):
        pytest.skip("the stand-in chooses no codec")
    node = next(iter(both.application.nodes))
    for codecs, chosen in ((["PCMA", "OPUS"], "PCMA"), (["PCMU", "PCMA", "OPUS"], "PCMU")):
        put_open(both, codec_preferences=codecs)
        with on_the_line.call(both.switch):
            uuid = both.last_call()["uuid"]
            command = call_commands.get_channel_variable(uuid, "rtp_use_codec_name")
            assert node.request(command).strip() == chosen
        eventually(lambda: both.last_call()["ended_at"])


@pytest.mark.freeswitch
def test_the_agent_at_the_trunks_own_endpoint(tmp_path: Path) -> None:
    """agent_id: 'Optional bound agent DAG id'; inbound_ai_websocket_url: 'Used by HANDLE_AI.'"""
    assistant, backend = Assistant(), CallBackend()
    server = AssistantServer(on_message=assistant.take)
    server.start()
    backend.start()
    try:
        changes = {"assistant_hosts": ("127.0.0.1",), "caller_wall": "off", "backend_url": backend.url}
        with bridge.running("freeswitch", tmp_path, **changes) as running:
            running.sync({"organization_id": 7, "trunks": [], "phone_numbers": [NUMBER]})
            url = f"ws://127.0.0.1:{server.port}/agents"
            put_open(running, agent_id="dag-17", inbound_ai_websocket_url=url, api_bearer_token=TOKEN)
            with calling(running):
                (start,) = eventually(lambda: assistant.events("start"))
        assert start["start"]["customParameters"]["agent_id"] == "dag-17"
        assert assistant.peers[0].path == "/agents"
        (prewarm,) = backend.at("/sip-prewarm")
        assert prewarm["variables"] == {"agent_id": "dag-17"}
    finally:
        server.stop()
        backend.stop()


def test_calls_in_flight_survive_and_new_ones_do_not(both: Bridge) -> None:
    """'Existing in-flight calls keep running until they hang up naturally'"""
    put_open(both)
    eventually(both.gateways)
    with on_the_line.call(both.switch) as caller:
        sid = eventually(both.last_call)["call_sid"]
        removed = rpc(both, "RemoveTrunk", {"trunk_id": "carrier"})
        assert (removed.status_code, removed.json()) == (200, {})
        eventually(lambda: not both.gateways())
        assert rpc(both, "GetTrunk", {"trunk_id": "carrier"}).json() == {"found": False, "config": None}
        before = len(caller.requests)
        assert both.ask("POST", f"/api/calls/{sid}/hold")[0] == 200
        eventually(lambda: len(caller.requests) > before)
        assert both.ask("GET", f"/api/calls/{sid}")[1]["status"] == "in-progress"
        assert both.switch.call(invite("+15551230001")) == 403
        assert not caller.was_sent("BYE")
    record = eventually(lambda: (call := both.ask("GET", f"/api/calls/{sid}")[1])["ended_at"] and call)
    assert (record["status"], record["trunk_id"]) == ("completed", "carrier")


def test_how_the_calls_go(both: Bridge) -> None:
    """current_asr: 'Live answer-seizure ratio %.'"""

    def figures() -> tuple[float, float]:
        config = rpc(both, "GetTrunk", {"trunk_id": "figures"}).json()["config"]
        return config["current_asr"], config["current_mos"]

    rpc(both, "RemoveTrunk", {"trunk_id": "carrier"})
    fields = {"trunk_id": "figures", "gateway_ip": "127.0.0.1", "reject_incoming_calls": False}
    assert rpc(both, "AddTrunk", {**fields, "inbound_rule": 3}).status_code == 200
    assert figures() == (0.0, 0.0)
    assert both.switch.call(invite("+15551230001")) == 200
    eventually(lambda: figures()[0] == 100.0)
    assert rpc(both, "UpdateTrunk", {**fields, "inbound_rule": 0}).status_code == 200
    assert both.switch.call(invite("+15551230001")) == 603
    eventually(lambda: figures()[0] == 50.0)
    assert rpc(both, "RemoveTrunk", {"trunk_id": "figures"}).status_code == 200


def test_a_trunks_life(house: Bridge) -> None:
    """'Use Add for first-time provisioning; Update for in-place edits. Both replace the full record'"""
    whole = {"trunk_id": "life", "gateway_ip": "127.0.0.3", "domain": "Acme.test", "channel_limit": 9}
    secret = {"sip_username": "u", "sip_password": PASSWORD, "api_bearer_token": TOKEN}
    added = rpc(house, "AddTrunk", {**whole, **secret, "display_name": "Acme"})
    assert (added.status_code, added.json()) == (200, {}), "'Returns Empty on success.'"
    status, code, _, fields = told(rpc(house, "AddTrunk", whole))
    assert (status, code, list(fields)) == (422, 6, ["trunk_id"])
    shown = rpc(house, "GetTrunk", {"trunk_id": "life"})
    assert shown.json() == {
        "found": True,
        "config": {
            "trunk_id": "life",
            "channel_limit": 9,
            "display_name": "Acme",
            "domain": "acme.test",
            "is_cb_tripped": False,
            "current_asr": 0.0,
            "current_acd": 0,
            "current_mos": 0.0,
        },
    }
    assert "canary" not in shown.text, "'The credential-bearing fields … are never returned.'"
    minimal = {"trunk_id": "life", "gateway_ip": "127.0.0.3"}
    assert rpc(house, "UpdateTrunk", minimal).status_code == 200
    config = rpc(house, "GetTrunk", {"trunk_id": "life"}).json()["config"]
    assert (config["channel_limit"], config["display_name"], config["domain"]) == (50, "", "")
    (trunk,) = (t for t in house.ask("GET", "/api/organizations/7")[1]["trunks"] if t["id"] == "life")
    assert (trunk["username"], trunk["reject_incoming_calls"], trunk["inbound_rule"]) == ("", True, "reject")
    assert rpc(house, "RemoveTrunk", {"trunk_id": "life"}).json() == {}
    for method in ("RemoveTrunk", "UpdateTrunk"):
        body = minimal if method == "UpdateTrunk" else {"trunk_id": "life"}
        assert told(rpc(house, method, body))[:3] == (404, 1, "ERR_INVALID_TRUNK")


def test_what_another_door_set_stays(house: Bridge) -> None:
    trunk = {"id": "two-doors", "name": "Two doors", "gateway": "127.0.0.4", "priority": 3}
    more = {"metadata": {"team": "x"}, "auth_username": "other", "transport": "tcp"}
    house.sync({"organization_id": 8, "trunks": [{**trunk, **more}], "phone_numbers": []})
    body = {"trunk_id": "two-doors", "gateway_ip": "127.0.0.5"}
    assert rpc(house, "UpdateTrunk", body, organization="8").status_code == 200
    (now,) = house.ask("GET", "/api/organizations/8")[1]["trunks"]
    assert (now["name"], now["priority"], now["metadata"]) == ("Two doors", 3, {"team": "x"})
    assert (now["gateway"], now["auth_username"], now["transport"]) == ("127.0.0.5:5060", "", "udp")


def test_another_organisations_trunk_is_unknown(house: Bridge) -> None:
    put(house)
    assert rpc(house, "GetTrunk", {"trunk_id": "carrier"}, organization="8").json()["found"] is False
    assert told(rpc(house, "RemoveTrunk", {"trunk_id": "carrier"}, organization="8"))[1] == 1


@pytest.mark.parametrize("method", ["AddTrunk", "UpdateTrunk", "RemoveTrunk", "GetTrunk"])
@pytest.mark.parametrize("token", ["wrong", "", None, 7, ["x"], {"a": 1}])
def test_only_an_admin_comes_in(house: Bridge, method: str, token: object) -> None:
    """admin_token: 'Admin JWT.'"""
    response = rpc(house, method, {"trunk_id": "x", "nonsense": 1}, token=token)
    assert told(response) == (401, 7, "ERR_UNAUTHORIZED", {}), "and he learns nothing of what else is wrong"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"trunk_id": "x", "gateway_ip": "h", "gatway_ip": "h"}, "gatway_ip"),
        ({"gateway_ip": "h"}, "trunk_id"),
        ({"trunk_id": "", "gateway_ip": "h"}, "trunk_id"),
        ({"trunk_id": "a\x00b", "gateway_ip": "h"}, "trunk_id"),
        ({"trunk_id": " x ", "gateway_ip": "h"}, "trunk_id"),
        ({"trunk_id": "a/b", "gateway_ip": "h"}, "trunk_id"),
        ({"trunk_id": "..", "gateway_ip": "h"}, "trunk_id"),
        ({"trunk_id": "x", "gateway_ip": "[64:ff9b::a9fe:a9fe]"}, "gateway_ip"),
        ({"trunk_id": "x", "gateway_ip": "h", "channel_limit": "9"}, "channel_limit"),
        ({"trunk_id": "x", "gateway_ip": "h", "channel_limit": -1}, "channel_limit"),
        ({"trunk_id": "x", "gateway_ip": "h", "channel_limit": True}, "channel_limit"),
        ({"trunk_id": "x", "gateway_ip": "h", "require_registration": 1}, "require_registration"),
        ({"trunk_id": "x", "gateway_ip": None}, "gateway_ip"),
        ({"trunk_id": "x", "gateway_ip": "h", "destination_sbc_port": 65536}, "destination_sbc_port"),
        ({"trunk_id": "x", "gateway_ip": "h", "codec_preferences": "PCMU"}, "codec_preferences"),
    ],
)
def test_what_does_not_validate_is_named(house: Bridge, body: dict[str, Any], field: str) -> None:
    status, code, name, fields = told(rpc(house, "AddTrunk", body))
    assert (status, code, name) == (422, 6, "ERR_VALIDATION_FAILED")
    assert field in fields


def test_every_problem_at_once(house: Bridge) -> None:
    body = {
        "trunk_id": "x",
        "gateway_ip": "http://x",
        "domain": "a b",
        "ai_quic_url": "q",
        "source_pbx_port": 1,
    }
    assert set(told(rpc(house, "AddTrunk", body))[3]) == {
        "gateway_ip",
        "domain",
        "ai_quic_url",
        "source_pbx_port",
    }


def test_what_the_whole_house_refuses_has_the_contracts_name_when_added_too(house: Bridge) -> None:
    body = {"trunk_id": "new", "gateway_ip": "127.0.0.3", "inbound_ai_websocket_url": "wss://evil.test/"}
    assert list(told(rpc(house, "AddTrunk", body))[3]) == ["inbound_ai_websocket_url"]
    assert rpc(house, "GetTrunk", {"trunk_id": "new"}).json()["found"] is False


def test_bodies_that_are_no_documents(house: Bridge) -> None:
    for raw in (b"", b"[]", b"{", b'"x"'):
        response = requests.post(f"{house.url}/rpc/AddTrunk", data=raw, timeout=30)
        assert told(response)[:3] == (400, 6, "ERR_VALIDATION_FAILED")


def test_a_key_of_all_organisations_says_which(house: Bridge) -> None:
    status, code, _, fields = told(rpc(house, "GetTrunk", {"trunk_id": "x"}, organization=""))
    assert (status, code, list(fields)) == (422, 6, ["header X-Organization-Id"])
