"""Two control planes on one Redis and four trunks of ten channels: the eleventh call is never there, and the tenth is.

What is counted is what the carriers see, in both directions. OUTBOUND_CALLS=2000 makes it as many.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import pytest
from cryptography.fernet import Fernet
from gevent.pool import Pool
from pydantic import SecretStr

from fscontrol.simulator.carriers import CallAnswer
from fscontrol.simulator.leg import Leg
from fscontrol.simulator.server import PlacedCall
from tests import bridge, switches
from tests.bridge import Bridge, trunk
from tests.call_carriers import CallCarrier, carriers
from tests.caller_phone import Caller
from tests.contract.redis_server import redis_server
from tests.invites import invite
from tests.journeys.test_commands import Serving
from tests.journeys.test_outbound import FROM, NUMBER, TO, house, trunk_to
from tests.switches import PASSWORD, StandInSwitch, Switch
from tests.waiting import eventually, free_port

LIMIT = 10
TRUNKS = range(4)
CALLS = int(os.environ.get("OUTBOUND_CALLS", "200"))
REAL_CALLS = int(os.environ.get("OUTBOUND_CALLS_OF_FREESWITCH", "60"))
PATIENCE = 60 + CALLS / 10
QUEUE = {"outbound_queue_seconds": 600, "outbound_queue_length": 5000}


@dataclass(slots=True)
class Pair:
    """`other` is a process of its own, `here` is in this one; both place calls, `here` takes those that come in."""

    other: Serving
    here: Bridge

    def place(self, number: int, **fields: object) -> str:
        ask = self.other.ask if number % 2 else self.here.ask
        status, answer = ask("POST", "/api/calls", {"from_number": FROM, "to_number": TO, **fields})
        assert status == 202, answer
        return str(answer["call_sid"])

    def flood(self, calls: int, **fields: object) -> list[str]:
        pool = Pool(8)
        return list(pool.imap_unordered(lambda number: self.place(number, **fields), range(calls)))

    def records(self, call_sids: list[str]) -> list[dict[str, Any]]:
        """As they are once all have ended."""
        store = self.here.application.store

        def ended() -> list[dict[str, Any]]:
            found = [store.call(call_sid) for call_sid in call_sids]
            done = [one.model_dump(mode="json") for one in found if one is not None and one.status.is_final]
            return done if len(done) == len(call_sids) else []

        return eventually(ended, PATIENCE)

    def nothing_is_left(self) -> None:
        shared = self.here.application.store.shared_places()
        assert shared is not None
        eventually(lambda: not shared.holders())
        eventually(lambda: self.here.application.outgoing.calls.placing == 0)


@contextlib.contextmanager
def pair(switch: Switch, work: Path, **changes: object) -> Iterator[Pair]:
    key = Fernet.generate_key().decode()
    changes = {**QUEUE, **changes}
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(redis_server(work))
        settings = bridge.settings_for(
            switch, work, store_url=url, secret_key=SecretStr(key), rate_limit_writes="off", **changes
        )
        here = stack.enter_context(bridge.running_application(settings))
        other = Serving(
            work,
            FSCONTROL_NODES=f"fs1=127.0.0.1:{switch.config.esl_port}",
            FSCONTROL_ESL_PASSWORD=PASSWORD.get_secret_value(),
            FSCONTROL_CONFIG_DIR=str(switch.config_dir),
            FSCONTROL_STORE_URL=url,
            FSCONTROL_SECRET_KEY=key,
            FSCONTROL_RATE_LIMIT_WRITES="off",
            FSCONTROL_GATEWAY_NETWORKS="127.0.0.0/8",
            **{f"FSCONTROL_{name.upper()}": str(value) for name, value in changes.items()},
        )
        stack.callback(other.stop)
        yield Pair(other, Bridge(switch, here))


def push(both: Pair, trunks: list[dict[str, object]]) -> None:
    body = {"organization_id": 7, "trunks": trunks, "phone_numbers": [NUMBER]}
    status, answer = both.here.sync(body, force="true")
    assert status == 200, answer


class Carriers:
    """What four carriers of a stand-in see: calls in progress, from the INVITE to the end; coming in, from our 180."""

    def __init__(self, switch: StandInSwitch) -> None:
        self.hosts = [f"127.0.0.{11 + number}" for number in TRUNKS]
        self.addresses = [f"{host}:{free_port()}" for host in self.hosts]
        self.peaks: Counter[str] = Counter()
        self.invites: Counter[str] = Counter()
        self.most_mixed: Counter[str] = Counter()
        self._node = switch.stand_in._node
        self._add_leg = self._node.add_leg
        for number, address in enumerate(self.addresses):
            busy = CallAnswer(486, rings=True, seconds=1.0)
            switch.stand_in.carriers.answer_calls(
                address, busy if number % 2 else CallAnswer(200, rings=True, seconds=0.1)
            )
        self._node.add_leg = self._watch  # type: ignore[method-assign]

    def _watch(self, leg: Leg) -> None:
        self._add_leg(leg)
        if leg.inbound:
            ring = leg.ring

            def counted() -> None:
                ring()
                self._count(self._host(leg))

            leg.ring = counted  # type: ignore[method-assign]
        else:
            self.invites[self._host(leg)] += 1
            self._count(self._host(leg))

    @staticmethod
    def _host(leg: Leg) -> str:
        if leg.inbound:
            return str(leg.channel.variables["sip_network_ip"])
        return str(leg.channel.variables["sip_destination_url"]).partition("@")[2].partition(":")[0]

    def _count(self, host: str) -> None:
        there = [leg for leg in self._node.legs.values() if not leg.channel.down and self._host(leg) == host]
        incoming = sum(leg.inbound and 180 in leg.statuses for leg in there)
        outgoing = sum(not leg.inbound for leg in there)
        self.peaks[host] = max(self.peaks[host], incoming + outgoing)
        if incoming:
            self.most_mixed[host] = max(self.most_mixed[host], outgoing)


def callers(both: Pair, seen: Carriers, is_over: Callable[[], bool]) -> tuple[list[PlacedCall], Counter[int]]:
    """Five that come in first and stay, and afterwards one after another over any trunk; what they are answered."""
    assert isinstance(both.here.switch, StandInSwitch)
    stand_in, rng, statuses = both.here.switch.stand_in, random.Random(7), Counter[int]()

    def call(host: str) -> PlacedCall:
        return stand_in.place_call(invite(FROM).encode(), source=(host, 5121))

    def keep_calling() -> None:
        while not is_over():
            one = call(rng.choice(seen.hosts))
            statuses[one.wait_final(20)] += 1
            gevent.sleep(0.02)
            one.hangup()
            gevent.sleep(0.05)

    staying = [call(seen.hosts[0]) for _ in range(5)]
    assert [one.wait_final(20) for one in staying] == [200] * 5
    gevent.spawn(keep_calling)
    return staying, statuses


def test_never_an_eleventh_call_on_a_trunk_of_ten(tmp_path: Path) -> None:
    with switches.running("stand-in", tmp_path / "switch") as switch, pair(switch, tmp_path) as both:
        assert isinstance(switch, StandInSwitch)
        seen = Carriers(switch)
        push(
            both,
            [
                trunk(f"t{number}", address, register=False, channel_limit=LIMIT)
                for number, address in enumerate(seen.addresses)
            ],
        )
        over: list[bool] = []
        staying, statuses = callers(both, seen, lambda: bool(over))
        placed = both.flood(CALLS, max_call_seconds=1)
        records = both.records(placed)
        over.append(True)
        for one in staying:
            one.hangup()
        odd = [record for record in records if record["status"] not in ("busy", "completed")]
        assert not odd, (len(odd), odd[0])
        assert len({record["placed_by"] for record in records}) == 2
        waited = sum("waiting for a place" in str(record["steps"]) for record in records)
        print(f"{CALLS} calls: peaks {dict(seen.peaks)}, INVITEs {dict(seen.invites)}, {waited} waited,")
        print(f"calls that came in meanwhile {dict(statuses)}")
        assert seen.peaks == dict.fromkeys(seen.hosts, LIMIT)
        assert sum(seen.invites.values()) == CALLS, (
            "each call is one INVITE, at whichever carrier had room first"
        )
        assert seen.most_mixed[seen.hosts[0]] == LIMIT - 5, (
            "calls that come in and calls that go out count together"
        )
        assert waited > 0
        assert statuses.keys() <= {200, 486}
        assert statuses[486] > 0
        both.nothing_is_left()
        killed_while_its_calls_wait(both, seen)


def killed_while_its_calls_wait(both: Pair, seen: Carriers) -> None:
    """What it placed and what stood in its line ends, and its places are the other's."""
    placed = [both.place(1, max_call_seconds=60, trunk_id="t0") for _ in range(LIMIT + 5)]
    shared = both.here.application.store.shared_places()
    assert shared is not None
    eventually(lambda: shared.in_use("trunk:7/t0") == LIMIT)
    (holder,) = shared.holders()
    both.other.kill()
    records = both.records(placed[-5:])
    assert {(record["placed_by"], record["status"]) for record in records} == {(holder, "failed")}
    for call_sid in placed:
        both.here.ask("POST", f"/api/calls/{call_sid}/terminate")
    both.records(placed)
    both.nothing_is_left()
    assert seen.peaks == dict.fromkeys(seen.hosts, LIMIT)


