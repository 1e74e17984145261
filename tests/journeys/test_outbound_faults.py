"""Outbound calls when something breaks, or somebody means harm; and who hears of what."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fscontrol.cli.assistant_echo import AssistantServer
from fscontrol.simulator.carriers import CallAnswer
from tests import switches
from tests.bridge import API_KEY
from tests.conversations import Assistant
from tests.journeys.test_assistants import serving
from tests.journeys.test_outbound import FROM, TO, House, house, trunk_to
from tests.switches import StandInSwitch, Switch
from tests.unit.test_originate import FORM, POISON
from tests.waiting import eventually, free_port

TEXT = st.lists(st.one_of(st.sampled_from(POISON), st.text("+0159aZ._- ", max_size=6)), max_size=5).map(
    "".join
)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house("stand-in", tmp_path_factory.mktemp("harm")) as running:
        running.push(trunk_to(running.carrier("486"), "first", 1))
        yield running


def originates(running: House) -> list[str]:
    assert isinstance(running.bridge.switch, StandInSwitch)
    return [said for said in running.bridge.switch.stand_in.commands if "originate" in said]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(("from_number", "to_number", "welcome_message", "agenda", "trunk_id", "variables")),
    TEXT,
)
def test_whatever_is_asked_is_one_command_of_the_right_form_or_a_refusal(
    stand_in: House, field: str, text: str
) -> None:
    before = len(originates(stand_in))
    given_text: object = {text: text} if field == "variables" else text
    body = {"from_number": FROM, "to_number": TO, field: given_text}
    status, answer = stand_in.bridge.ask("POST", "/api/calls", body)
    assert status in (202, 400, 404, 422), answer
    if status == 202:
        stand_in.ended(answer["call_sid"])
    sent = originates(stand_in)[before:]
    assert len(sent) == (status == 202)
    for said in sent:
        assert FORM.fullmatch(f"{said}\nJob-UUID: 0\n\n"), said  # the log keeps the first line
    assert isinstance(stand_in.bridge.switch, StandInSwitch)
    assert not stand_in.bridge.switch.stand_in.executed_commands


def environment(running: House, switch: Switch, **changes: str) -> dict[str, str]:
    given_settings = running.bridge.application.settings
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "SIP_BRIDGE_API_KEY": API_KEY,
        "FSCONTROL_NODES": f"fs1=127.0.0.1:{switch.config.esl_port}",
        "FSCONTROL_ESL_PASSWORD": given_settings.esl_password.get_secret_value(),
        "FSCONTROL_CONFIG_DIR": str(given_settings.config_dir),
        "FSCONTROL_STORE_URL": given_settings.store_url,
        "FSCONTROL_CALL_SOCKET": str(given_settings.call_socket),
        "FSCONTROL_GATEWAY_NETWORKS": "127.0.0.0/8",
        "FSCONTROL_HTTP": f"127.0.0.1:{free_port()}",
        **changes,
    }


def ask(url: str, method: str, path: str, body: object = None) -> Any:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    return requests.request(method, f"http://{url}{path}", json=body, headers=headers, timeout=30).json()


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (CallAnswer(200, rings=True, seconds=8.0), "in-progress"),
        (CallAnswer(486, rings=True, seconds=4.0), ""),
    ],
)
def test_killed_while_it_rings_the_call_is_taken_up_or_closed(
    answer: CallAnswer, status: str, tmp_path: Path
) -> None:
    with house("stand-in", tmp_path) as running:
        switch = running.bridge.switch
        assert isinstance(switch, StandInSwitch)
        carrier = running.carrier("200")
        switch.stand_in.carriers.answer_calls(carrier.address, answer)
        running.push(trunk_to(carrier, "first", 1))
        running.bridge.application.stop()
        variables = environment(running, switch)
        url = variables["FSCONTROL_HTTP"]
        with serving(tmp_path, variables) as killed:
            eventually(lambda: ask(url, "GET", "/api/gateways")["items"])
            placed = ask(
                url, "POST", "/api/calls", {"from_number": FROM, "to_number": TO, "ring_timeout_seconds": 30}
            )
            path = f"/api/calls/{placed['call_sid']}"
            eventually(lambda: ask(url, "GET", path)["status"] == "ringing")
            killed.kill()
            killed.wait(10)
        assert len(switch.stand_in.call_uuids()) == 1
        with serving(tmp_path, variables):
            if status:
                record = eventually(
                    lambda: (found := ask(url, "GET", path))["status"] == status and found, 40
                )
                assert "taken up again" in [step["decision"] for step in record["steps"]]
                ask(url, "POST", f"{path}/terminate")
            record = eventually(lambda: (found := ask(url, "GET", path))["ended_at"] and found, 40)
            assert record["status"] in (("completed",) if status else ("busy", "failed"))
            (attempt,) = record["attempts"]
            assert attempt["outcome"] in (("answered",) if status else ("callee", "unknown"))
            assert attempt["ended_at"] == record["ended_at"]
            eventually(lambda: not switch.stand_in.call_uuids())


def test_a_freeswitch_that_dies_while_it_rings_is_not_followed_by_a_second_call(tmp_path: Path) -> None:
    with house("stand-in", tmp_path) as running:
        running.push(
            trunk_to(running.carrier("rings"), "first", 1), trunk_to(running.carrier("200"), "second", 2)
        )
        call_sid = running.place(ring_timeout_seconds=60)
        running.reaches(call_sid, "ringing")
        running.bridge.switch.kill()
        gevent.sleep(0)
        running.bridge.switch.start()
        record = running.ended(call_sid)
        assert (record["status"], record["reason"]) == ("failed", "outcome_unknown")
        assert [attempt["outcome"] for attempt in record["attempts"]] == ["unknown"]


@pytest.mark.parametrize("kind", switches.BOTH)
def test_the_assistant_is_told_that_it_called(kind: str, tmp_path: Path) -> None:
    assistant = Assistant()
    server = AssistantServer(on_message=assistant.take)
    server.start()
    try:
        url = f"ws://127.0.0.1:{server.port}/outbound"
        elsewhere = {"stream_url": "ws://127.0.0.1:1/inbound", "assistant_hosts": ("127.0.0.1",)}
        with house(kind, tmp_path, mask_numbers=True, **elsewhere) as running:
            running.push(trunk_to(running.carrier("200"), "first", 1, ai_websocket_url=url))
            call_sid = running.place(welcome_message="Hello, {you}", agenda="a; b")
            if kind == "freeswitch":  # the stand-in sends no audio, and no stream begins
                (start,) = eventually(lambda: assistant.events("start"))
                assert start["start"]["customParameters"] == {
                    "To": TO, "From": FROM, "outbound": "true", "assistant_id": "123",
                    "welcome_message": "Hello, {you}", "agenda": "a; b", "to_phone_number": TO,
                }  # fmt: skip
                assert assistant.peers[0].path == "/outbound"
            record = running.reaches(call_sid, "in-progress")
            assert TO not in str(record)
            running.bridge.ask("POST", f"/api/calls/{call_sid}/terminate")
            running.ended(call_sid)
    finally:
        server.stop()


def test_who_watches_hears_of_it(stand_in: House) -> None:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    url = f"{stand_in.bridge.url}/api/events"
    with requests.get(url, headers=headers, stream=True, timeout=20) as watching:
        lines = watching.iter_lines(decode_unicode=True)
        assert next(lines).startswith("retry: ")
        call_sid = stand_in.place()
        stand_in.ended(call_sid)
        heard = [next(line for line in lines if line.startswith("data: ")) for _ in range(2)]
    assert [(f'"{call_sid}"' in line, '"initiated"' in line, '"busy"' in line) for line in heard] == [
        (True, True, False),
        (True, False, True),
    ]
    eventually(lambda: stand_in.bridge.application.bus.listeners <= 1)
