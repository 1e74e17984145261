"""Batches of calls through their doors: what is refused, how they are paced, paused and aborted, and what is told."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import switches
from tests.bridge import API_KEY
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
        batch = start(running, rows(12), name="Spring")
        done = reaches(running, batch, "done")
        assert (done["rows"], done["done"], done["by_status"]) == (12, 12, {"busy": 12})
        told = results(running, batch)
        assert [row["to_number"] for row in told] == [number(index) for index in range(12)]
        assert {(row["state"], row["status"], row["sip_status"]) for row in told} == {("done", "busy", "486")}
        sids = [row["call_sid"] for row in told]
        assert len(set(sids)) == 12
        for call_sid in sids:
            record = running.record(call_sid)
            assert len(record["attempts"]) == 1
        if kind == "freeswitch":
            dialled = Counter(
                invite.split()[1].partition(":")[2].partition("@")[0] for invite in carrier.invites()
            )
        else:
            dialled = invites(running)
        assert dialled == {number(index): 1 for index in range(12)}