_RECEIVED = re.compile(
    r"message received [^\n]*\n\n(INVITE|BYE|CANCEL) .*?^Call-ID: *(\S+)", re.DOTALL | re.MULTILINE
)


def most_at_once(carrier: CallCarrier) -> tuple[int, int]:
    """Of a carrier on the wire, in the order it received them: calls at once at most, and calls."""
    assert carrier.log is not None
    there: set[str] = set()
    seen: set[str] = set()
    most = 0
    for method, call_id in _RECEIVED.findall(carrier.log.read_text("utf-8", "replace").replace("\r\n", "\n")):
        if method == "INVITE" and call_id not in seen:  # not one sent again
            seen.add(call_id)
            there.add(call_id)
        elif method != "INVITE":
            there.discard(call_id)
        most = max(most, len(there))
    return most, len(seen)


@pytest.mark.freeswitch
def test_the_same_on_the_wire(tmp_path: Path) -> None:
    """Three that come in over the first trunk, and stay: there are seven left to go out."""
    with (
        switches.running("freeswitch", tmp_path / "switch") as switch,
        pair(switch, tmp_path) as both,
        carriers(switch) as make,
    ):
        four = [make("200") for _ in TRUNKS]
        owners = ["127.0.0.1", *(f"127.0.0.{11 + number}" for number in TRUNKS)]
        push(
            both,
            [
                trunk(
                    f"t{number}",
                    carrier.address,
                    register=False,
                    channel_limit=LIMIT,
                    allowed_addresses=[owners[number]],
                )
                for number, carrier in enumerate(four)
            ],
        )
        staying = [Caller(switch.config.sip_port, FROM, 440) for _ in range(3)]
        placed = both.flood(REAL_CALLS, max_call_seconds=1)
        records = both.records(placed)
        for one in staying:
            one.hang_up()
        assert {record["status"] for record in records} == {"completed"}
        found = [most_at_once(carrier) for carrier in four]
        print(f"{REAL_CALLS} calls on FreeSWITCH: at once and in all, by carrier: {found}")
        assert [most for most, _ in found] == [LIMIT - 3, LIMIT, LIMIT, LIMIT]
        assert sum(calls for _, calls in found) == REAL_CALLS
        both.nothing_is_left()


