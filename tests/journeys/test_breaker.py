"""A breaker's life on a timeline, and where it is seen; on the stand-in and on a real FreeSWITCH.

The clock of the breakers is put forward where a pause has to pass.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent.pool
import pytest
import requests
from cryptography.fernet import Fernet
from pydantic import SecretStr

from fscontrol.simulator.carriers import CallAnswer
from tests import bridge, switches
from tests.bridge import API_KEY, Bridge
from tests.call_backend import CallBackend
from tests.call_carriers import CallCarrier, carriers
from tests.contract.redis_server import redis_server
from tests.journeys.test_commands import Serving, run
from tests.journeys.test_outbound import FROM, NUMBER, TO, House, house, trunk_to
from tests.switches import PASSWORD, StandInSwitch
from tests.waiting import eventually, free_port

PAUSE = 600.0
RULES = {
    "breaker": "on",
    "breaker_failures": 3,
    "breaker_pause_seconds": PAUSE,
    "breaker_longest_pause_seconds": 4 * PAUSE,
    "breaker_probe_seconds": PAUSE,
}


class Ahead:
    """Seconds since the epoch, put forward."""

    def __init__(self) -> None:
        self.by = 0.0

    def __call__(self) -> float:
        return time.time() + self.by


@pytest.fixture(scope="module", params=switches.BOTH)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(request.param, tmp_path_factory.mktemp("breaker"), **RULES) as running:
        yield running


def asked(record: dict[str, Any]) -> list[str]:
    return [attempt["trunk_id"] for attempt in record["attempts"]]


def breaker_steps(record: dict[str, Any]) -> list[str]:
    return [step["decision"] for step in record["steps"] if step["step"] == "breaker"]


def answered(here: House, call_sid: str) -> dict[str, Any]:
    """Its record once it is answered; then it is hung up."""
    here.reaches(call_sid, "in-progress")
    assert here.bridge.ask("POST", f"/api/calls/{call_sid}/terminate")[0] == 200
    return here.ended(call_sid)


def call(here: House) -> dict[str, Any]:
    return answered(here, here.place())


def row(here: House, trunk_id: str = "first") -> dict[str, Any]:
    items = here.bridge.ask("GET", "/api/trunks", organization="7")[1]["items"]
    return next((item for item in items if item["trunk_id"] == trunk_id), {})


def shown_as_tripped(here: House) -> dict[str, object]:
    """What each place that shows the trunk says."""
    asking = here.bridge
    headers = {"Authorization": f"Bearer {API_KEY}", "X-Organization-Id": "7"}
    rpc = requests.post(
        f"{asking.url}/rpc/GetTrunk",
        json={"admin_token": API_KEY, "trunk_id": "first"},
        headers=headers,
        timeout=30,
    )
    one = requests.get(f"{asking.url}/api/v1/sip-trunks/first", headers=headers, timeout=30)
    trunks = asking.ask("GET", "/api/organizations/7")[1]["trunks"]
    (gateway,) = (item for item in asking.gateways().values() if item["trunk_id"] == "first")
    metrics = requests.get(f"{asking.url}/metrics", headers=headers, timeout=30).text
    return {
        "GetTrunk": rpc.json()["config"]["is_cb_tripped"],
        "sip-trunks": one.json()["is_cb_tripped"],
        "its tag": one.headers["ETag"].endswith('-tripped"'),
        "organisation": next(item["is_cb_tripped"] for item in trunks if item["id"] == "first"),
        "gateways": gateway["is_cb_tripped"] and gateway["breaker"] == "open",
        "trunks": row(here)["is_cb_tripped"],
        "metrics": 'fscontrol_breakers{state="open"} 1.0' in metrics,
    }


def test_its_life(both: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house, breakers = both.bridge.application, both.bridge.application.watch.breakers
    clock = Ahead()
    monkeypatch.setattr(breakers, "_clock", clock)
    listener = house.bus.listen(lambda _organization: True)
    carrier = both.carrier("503")
    both.push(trunk_to(carrier, "first", 1), trunk_to(both.carrier("200"), "second", 2))
    assert row(both) == {}, "no call yet"
    assert not any(gateway["is_cb_tripped"] for gateway in both.bridge.gateways().values())

    # closed: every call asks the first carrier, and the last failure opens the breaker
    records = [call(both) for _ in range(3)]
    assert [asked(one) for one in records] == [["first", "second"]] * 3
    assert [breaker_steps(one) for one in records] == [[], [], ["opened"]]
    assert all(shown_as_tripped(both).values()), shown_as_tripped(both)
    said = row(both)["breaker"]
    assert (said["state"], said["trips"], said["until"] - said["since"]) == ("open", 1, PAUSE)
    assert said["why"].startswith("3 calls in a row failed, the last one with 503")

    # open: the second at once, and the record says why
    record = call(both)
    assert (asked(record), record["skipped"][0]["reason"]) == (["second"], "breaker_open")
    assert record["skipped"][0]["detail"] == said["why"]

    # half-open: of several calls at once one finds out; it fails, and the pause is longer
    carrier.become("silence")
    clock.by += PAUSE
    placed = gevent.pool.Group().map(lambda _: both.place(), range(5))
    records = [answered(both, call_sid) for call_sid in placed]
    assert sorted(asked(one) for one in records) == [["first", "second"], *[["second"]] * 4]
    assert sorted(breaker_steps(one) for one in records) == [[], [], [], [], ["probe", "opened"]]
    said = row(both)["breaker"]
    assert (said["state"], said["trips"], said["until"] - said["since"]) == ("open", 2, 2 * PAUSE)
    clock.by += PAUSE
    assert asked(call(both)) == ["second"]

    # half-open again; the carrier is back
    carrier.become("200")
    clock.by += PAUSE
    record = call(both)
    assert (asked(record), breaker_steps(record)) == (["first"], ["probe", "closed"])
    assert row(both)["breaker"]["state"] == "closed"
    in_progress = both.place()
    assert asked(both.reaches(in_progress, "in-progress")) == ["first"]

    # open again: a call in progress goes on; somebody closes it by hand
    assert row(both)["figures"]["concurrent"] == 1
    carrier.become("503")
    for _ in range(3):
        call(both)
    assert row(both)["is_cb_tripped"]
    assert both.record(in_progress)["status"] == "in-progress"
    path = "/api/organizations/7/trunks/first/breaker/reset"
    assert both.bridge.ask("POST", path)[1]["already"] is False
    assert both.bridge.ask("POST", path)[1]["already"] is True
    assert both.bridge.ask("POST", path.replace("first", "nobody"))[0] == 404
    audit = both.bridge.ask("GET", "/api/audit", organization="7")[1]["items"]
    assert (audit[0]["action"], audit[0]["target"]) == ("closed the breaker of", "trunk first")
    assert asked(call(both)) == ["first", "second"]
    answered(both, in_progress)

    told = []
    while (happening := listener.next(0)) is not None:
        told += [happening.what["state"]] if happening.kind == "breaker" else []
    assert told == ["open", "half_open", "open", "half_open", "closed", "open", "closed"]

    figures = row(both)["figures"]
    # 3 failed, the probe failed, the probe and one more were answered, 3 failed, 1 failed
    assert (figures["attempts"], figures["answered"], figures["asr"]) == (10, 2, 20.0)
    assert figures["inbound"]["attempts"] == 0
    assert row(both, "second")["figures"]["asr"] == 100.0
    assert figures["pdd"] > 0


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandInSwitch]:
    with switches.running("stand-in", tmp_path / "switch") as switch:
        assert isinstance(switch, StandInSwitch)
        yield switch


def two_trunks(switch: StandInSwitch) -> dict[str, object]:
    """An organisation whose first carrier takes REGISTERs, and no calls."""
    account = {"register": True, "username": "9228", "password": "p"}
    with carriers(switch) as make:
        trunks = [
            {**trunk_to(make(how), name, priority), **account}
            for priority, (how, name) in enumerate((("503", "first"), ("200", "second")))
        ]
    return {"organization_id": 7, "trunks": trunks, "phone_numbers": [NUMBER]}


def test_a_restart_keeps_it(stand_in: StandInSwitch, tmp_path: Path) -> None:
    settings = bridge.settings_for(stand_in, tmp_path, breaker_failures=1, breaker_pause_seconds=PAUSE)
    kept: list[dict[str, Any]] = []
    for _ in range(2):
        with bridge.running_application(settings) as application:
            here = House(
                Bridge(stand_in, application), CallBackend(), lambda _how: CallCarrier("", list, print)
            )
            if not kept:
                assert here.bridge.sync(two_trunks(stand_in))[0] == 200
            knows_both_gateways(here)
            if not kept:
                assert asked(call(here)) == ["first", "second"]
            kept.append(row(here))
            assert asked(call(here)) == ["second"]
    assert kept[0]["breaker"]["state"] == "open"
    assert kept[1]["breaker"] == kept[0]["breaker"]
    assert kept[1]["figures"] == kept[0]["figures"]


def test_two_control_planes_share_it_and_one_that_dies_while_it_probes(
    stand_in: StandInSwitch, tmp_path: Path
) -> None:
    key = Fernet.generate_key().decode()
    rules = {"failures": 2, "pause_seconds": 1, "longest_pause_seconds": 1, "probe_seconds": 3}
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(redis_server(tmp_path))
        first = Serving(
            tmp_path,
            FSCONTROL_NODES=f"fs1=127.0.0.1:{stand_in.config.esl_port}",
            FSCONTROL_ESL_PASSWORD=PASSWORD.get_secret_value(),
            FSCONTROL_CONFIG_DIR=str(stand_in.config_dir),
            FSCONTROL_CALL_SOCKET=f"127.0.0.1:{stand_in.call_socket_port}",
            FSCONTROL_STORE_URL=url,
            FSCONTROL_SECRET_KEY=key,
            **{f"FSCONTROL_BREAKER_{name.upper()}": str(value) for name, value in rules.items()},
        )
        stack.callback(first.kill)
        settings = bridge.settings_for(
            stand_in,
            tmp_path,
            store_url=url,
            secret_key=SecretStr(key),
            **{f"breaker_{name}": value for name, value in rules.items()},
        )
        socket = settings.call_socket.model_copy(update={"port": free_port()})
        application = stack.enter_context(bridge.running_application(settings.with_(call_socket=socket)))
        here = House(Bridge(stand_in, application), CallBackend(), lambda _how: CallCarrier("", list, print))
        body = two_trunks(stand_in)
        assert here.bridge.sync(body)[0] == 200
        carrier = body["trunks"][0]["gateway"]  # type: ignore[index]

        def place_elsewhere() -> str:
            return str(first.ask("POST", "/api/calls", {"from_number": FROM, "to_number": TO})[1]["call_sid"])

        knows_both_gateways(here)
        # one failure here and one there
        assert asked(hang_up(here, here.place())) == ["first", "second"]
        hang_up(here, place_elsewhere())
        eventually(lambda: row(here).get("is_cb_tripped"))

        shown = run("trunks", "--json", cwd=tmp_path, **first.settings)
        assert json.loads(shown.stdout)["items"][0]["breaker"]["state"] == "open"
        assert "open," in run("trunks", cwd=tmp_path, **first.settings).stdout

        # the other one probes, and is killed meanwhile
        stand_in.stand_in.carriers.answer_calls(carrier, CallAnswer(is_silent=True))
        probe = eventually(lambda: probing(here, place_elsewhere()))
        first.kill()
        eventually(lambda: row(here)["breaker"]["state"] == "half_open")
        assert asked(hang_up(here, here.place())) == ["second"]
        stand_in.stand_in.carriers.answer_calls(carrier, CallAnswer(200, rings=True))
        record = eventually(lambda: asked(one := hang_up(here, here.place())) == ["first"] and one)
        assert record
        assert (breaker_steps(record), record["call_sid"] != probe) == (["probe", "closed"], True)
        door = {**first.settings, "FSCONTROL_HTTP": here.bridge.url.removeprefix("http://")}
        assert run("trunks", "reset", "7", "first", cwd=tmp_path, **door).stdout == "it is closed\n"


def knows_both_gateways(here: House) -> None:
    eventually(lambda: [one["state"] for one in here.bridge.gateways().values()] == ["REGED"] * 2)


def hang_up(here: House, call_sid: str) -> dict[str, Any]:
    """Its record as it is answered; who writes its end when control planes come and go is told elsewhere."""
    record = here.reaches(call_sid, "in-progress")
    here.bridge.ask("POST", f"/api/calls/{call_sid}/terminate")
    return record


def probing(here: House, call_sid: str) -> str:
    """The call, if it is the probe; a call that is not leaves by the second trunk."""
    record = eventually(lambda: (found := here.record(call_sid))["attempts"] and found)
    if "probe" in breaker_steps(record):
        return call_sid
    hang_up(here, call_sid)
    return ""
