"""Batches of calls through their doors: what is refused, how they are paced, paused and aborted, and what is told."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from fscontrol.simulator.carriers import CallAnswer
from tests import switches
from tests.bridge import API_KEY
from tests.journeys.test_commands import run
from tests.journeys.test_outbound import FROM, House, house, trunk_to
from tests.switches import StandInSwitch
from tests.waiting import eventually

URL = "/api/calls/batch"


def number(index: int) -> str:
    return f"+1555987{index:04d}"


def rows(many: int, **fields: object) -> list[dict[str, object]]:
    return [{"to_number": number(index), "from_number": FROM, **fields} for index in range(many)]


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house("stand-in", tmp_path_factory.mktemp("batch")) as running:
        yield running


def start(running: House, many: list[dict[str, object]], **fields: object) -> str:
    body = {"max_concurrent": 50, "calls_per_second": 100, **fields, "rows": many}
    status, answer = running.bridge.ask("POST", URL, body)
    assert status == 202, answer
    return str(answer["id"])


def shown(running: House, batch: str) -> dict[str, Any]:
    return running.bridge.ask("GET", f"{URL}/{batch}")[1]


def reaches(running: House, batch: str, state: str) -> dict[str, Any]:
    return eventually(lambda: (found := shown(running, batch))["state"] == state and found, 40)


def results(running: House, batch: str) -> list[dict[str, str]]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    answer = requests.get(f"{running.bridge.url}{URL}/{batch}/results.csv", headers=headers, timeout=30)
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.content.endswith(b"\r\n")
    return list(csv.DictReader(io.StringIO(answer.text, newline=""), strict=True))


def invites(running: House) -> Counter[str]:
    """How often each number was asked for, by the stand-in's log of commands."""
    assert isinstance(running.bridge.switch, StandInSwitch)
    said = (said for said in running.bridge.switch.stand_in.commands if "originate" in said)
    return Counter(line.split("/")[-1].split()[0] for line in said)


def send(running: House, data: str | bytes, key: str = "", **query: str) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "text/csv", "X-Organization-Id": "7"}
    headers |= {"Idempotency-Key": key} if key else {}
    answer = requests.post(f"{running.bridge.url}{URL}", data=data, params=query, headers=headers, timeout=30)
    return answer.status_code, answer.json()


@pytest.mark.parametrize("kind", switches.BOTH)
def test_every_row_is_called_once_and_told_in_the_results(kind: str, tmp_path: Path) -> None:
    with house(kind, tmp_path) as running:
        carrier = running.carrier("486")
        running.push(trunk_to(carrier, "first", 1, channel_limit=3))
        many = 12 if kind == "stand-in" else 6
        batch = start(running, rows(many), name="Spring")
        done = reaches(running, batch, "done")
        assert (done["rows"], done["done"], done["by_status"]) == (many, many, {"busy": many})
        told = results(running, batch)
        assert [row["to_number"] for row in told] == [number(index) for index in range(many)]
        assert {(row["state"], row["status"], row["sip_status"]) for row in told} == {("done", "busy", "486")}
        sids = [row["call_sid"] for row in told]
        assert len(set(sids)) == many
        for call_sid in sids:
            record = running.record(call_sid)
            assert len(record["attempts"]) == 1
        if kind == "freeswitch":
            dialled = Counter(
                invite.split()[1].partition(":")[2].partition("@")[0] for invite in carrier.invites()
            )
        else:
            dialled = invites(running)
        assert dialled == {number(index): 1 for index in range(many)}


def test_paused_it_places_no_more_and_resumed_it_goes_on(stand_in: House) -> None:
    carrier = stand_in.carrier("486")
    assert isinstance(stand_in.bridge.switch, StandInSwitch)
    stand_in.bridge.switch.stand_in.carriers.answer_calls(carrier.address, CallAnswer(486, seconds=0.1))
    stand_in.push(trunk_to(carrier, "first", 1))
    batch = start(stand_in, rows(20), max_concurrent=2)
    eventually(lambda: shown(stand_in, batch)["done"] >= 2)
    assert stand_in.bridge.ask("POST", f"{URL}/{batch}/pause")[1]["state"] == "paused"
    eventually(lambda: not shown(stand_in, batch)["in_progress"])
    eventually(lambda: not stand_in.bridge.application.outgoing.calls.placing)
    paused = shown(stand_in, batch)
    assert 2 <= paused["done"] < 20
    assert paused["waiting"] + paused["done"] == 20
    total = stand_in.bridge.ask("GET", "/api/calls")[1]["total"]
    other = start(stand_in, rows(3))  # goes through while the other one stands
    reaches(stand_in, other, "done")
    assert stand_in.bridge.ask("GET", "/api/calls")[1]["total"] == total + 3
    assert shown(stand_in, batch)["done"] == paused["done"]
    assert stand_in.bridge.ask("POST", f"{URL}/{batch}/resume")[1]["state"] == "running"
    assert reaches(stand_in, batch, "done")["by_status"] == {"busy": 20}
    assert stand_in.bridge.ask("POST", f"{URL}/{batch}/pause")[0] == 409
    acts = stand_in.bridge.ask("GET", "/api/audit", limit="20")[1]["items"]
    told = [one["action"] for one in acts if batch in one["target"]]
    assert told == ["resumed", "paused", "started"]
    assert batch in [one["id"] for one in stand_in.bridge.ask("GET", "/api/calls/batches")[1]["items"]]


