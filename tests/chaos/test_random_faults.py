"""Parts die at random while pushes and calls go on; in the end everything is as it was asked for.

Each run carries out a plan that its seed decides (`plan.py`), then brings every part back and asks: is exactly what
was acknowledged in force, was no established call dropped, did no call go wrong, is no place and no record left over,
did no carrier lose a binding it should have kept, is no secret in a log? Where nothing wakes the reconciler but its
events, no file is spoiled: nobody could know of it. With a timer, files are spoiled as well.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gevent
import pytest

from fscontrol.model.call import CallStatus
from fscontrol.simulator.carrier import CarrierBehaviour
from tests import switches
from tests.bridge import API_KEY
from tests.chaos.fleet import Fleet, Placed
from tests.chaos.model import answers
from tests.chaos.outbox_process import VAULT_KEY
from tests.chaos.parts import ControlPlane, Link, RedisServer
from tests.chaos.plan import NUMBERS, ORGANIZATIONS, Document, Part, Planner, Step
from tests.waiting import eventually

STEPS = 40
CONVERGED_WITHIN = 45.0
NEVER = 3600.0
LINES_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Run:
    """What is run. `timer`: the reconciler compares every few seconds, too, and not only when something wakes it."""

    kind: str
    store: str
    seed: int
    timer: bool

    def __str__(self) -> str:
        return f"{self.kind}-{self.store}-{'timer' if self.timer else 'events'}-seed{self.seed}"


MORE = [int(seed) for seed in os.environ.get("CHAOS_SEEDS", "").split(",") if seed]
"""For whoever looks for longer: each is run in every configuration, with a timer when it is even."""
RUNS = [
    Run("stand-in", "sqlite", 1, timer=False),
    Run("stand-in", "sqlite", 2, timer=True),
    Run("stand-in", "redis", 3, timer=False),
    Run("stand-in", "redis", 4, timer=True),
    Run("freeswitch", "sqlite", 5, timer=False),
    Run("freeswitch", "sqlite", 6, timer=True),
    *(
        Run(kind, store, seed, timer=seed % 2 == 0)
        for seed in MORE
        for kind, store in (("stand-in", "sqlite"), ("stand-in", "redis"), ("freeswitch", "sqlite"))
    ),
]


@dataclass(slots=True)
class Trial:
    """A fleet, and what is to be done to it."""

    run: Run
    fleet: Fleet
    planner: Planner
    work: Path


@contextlib.contextmanager
def running(run: Run, work: Path) -> Iterator[Trial]:
    """Everything started, a document for every organisation pushed, and somebody calling each of them."""
    with contextlib.ExitStack() as stack:
        switch = stack.enter_context(switches.running(run.kind, work / "switch"))
        carriers = [switch.carrier(CarrierBehaviour.ACCEPT) for _ in range(3)]
        link = Link(switch.config.esl_port)
        stack.callback(link.close)
        store, store_url = None, f"sqlite:///{work}/fscontrol.db"
        if run.store == "redis":
            store = RedisServer(work / "redis")
            stack.callback(store.kill)
            store.start()
            eventually(store.answers)
            store_url = store.url
        control = ControlPlane(
            work,
            FSCONTROL_NODES=f"fs1=127.0.0.1:{link.port}",
            FSCONTROL_ESL_PASSWORD=switches.PASSWORD.get_secret_value(),
            FSCONTROL_ESL_TIMEOUT_SECONDS="2",
            FSCONTROL_CALL_SOCKET=f"127.0.0.1:{switch.call_socket_port}",
            FSCONTROL_CONFIG_DIR=str(switch.config_dir),
            FSCONTROL_STORE_URL=store_url,
            FSCONTROL_SECRET_KEY=VAULT_KEY,
            FSCONTROL_APPLY_TIMEOUT_SECONDS="5",
            FSCONTROL_REGISTER_SECONDS="3",
            FSCONTROL_RECONCILE_SECONDS=str(4 if run.timer else NEVER),
            FSCONTROL_MOST_REMOVED_SHARE="1",
        )
        stack.callback(control.kill)
        fleet = Fleet(switch, link, store, store_url, control)
        stack.callback(fleet.close)
        parts = [part for part in Part if part is not Part.REDIS or store is not None]
        planner = Planner(random.Random(run.seed), carriers, parts, spoils_files=run.timer)
        fleet.finish()  # starts what is not there
        for organization in ORGANIZATIONS:
            document = planner.first(organization)
            fleet.push(organization, document)
            eventually(lambda key=organization: fleet.freeswitch.lets_ask(key))  # type: ignore[misc]
            call = fleet.call(organization, document["phone_numbers"][0]["phone_number"])
            assert call.is_parked, (organization, call.line.status)
        yield Trial(run, fleet, planner, work)


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(run, id=str(run), marks=[pytest.mark.freeswitch] if run.kind == "freeswitch" else [])
        for run in RUNS
    ],
)
def test_random_faults_leave_what_was_asked_for(run: Run, tmp_path: Path) -> None:
    done: list[Step] = []
    try:
        with running(run, tmp_path) as trial:
            fleet = trial.fleet
            for step in trial.planner.steps(STEPS):
                done.append(step)
                fleet.do(step.action)
                gevent.sleep(step.pause)  # the world goes on; nothing is taken to have happened after it
                assert fleet.dropped() == [], "established calls were dropped"
            fleet.finish()
            states = converge(fleet)
            assert fleet.dropped() == [], "established calls were dropped"
            states = {key: call_every_number(fleet, key, states[key]) for key in ORGANIZATIONS}
            limits_count_every_call(fleet, trial.planner)
            every_call_comes_to_its_end(fleet)
            fleet.note_bindings()
            assert fleet.lost_bindings == []
            no_secret_is_told(trial)
            print(summary(trial, done))
    except BaseException as error:
        error.add_note(f"seed {run.seed} of {run}; done:\n" + "\n".join(map(str, done)))
        if (log := tmp_path / "serve.log").exists():
            error.add_note("\n".join(log.read_text().splitlines()[-LINES_SHOWN:]))
        raise


def converge(fleet: Fleet) -> dict[int, list[Document | None]]:
    """Wait until exactly what was asked for is loaded and delivered; returns which states explain it."""
    key = fleet.fingerprint_key()
    found: dict[int, list[Document | None]] = {}

    def is_converged() -> bool:
        # First what is stored: of two possible states the old one may be what is loaded, and for a moment only.
        stored = {organization: fleet.stored_and_applied(organization) for organization in ORGANIZATIONS}
        found.update(fleet.explanations(key))
        return None not in stored.values() and all(found.values()) and not fleet.strangers()

    try:
        eventually(is_converged, CONVERGED_WITHIN)
    except AssertionError as error:
        wanted = {organization: one.possible for organization, one in fleet.histories.items()}
        seen = f"loaded {sorted(fleet.freeswitch.loaded())}\nexplained {found}\nwanted {wanted}"
        raise AssertionError(f"not converged: {seen}") from error
    for organization, generation in fleet.generations.items():
        if len(fleet.histories[organization].possible) == 1:
            assert fleet.stored_and_applied(organization) == generation, (
                f"{organization} has another generation"
            )
    return found


def call_every_number(
    fleet: Fleet, organization: int, states: list[Document | None]
) -> list[Document | None]:
    """Each number is answered by whom it should, or refused; returns the states that explain all of it."""
    if any(answers(state, number) for state in states for number in NUMBERS) and len(states) == 1:
        eventually(lambda: fleet.freeswitch.lets_ask(organization))
    for number in NUMBERS:
        call = fleet.call(organization, number)
        record = {one["from_number"]: one for one in fleet.records()}.get(call.caller)
        assistant = record["assistant_id"] if record is not None and call.accepted else None
        explained = [state for state in states if answers(state, number) == assistant]
        assert explained, (
            f"{number} of {organization} reached {assistant}, status {call.line.status}: {states}"
        )
        states = explained
        fleet.hang_up(call)
    return states


def limits_count_every_call(fleet: Fleet, planner: Planner) -> None:
    """As many calls fit as the limit says, those that outlived their control planes counted in."""
    for call in fleet.established:
        if call.in_an_outage:
            # Its record may have waited for the store in a control plane that was killed: nobody counts it.
            fleet.hang_up(call)
    by_organization = {key: [c for c in fleet.established if c.organization == key] for key in ORGANIZATIONS}
    organization = max(by_organization, key=lambda key: len(by_organization[key]))
    standing = by_organization[organization]
    every_established_call_counts(fleet)
    limit = len(standing) + 1
    document = {**planner.first(organization), "channel_limit": limit}
    fleet.push(organization, document)
    assert fleet.histories[organization].possible == [document], "the last push was not taken"
    eventually(lambda: fleet.freeswitch.lets_ask(organization))
    number = document["phone_numbers"][0]["phone_number"]

    def fill(places: int) -> list[Placed]:
        calls = [fleet.call(organization, number) for _ in range(places + 1)]
        assert [call.line.status for call in calls] == [200] * places + [486], (
            f"{places} of {limit} places are free"
        )
        return calls

    calls = fill(1)
    for call in [*standing, *calls]:
        fleet.hang_up(call)
    every_established_call_counts(fleet)
    fill(limit)


def every_established_call_counts(fleet: Fleet) -> None:
    """The control plane believes exactly those to be in progress that are."""
    try:
        eventually(lambda: fleet.active() == len(fleet.established))
    except AssertionError as error:
        there, believed = fleet.freeswitch.parked(), [r for r in fleet.records() if r["ended_at"] is None]
        wrong = f"{fleet.active()} active, records {believed}, channels {there}"
        raise AssertionError(f"{wrong}, established {[call.caller for call in fleet.established]}") from error


def every_call_comes_to_its_end(fleet: Fleet) -> None:
    """No record stays open, no channel is left, and each accepted call was for whom it was allowed to be for."""
    for call in fleet.established:
        fleet.hang_up(call)
    eventually(lambda: not fleet.freeswitch.parked() and fleet.active() == 0)
    eventually(lambda: all(CallStatus(record["status"]).is_final for record in fleet.records()))
    records = {record["from_number"]: record for record in fleet.records()}
    for call in fleet.calls:
        record = records.get(call.caller)
        if record is None:
            assert not call.accepted or call.in_an_outage, f"{call.caller} was answered and has no record"
        elif record["assistant_id"] is not None:
            routed = (record["organization_id"], record["to_number"])
            assert routed == (call.organization, call.allowed.number), record
            assert record["assistant_id"] in call.allowed.assistants, (record, call.allowed)
        else:
            assert not call.accepted, record


def no_secret_is_told(trial: Trial) -> None:
    """Not in a log of ours, not in an answer, and no password readable in the store."""
    secrets = {*trial.planner.secrets, API_KEY, switches.PASSWORD.get_secret_value(), VAULT_KEY}
    told = "\n".join([trial.fleet.control.log.read_text(), *trial.fleet.control.said])
    if trial.fleet.redis is not None:
        told += trial.fleet.redis.log.read_text()
    assert [secret for secret in secrets if secret in told] == []
    if trial.run.store == "sqlite":
        with contextlib.closing(sqlite3.connect(trial.work / "fscontrol.db")) as database:
            stored = "\n".join(database.iterdump())
        assert [secret for secret in secrets if secret in stored] == []


def summary(trial: Trial, done: list[Step]) -> str:
    """How much was done, for whoever reads the run."""
    calls = trial.fleet.calls
    kinds = [type(step.action).__name__ for step in done]
    counts = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    parked = sum(call.is_parked for call in calls)
    return f"{trial.run}: {counts}; {len(calls)} calls, {parked} of them parked"
