"""A node that asks us for its gateways over HTTP: what it asks, what it loads, and what it does without us."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from pydantic import SecretStr

from fscontrol.cli import doctor
from fscontrol.errors import CommandRefused
from fscontrol.esl import commands
from fscontrol.esl.client import NodeClient
from fscontrol.model.delivery import Delivery
from fscontrol.settings import NodeAddress
from fscontrol.simulator.carrier import CarrierBehaviour
from fscontrol.sofia.deliver import organization_file
from fscontrol.sofia.tree import GATEWAY_DIRECTORY, LIVE, LIVE_VARIABLE, XmlCurl
from tests import bridge, switches
from tests.bridge import API_KEY, Bridge, registering, trunk
from tests.certificates import Authority
from tests.switches import PASSWORD, Switch
from tests.waiting import eventually
from tests.xml_way import XmlWay

XML_PASSWORD = SecretStr("xml-password-canary-44c0")
NOBODY = "127.0.0.1:9"


class OverHttp(Bridge):
    """A bridge whose one node asks for its gateways, over `way`."""

    way: XmlWay

    def live(self) -> str:
        """The variable that keeps the gateway files out of FreeSWITCH's reloads."""
        return live_on(self.switch)

    def actions(self, body: object, **query: str) -> tuple[int, dict[str, tuple[str, bool]]]:
        """Push; the status, and what became of each trunk's gateway and whether it is loaded."""
        status, answer = self.sync(body, **query)
        (node,) = answer["nodes"]
        return status, {g["trunk_id"]: (g["action"], g["loaded"]) for g in node["gateways"]}


def ask(switch: Switch, command: commands.Command) -> str:
    """One command on a connection of our own, whoever else is connected."""
    address = NodeAddress(name="fs1", host="127.0.0.1", port=switch.config.esl_port)
    client = NodeClient(address, PASSWORD, 10.0, random.random)
    client.start()
    try:
        assert client.wait_connected(20.0), client.last_error
        return client.request(command)
    finally:
        client.stop()


def live_on(switch: Switch) -> str:
    try:
        return ask(switch, commands.api("global_getvar", LIVE_VARIABLE))
    except CommandRefused as error:
        assert "no reply" in str(error)  # how an Event Socket shows an empty answer
        return ""


@contextlib.contextmanager
def application_on(switch: Switch, way: XmlWay, work: Path) -> Iterator[OverHttp]:
    settings = bridge.settings_for(
        switch,
        work,
        delivery=(("fs1", Delivery.XML_CURL),),
        xml_curl_url=way.url,
        xml_curl_password=XML_PASSWORD,
    )
    with bridge.running_application(settings) as application:
        found = OverHttp(switch, application)
        found.way = way
        way.to = application.http.port
        yield found


@contextlib.contextmanager
def switch_on(kind: str, way: XmlWay, work: Path, **tls: str) -> Iterator[Switch]:
    with switches.running(kind, work / "switch", XmlCurl(way.url, XML_PASSWORD, **tls)) as switch:
        yield switch


@pytest.fixture(scope="module", params=switches.BOTH)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverHttp]:
    work = tmp_path_factory.mktemp("over-http")
    way = XmlWay()
    try:
        with switch_on(request.param, way, work) as switch, application_on(switch, way, work) as running:
            eventually(lambda: running.live() == LIVE)
            yield running
    finally:
        way.close()


def test_a_pushed_gateway_is_asked_for_alone_and_registers(both: OverHttp) -> None:
    carrier = both.switch.carrier(CarrierBehaviour.CHALLENGE)
    both.actions({"organization_id": "first", "trunks": [trunk("stays", NOBODY, register=False)]})
    asked = len(both.way.asked_for)
    trunks = [trunk("stays", NOBODY, register=False), registering("comes", carrier)]
    status, answer = both.sync({"organization_id": "first", "trunks": trunks}, wait="15")
    (node,) = answer["nodes"]
    found = {g["trunk_id"]: g for g in node["gateways"]}
    assert (status, found["comes"]["action"], found["comes"]["state"]) == (200, "created", "REGED")
    assert found["stays"]["action"] == "unchanged"
    assert both.way.asked_for[asked:] == [found["comes"]["gateway"]]