def test_a_call_waits_may_leave_and_is_refused_where_the_line_ends(tmp_path: Path) -> None:
    with house("stand-in", tmp_path, outbound_queue_seconds=60, outbound_queue_length=1) as running:
        running.push(trunk_to(running.carrier("200"), "only", 1, channel_limit=1))

        def terminate(call_sid: str) -> None:
            assert running.bridge.ask("POST", f"/api/calls/{call_sid}/terminate")[0] == 200

        def waiting() -> str:
            call_sid = running.place()
            eventually(lambda: "waiting for a place" in str(running.record(call_sid)["steps"]))
            return call_sid

        first = running.place()
        running.reaches(first, "in-progress")
        impatient = waiting()
        late = running.ended(running.place())
        assert (late["status"], late["reason"]) == ("failed", "queue_full")
        assert [one["reason"] for one in late["skipped"]] == ["at_limit"]
        terminate(impatient)
        record = running.ended(impatient)
        assert (record["status"], record["reason"], record["attempts"]) == ("canceled", "canceled", [])
        patient = waiting()
        terminate(first)
        record = running.reaches(patient, "in-progress")
        assert [step["decision"] for step in record["steps"] if step["step"] == "limits"] == [
            "waiting for a place",
            "a place",
        ]
        prepared = {body["call_sid"] for body in running.backend.at("/sip-prewarm")}
        assert prepared == {first, patient}, "an assistant is prepared once there is room for its call"
        terminate(patient)
        running.ended(patient)
        eventually(lambda: running.bridge.application.limits.holders == 0)


def test_a_call_that_waited_in_vain_says_so(tmp_path: Path) -> None:
    with house("stand-in", tmp_path, outbound_queue_seconds=0.2) as running:
        running.push(trunk_to(running.carrier("200"), "only", 1, channel_limit=0))
        record = running.ended(running.place())
        assert (record["status"], record["reason"]) == ("failed", "trunk_limit")
        assert ("limits", "no place") in [(step["step"], step["decision"]) for step in record["steps"]]
