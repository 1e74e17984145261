"""Batches whose control plane is killed: whoever goes on, nobody is called twice, and every row is told of."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
import time
from collections import Counter
from pathlib import Path

import gevent
import pytest
import requests
from cryptography.fernet import Fernet
from pydantic import SecretStr

from fscontrol.calls.claims import ABANDONED_SECONDS
from fscontrol.model.batch import Batch, BatchRow, RowState
from fscontrol.model.call import CallRecord
from fscontrol.model.outbound import Attempt, OutboundRequest
from fscontrol.simulator.carriers import CallAnswer
from fscontrol.store.opening import open_store
from fscontrol.store.placements import Placement
from tests import bridge
from tests.bridge import API_KEY
from tests.contract.redis_server import redis_server
from tests.journeys.test_assistants import serving
from tests.journeys.test_batch import URL, invites, number, reaches, results, rows
from tests.journeys.test_outbound import FROM, House, house, trunk_to
from tests.journeys.test_outbound_faults import ask, environment
from tests.switches import StandInSwitch
from tests.waiting import eventually, free_port

MANY = 60
KILLS = 3


def csv_of(url: str, batch: str) -> list[dict[str, str]]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    answer = requests.get(f"http://{url}{URL}/{batch}/results.csv", headers=headers, timeout=30)
    return list(csv.DictReader(io.StringIO(answer.text, newline=""), strict=True))


def begin(running: House) -> None:
    """A carrier that rings for a moment and is busy, for six calls at once."""
    switch, carrier = running.bridge.switch, running.carrier("486")
    assert isinstance(switch, StandInSwitch)
    switch.stand_in.carriers.answer_calls(carrier.address, CallAnswer(486, rings=True, seconds=0.15))
    running.push(trunk_to(carrier, "first", 1, channel_limit=6))


BATCH = {"max_concurrent": 50, "calls_per_second": 50, "rows": rows(MANY)}


def once_each(dialled: Counter[str], told: list[dict[str, str]], kills: int) -> None:
    """Every row is told of; nobody was called twice, and who was not called was on the line when we were killed."""
    assert [row["to_number"] for row in told] == [number(index) for index in range(MANY)]
    assert {row["state"] for row in told} == {"done"}
    assert {to: many for to, many in dialled.items() if many > 1} == {}
    left_out = [row for row in told if not dialled[row["to_number"]]]
    assert {row["reason"] for row in left_out} <= {"ended_unseen"}
    assert len(left_out) <= kills


@pytest.mark.parametrize("seed", [7])
def test_killed_again_and_again_it_calls_each_once(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    with house("stand-in", tmp_path) as running:
        begin(running)
        running.bridge.application.stop()
        variables = environment(running, running.bridge.switch)
        url, batch = variables["FSCONTROL_HTTP"], ""
        moments = sorted(chance.sample(range(1, MANY - 5), KILLS))
        for moment in moments:
            with serving(tmp_path, variables) as killed:
                batch = batch or ask(url, "POST", URL, BATCH)["id"]
                eventually(lambda n=moment: invites(running).total() >= n, 40)  # type: ignore[misc]
                killed.kill()
                killed.wait(10)
        assert invites(running).total() < MANY
        with serving(tmp_path, variables):
            eventually(lambda: ask(url, "GET", f"{URL}/{batch}")["state"] == "done", 60)
            once_each(invites(running), csv_of(url, batch), KILLS)


def test_another_control_plane_goes_on_when_one_dies(tmp_path: Path) -> None:
    key = Fernet.generate_key().decode()
    with (
        redis_server(tmp_path) as store,
        house("stand-in", tmp_path, store_url=store, secret_key=SecretStr(key)) as running,
    ):
        begin(running)
        running.bridge.application.stop()
        names = [{"FSCONTROL_HTTP": f"127.0.0.1:{free_port()}"} for _ in range(2)]
        both = [
            environment(
                running, running.bridge.switch, FSCONTROL_STORE_URL=store,
                FSCONTROL_SECRET_KEY=key, FSCONTROL_CALL_SOCKET=f"127.0.0.1:{free_port()}", **given,
            )
            for given in names
        ]  # fmt: skip
        first, second = (given["FSCONTROL_HTTP"] for given in both)
        for work in (tmp_path / "first", tmp_path / "second"):
            work.mkdir()
        with serving(tmp_path / "second", both[1]):
            with serving(tmp_path / "first", both[0]) as killed:
                batch = ask(first, "POST", URL, BATCH)["id"]
                eventually(lambda: invites(running).total() >= 15, 40)
                killed.kill()
                killed.wait(10)
            eventually(lambda: ask(second, "GET", f"{URL}/{batch}")["state"] == "done", 60)
            once_each(invites(running), csv_of(second, batch), 6)


def test_what_a_dead_one_left_is_called_where_nobody_was_called_yet(tmp_path: Path) -> None:
    """As it may be killed: before the record, before the first attempt, and after that."""
    with house("stand-in", tmp_path) as running:
        begin(running)
        running.bridge.application.stop()
        settings = running.bridge.application.settings
        store = open_store(settings)
        asked = [
            OutboundRequest(organization="7", from_number=FROM, to_number=number(index), assistant_id=1)
            for index in range(3)
        ]
        found = [
            BatchRow(number=n, asked=one, state=RowState.PLACING, call_sid=f"sip-{n}", started_at=time.time())
            for n, one in enumerate(asked, 1)
        ]
        store.add_batch(Batch(id="batch-1", organization="7", created_at=time.time(), rows=3), found)
        attempt = Attempt(
            trunk_id="first", gateway="g", node="fs1", uuid="f2c3a7c1-6f0e-4a53-9d0c-000000000001"
        )
        for row, attempts in zip(found[1:], ((), (attempt,)), strict=True):
            left = CallRecord(
                call_sid=row.call_sid, direction="outbound", node="fs1", organization_id=7, asked=row.asked,
                uuid=attempts[0].uuid if attempts else "", placed_by="gone-1-aa", attempts=attempts,
                started_at=time.time() - 5,
            )  # fmt: skip
            store.put_call(left)
        store.close()
        with bridge.running_application(settings) as application:
            again = House(bridge.Bridge(running.bridge.switch, application), running.backend, running.carrier)
            reaches(again, "batch-1", "done")
            told = results(again, "batch-1")
            assert [row["status"] for row in told] == ["busy", "busy", "failed"]
            assert (told[0]["call_sid"], told[2]["call_sid"]) == ("sip-1", "sip-3")
            assert told[1]["call_sid"] != "sip-2"
            assert told[2]["reason"] == "ended_unseen"
        assert invites(running) == {number(0): 1, number(1): 1}


def test_a_row_whose_record_may_have_made_room_for_others_is_not_called_again(tmp_path: Path) -> None:
    with house("stand-in", tmp_path) as running:
        begin(running)
        asked = OutboundRequest(organization="7", from_number=FROM, to_number=number(0), assistant_id=1)
        long_ago = BatchRow(number=1, asked=asked, state=RowState.PLACING, call_sid="sip-1", started_at=1.0)
        store = running.bridge.application.store
        store.add_batch(Batch(id="batch-1", organization="7", created_at=1.0, rows=1), [long_ago])
        reaches(running, "batch-1", "done")
        assert [(row["status"], row["reason"]) for row in results(running, "batch-1")] == [
            ("failed", "outcome_unknown")
        ]
        assert not invites(running)


def test_a_key_whose_claimer_died_names_a_call_that_is_placed(tmp_path: Path) -> None:
    with house("stand-in", tmp_path) as running:
        begin(running)
        store, body = running.bridge.application.store, {"from_number": FROM, "to_number": number(0)}
        digest = hashlib.sha256(f"/api/calls\n{json.dumps(body, sort_keys=True)}".encode()).hexdigest()

        def placed(key: str) -> str:
            headers = {"Authorization": f"Bearer {API_KEY}", "Idempotency-Key": key}
            answer = requests.post(f"{running.bridge.url}/api/calls", json=body, headers=headers, timeout=30)
            assert answer.status_code == 202, answer.text
            return str(answer.json()["call_sid"])

        store.claim_placement("7", "young", Placement("sip-young", digest), time.time())
        store.claim_placement("7", "old", Placement("sip-old", digest), time.time() - ABANDONED_SECONDS)
        assert placed("young") == "sip-young"
        asked = [gevent.spawn(placed, "old") for _ in range(5)]
        gevent.joinall(asked, raise_error=True)
        assert {one.value for one in asked} == {"sip-old"}
        assert running.ended("sip-old")["status"] == "busy"
        assert placed("old") == "sip-old"
        assert invites(running) == {number(0): 1}
        assert store.call("sip-young") is None