def test_a_change_replaces_and_a_trunk_that_left_goes(both: OverHttp) -> None:
    carrier = both.switch.carrier(CarrierBehaviour.ACCEPT)
    body = {
        "organization_id": "moves",
        "trunks": [registering("t", carrier), trunk("u", NOBODY, register=False)],
    }
    assert both.actions(body, wait="15")[0] == 200
    asked = len(both.way.asked_for)
    body["trunks"] = [registering("t", carrier, "another-password")]
    assert both.actions(body, wait="15") == (200, {"t": ("replaced", True), "u": ("removed", False)})
    (name,) = [name for name in both.gateways() if name.startswith("moves.")]
    assert both.way.asked_for[asked:] == [name]
    assert both.gateways()[name]["state"] == "REGED"


def test_many_at_once_are_asked_for_together(both: OverHttp) -> None:
    trunks = [trunk(f"{n:08d}", NOBODY, register=False) for n in range(40)]
    asked = len(both.way.asked_for)
    status, found = both.actions({"organization_id": "many", "trunks": trunks})
    assert (status, set(found.values())) == (200, {("created", True)})
    assert both.way.asked_for[asked:] == ["_all_"]


def test_what_is_loaded_survives_reloads_that_read_no_file(both: OverHttp) -> None:
    both.actions({"organization_id": "stay", "trunks": [trunk("t", NOBODY, register=False)]})
    before = set(both.gateways())
    assert "Success" in ask(both.switch, commands.reload_xml())
    # A gateway that is only in a file is not started: nothing of the directory is read.
    theirs = both.switch.config_dir / GATEWAY_DIRECTORY / "operators-own.xml"
    theirs.write_text(
        '<include>\n<gateway name="theirs"><param name="proxy" value="h"/></gateway>\n</include>\n'
    )
    ask(both.switch, commands.start_gateway("external", "theirs"))
    theirs.unlink()
    assert "Invalid Gateway" in ask(both.switch, commands.one_gateway("theirs"))
    both.actions({"organization_id": "stay2", "trunks": [trunk("t", NOBODY, register=False)]})
    assert before < set(both.gateways())


def test_doctor_has_the_node_ask_and_sees_what_it_gets(both: OverHttp) -> None:
    (node,) = both.application.nodes
    assert [(found.what, found.good) for found in doctor.over_http(node)] == [
        ("node fs1, mod_xml_curl", True),
        ("node fs1, gateways over HTTP", True),
    ]
    both.way.cut()
    try:
        assert [found.good for found in doctor.over_http(node)] == [True, False]
    finally:
        both.way.mend()
    assert "find anything" in ask(both.switch, commands.locate_configuration("nobody.conf"))


@pytest.mark.parametrize(
    "auth", [None, ("fs1", "wrong"), ("fs2", XML_PASSWORD.get_secret_value()), ("fs1", API_KEY)]
)
def test_a_stranger_gets_no_xml(both: OverHttp, auth: tuple[str, str] | None) -> None:
    both.actions({"organization_id": "known", "trunks": [trunk("t", NOBODY, register=False)]})
    name = next(name for name in both.gateways() if name.startswith("known."))
    right = ("fs1", XML_PASSWORD.get_secret_value())
    wanted = requests.post(f"{both.url}/freeswitch/xml", data=question(name), auth=right, timeout=10)
    assert name in wanted.text
    answer = requests.post(f"{both.url}/freeswitch/xml", data=question(name), auth=auth, timeout=10)
    assert (answer.status_code, answer.content) == (401, b"")