@pytest.mark.parametrize("hangs_up", [False, True])
def test_aborted_nobody_else_is_called(stand_in: House, hangs_up: bool) -> None:
    stand_in.push(trunk_to(stand_in.carrier("200"), "first", 1, channel_limit=2))
    batch = start(stand_in, rows(9), max_concurrent=3)
    eventually(lambda: len(stand_in.bridge.application.book.active) == 2)
    talking = [record.call_sid for record in stand_in.bridge.application.book.active]
    for call_sid in talking:
        stand_in.reaches(call_sid, "in-progress")
    eventually(lambda: shown(stand_in, batch)["waits_for"])
    path = f"{URL}/{batch}/abort"
    assert stand_in.bridge.ask("POST", path, **({"hangup": "true"} if hangs_up else {}))[0] == 200
    if not hangs_up:
        eventually(lambda: shown(stand_in, batch)["waiting"] == 0)
        found = shown(stand_in, batch)
        assert (found["state"], found["in_progress"], found["waits_for"]) == ("aborting", 2, "")
        for call_sid in talking:
            assert stand_in.bridge.ask("POST", f"/api/calls/{call_sid}/terminate")[0] == 200
    found = reaches(stand_in, batch, "aborted")
    assert found["by_status"] == {"canceled": 7, "completed": 2}
    assert [row["reason"] for row in results(stand_in, batch)].count("aborted") == 7
    assert stand_in.bridge.ask("POST", path)[0] == 200
    assert stand_in.bridge.ask("POST", f"{URL}/{batch}/resume")[0] == 409


def test_rows_without_room_wait_and_are_not_refused(stand_in: House) -> None:
    carrier = stand_in.carrier("486")
    stand_in.push(trunk_to(carrier, "first", 1, channel_limit=0))
    total = stand_in.bridge.ask("GET", "/api/calls")[1]["total"]
    batch = start(stand_in, rows(4))
    eventually(lambda: "limits" in shown(stand_in, batch)["waits_for"])
    assert shown(stand_in, batch)["waiting"] == 4
    assert stand_in.bridge.ask("GET", "/api/calls")[1]["total"] == total  # nobody heard of a refusal
    stand_in.push(trunk_to(carrier, "first", 1, channel_limit=1))
    assert reaches(stand_in, batch, "done")["by_status"] == {"busy": 4}


def test_all_that_is_wrong_with_the_rows_is_told_at_once(stand_in: House) -> None:
    stand_in.push(trunk_to(stand_in.carrier("486"), "first", 1))
    before = stand_in.bridge.ask("GET", "/api/calls/batches")[1]["total"]
    wrong = [
        *rows(1), {"to_number": "5559876543", "from_number": FROM}, {"to_number": number(1)},
        {"to_number": number(1), "from_number": "+15557770001"}, "nothing",
        {"to_number": number(1), "from_number": FROM, "assistant_id": -1},
        {"to_number": number(1), "from_number": FROM, "trunk_id": "nobody's"},
    ]  # fmt: skip
    status, answer = stand_in.bridge.ask("POST", URL, {"rows": wrong})
    assert status == 422
    assert [problem["path"] for problem in answer["problems"]] == [
        "rows[1]", "rows[2].from_number", "rows[3]", "rows[4]", "rows[5].assistant_id", "rows[6]",
    ]  # fmt: skip
    status, answer = send(stand_in, f"to_number,from_number\n{number(1)},{FROM}\nx,{FROM}\n\n{number(2)},\n")
    assert (status, [problem["path"] for problem in answer["problems"]]) == (
        422,
        ["line 3", "line 5.from_number"],
    )
    for body, status in (([], 400), ({}, 422), ({"rows": []}, 422), ({"rows": [{}] * 10_001}, 422)):
        assert stand_in.bridge.ask("POST", URL, body)[0] in (status, 422)
    assert send(stand_in, b"\xff\xfe")[0] == 400
    assert send(stand_in, "to_number,cost\n1,2\n")[0] == 400
    status, answer = send(
        stand_in, f"to_number,agenda\n{number(1)}\n{number(2)},a\nx,b\n{number(3)},a,b\n", from_number=FROM
    )
    assert (status, [problem["path"] for problem in answer["problems"]]) == (
        422,
        ["line 2", "line 4", "line 5"],
    )
    assert answer["problems"][2]["message"] == "has 3 cells, and there are 2 columns"
    assert stand_in.bridge.ask("GET", "/api/calls/batches")[1]["total"] == before


def test_what_a_batch_is_asked_for_is_known_and_sensible(stand_in: House) -> None:
    before = stand_in.bridge.ask("GET", "/api/calls/batches")[1]["total"]
    text = f"to_number\n{number(1)}\n"
    status, answer = send(stand_in, text, from_number=FROM, max_concurent="1", rate="2")
    assert (status, [problem["path"] for problem in answer["problems"]]) == (422, ["?max_concurent", "?rate"])
    status, answer = send(stand_in, text, from_number=FROM, calls_per_second="0.001")
    assert (status, [problem["path"] for problem in answer["problems"]]) == (422, ["calls_per_second"])
    asked = {"rows": rows(1), "from_number": FROM, "calls_per_second": 1e-9}
    assert stand_in.bridge.ask("POST", URL, asked)[0] == 422
    assert stand_in.bridge.ask("GET", "/api/calls/batches")[1]["total"] == before


def test_a_spreadsheet_is_started_once_a_key(stand_in: House) -> None:
    stand_in.push(trunk_to(stand_in.carrier("486"), "first", 1))
    text = (
        "\ufeffto_number;assistant_id;welcome_message;variables.name\r\n"
        f'{number(1)};9;"Hello; ""you""";Ada\r\n{number(2)};;;=1+1\r\n'
    )
    asked = {"from_number": FROM, "name": "Sheet", "max_concurrent": "1"}
    answers = [send(stand_in, text, "sheet-1", **asked) for _ in range(2)]
    assert [status for status, _ in answers] == [202, 202]
    assert answers[0][1]["id"] == answers[1][1]["id"]
    assert send(stand_in, text + "\r\n", "sheet-1", **asked)[0] == 422
    batch = answers[0][1]["id"]
    done = reaches(stand_in, batch, "done")
    assert (done["name"], done["max_concurrent"], done["rows"]) == ("Sheet", 1, 2)
    first, second = (stand_in.record(row["call_sid"])["asked"] for row in results(stand_in, batch))
    assert (first["assistant_id"], first["welcome_message"]) == (9, 'Hello; "you"')
    assert (first["variables"], second["variables"]) == ({"name": "Ada"}, {"name": "=1+1"})


def test_two_organisations_take_turns(stand_in: House) -> None:
    carrier = stand_in.carrier("486")
    assert isinstance(stand_in.bridge.switch, StandInSwitch)
    stand_in.bridge.switch.stand_in.carriers.answer_calls(carrier.address, CallAnswer(486, seconds=0.02))
    stand_in.push(trunk_to(carrier, "first", 1))
    other = {"id": 2, "phone_number": "+15551230008", "assistant_id": 1}
    pushed = {"organization_id": 8, "trunks": [trunk_to(carrier, "eight", 1)], "phone_numbers": [other]}
    assert stand_in.bridge.sync(pushed)[0] == 200
    long = [start(stand_in, rows(30), calls_per_second=20) for _ in range(2)]
    short = start(stand_in, rows(5, from_number="+15551230008"), calls_per_second=20)
    reaches(stand_in, short, "done")
    assert all(shown(stand_in, batch)["state"] == "running" for batch in long)
    for batch in long:
        reaches(stand_in, batch, "done")


def test_the_commands(stand_in: House, tmp_path: Path) -> None:
    stand_in.push(trunk_to(stand_in.carrier("486"), "first", 1))
    place = {
        "SIP_BRIDGE_API_KEY": API_KEY,
        "FSCONTROL_HTTP": f"127.0.0.1:{stand_in.bridge.application.http.port}",
    }

    def said(*arguments: str, code: int = 0) -> str:
        done = run("batch", *arguments, cwd=tmp_path, **place)
        assert done.returncode == code, done.stderr
        return done.stdout + (done.stderr if code else "")

    (tmp_path / "bad.csv").write_text(f"to_number\n{number(1)}\nnobody\n")
    refused = said("start", "bad.csv", "--from", FROM, "--organization", "7", code=6)
    assert "line 3: Invalid phone number format" in refused
    (tmp_path / "good.csv").write_text(f"to_number\n{number(1)}\n{number(2)}\n")
    watched = said("start", "good.csv", "--from", FROM, "--name", "By hand", "--watch", "--json")
    found = json.loads(watched)
    assert (found["state"], found["by_status"], found["name"]) == ("done", {"busy": 2}, "By hand")
    assert found["id"] in said("list")
    assert "2 busy" in said("show", found["id"])
    assert "(HTTP 409)" in said("pause", found["id"], code=6)
    said("results", found["id"], "--output", "results.csv")
    assert (tmp_path / "results.csv").read_bytes().count(b"\r\n") == 3