@pytest.mark.parametrize(
    "name", ['"/><X-PRE-PROCESS cmd="exec" data="id"/>', "$${local_ip_v4}", "a\n<include>", "é"]
)
def test_a_hostile_name_is_not_found(both: OverHttp, name: str) -> None:
    auth = ("fs1", XML_PASSWORD.get_secret_value())
    answer = requests.post(f"{both.url}/freeswitch/xml", data=question(name), auth=auth, timeout=10)
    assert answer.status_code == 200
    assert '<result status="not found"/>' in answer.text
    assert name not in answer.text


def question(gateway: str) -> dict[str, str]:
    fields = {"section": "configuration", "tag_name": "configuration", "key_name": "name"}
    return {
        **fields,
        "key_value": "sofia.conf",
        "profile": "external",
        "reconfig": "true",
        "gateway": gateway,
    }


@pytest.mark.parametrize("how", ["hangs", "is cut"])
def test_when_the_way_fails_the_push_says_so_and_the_last_good_stays(both: OverHttp, how: str) -> None:
    carrier = both.switch.carrier(CarrierBehaviour.ACCEPT)
    body = {"organization_id": how.replace(" ", "-"), "trunks": [registering("t", carrier)]}
    (good,) = both.sync(body, wait="15")[1]["nodes"][0]["gateways"]
    body["trunks"] = [registering("t", carrier, "another-password")]
    if how == "hangs":
        both.way.hangs = True
    else:
        both.way.cut()
    try:
        assert both.actions(body) == (502, {"t": ("failed", False)})
        assert both.gateways()[good["gateway"]]["state"] == "REGED"
        assert not [contact for contact, expires in both.switch.registers(carrier) if expires == 0]
    finally:
        both.way.mend()
    # The same push again is another pass, from the store.
    status, answer = both.sync(body, wait="15")
    (new,) = answer["nodes"][0]["gateways"]
    assert (status, new["action"], new["state"]) == (200, "replaced", "REGED")
    eventually(lambda: good["gateway"] not in both.gateways())


@pytest.mark.parametrize("kind", switches.BOTH)
def test_freeswitch_boots_without_us_on_what_was_delivered_last(kind: str, tmp_path: Path) -> None:
    way = XmlWay()
    try:
        with switch_on(kind, way, tmp_path) as switch:
            carrier = switch.carrier(CarrierBehaviour.ACCEPT)
            with application_on(switch, way, tmp_path) as running:
                trunks = [registering("t", carrier), trunk("u", NOBODY, register=False)]
                (node,) = running.sync({"organization_id": 7, "trunks": trunks}, wait="15")[1]["nodes"]
                names = [gateway["gateway"] for gateway in node["gateways"]]
                assert (switch.config_dir / GATEWAY_DIRECTORY / organization_file("7")).is_file()
                assert running.live() == LIVE
            # We left in good order, and what an operator does to FreeSWITCH now finds the files.
            assert live_on(switch) == ""
            way.cut()
            switch.kill()
            asked = len(way.asked_for)
            switch.start()
            for name in names:
                assert f"<name>{name}</name>" in ask(switch, commands.one_gateway(name))
            eventually(lambda: "<state>REGED</state>" in ask(switch, commands.one_gateway(names[0])))
            way.mend()
            with application_on(switch, way, tmp_path) as running:
                eventually(lambda: running.live() == LIVE)
                eventually(lambda: {g["state"] for g in running.gateways().values()} == {"REGED", "NOREG"})
                assert sorted(running.gateways()) == sorted(names)
                assert way.asked_for[asked:] == []
    finally:
        way.close()


@pytest.mark.parametrize("kind", switches.BOTH)
def test_a_killed_freeswitch_boots_on_the_files_while_we_are_there_and_asks_again(
    kind: str, tmp_path: Path
) -> None:
    way = XmlWay()
    try:
        with switch_on(kind, way, tmp_path) as switch, application_on(switch, way, tmp_path) as running:
            body = {"organization_id": 7, "trunks": [trunk("t", NOBODY, register=False)]}
            assert running.actions(body) == (200, {"t": ("created", True)})
            switch.kill()
            eventually(lambda: running.ask("GET", "/readyz")[0] == 503)
            switch.start()
            eventually(lambda: running.ask("GET", "/readyz")[0] == 200)
            eventually(lambda: running.live() == LIVE)
            assert running.actions(body) == (200, {"t": ("unchanged", True)})
            body["trunks"] = [trunk("t", "127.0.0.2:9", register=False)]
            assert running.actions(body) == (200, {"t": ("replaced", True)})
    finally:
        way.close()


def test_a_tree_without_the_module_is_served_from_its_files(tmp_path: Path) -> None:
    """The setting was changed and the tree not rendered anew: the node still gets its gateways."""
    way = XmlWay()
    try:
        with (
            switches.running("stand-in", tmp_path / "switch") as switch,
            application_on(switch, way, tmp_path) as on,
        ):
            body = {"organization_id": 7, "trunks": [trunk("t", NOBODY, register=False)]}
            assert on.actions(body) == (200, {"t": ("created", True)})
            assert way.questions == []
            assert on.live() == ""
            (node,) = on.application.nodes
            assert [found.good for found in doctor.over_http(node)] == [False, False]
    finally:
        way.close()


def test_a_node_of_files_is_told_to_read_them(tmp_path: Path) -> None:
    """The setting was changed back while FreeSWITCH ran: without this it would load nothing."""
    way = XmlWay()
    try:
        with switch_on("stand-in", way, tmp_path) as switch:
            ask(switch, commands.set_global(LIVE_VARIABLE, LIVE))
            with bridge.running_application(bridge.settings_for(switch, tmp_path)) as application:
                way.to = application.http.port
                body = {"organization_id": 7, "trunks": [trunk("t", NOBODY, register=False)]}
                (node,) = Bridge(switch, application).sync(body)[1]["nodes"]
                assert [gateway["loaded"] for gateway in node["gateways"]] == [True]
    finally:
        way.close()


@pytest.mark.parametrize("kind", switches.BOTH)
def test_with_certificates_both_ways(kind: str, tmp_path: Path) -> None:
    ours, strangers = Authority(tmp_path, "ours"), Authority(tmp_path, "strangers")
    way = XmlWay(ours.server("proxy", asks_for_certificates=True))
    cert, key = map(str, ours.issue("fs1"))
    others_cert, others_key = map(str, strangers.issue("stranger"))
    body = {"organization_id": 7, "trunks": [trunk("t", NOBODY, register=False)]}
    try:
        with (
            switch_on(kind, way, tmp_path, ca=str(ours.path), cert=cert, key=key) as switch,
            application_on(switch, way, tmp_path) as running,
        ):
            eventually(lambda: running.live() == LIVE)  # before that the files would do as well
            assert running.actions(body) == (200, {"t": ("created", True)})
            assert len(way.asked_for) == 1
            with pytest.raises(requests.RequestException):
                requests.post(way.url, verify=str(ours.path), timeout=10).raise_for_status()
            with pytest.raises(requests.RequestException):
                requests.post(
                    way.url, verify=str(ours.path), cert=(others_cert, others_key), timeout=10
                ).raise_for_status()
    finally:
        way.close()


@pytest.mark.parametrize("kind", switches.BOTH)
def test_a_stranger_in_our_place_is_not_asked(kind: str, tmp_path: Path) -> None:
    """mod_xml_curl checks no certificate unless it is told to; the question would carry the node's password."""
    way = XmlWay(Authority(tmp_path, "strangers").server("impostor", asks_for_certificates=False))
    body = {"organization_id": 7, "trunks": [trunk("t", NOBODY, register=False)]}
    try:
        with (
            switch_on(kind, way, tmp_path, ca=str(Authority(tmp_path, "ours").path)) as switch,
            application_on(switch, way, tmp_path) as running,
        ):
            eventually(lambda: running.live() == LIVE)  # before that the files would do as well
            assert running.actions(body) == (502, {"t": ("failed", False)})
            assert way.questions == []
    finally:
        way.close()
