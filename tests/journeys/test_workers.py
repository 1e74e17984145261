"""`fscontrol serve --workers 2` on one Redis: both decide calls, each serves its own, and one goes on for the other."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.fernet import Fernet

from fscontrol.cli.assistant_echo import AssistantServer
from fscontrol.esl.holders import is_running
from fscontrol.model.worker import WORKER_VARIABLE, pid_of
from fscontrol.simulator.server import PlacedCall, StandIn
from fscontrol.store.redis import RedisStore
from fscontrol.store.secrets import Vault
from tests import switches
from tests.bridge import API_KEY, trunk
from tests.contract.redis_server import redis_server
from tests.conversations import Assistant
from tests.invites import invite
from tests.journeys.test_commands import Serving, run
from tests.switches import PASSWORD, StandInSwitch
from tests.unit.test_fetched_audio import wav
from tests.waiting import eventually, free_port

NUMBER = {"id": 1, "phone_number": "+15551230001", "assistant_id": 123}
HEADERS = {"Authorization": f"Bearer {API_KEY}"}


@dataclass(slots=True)
class Crew:
    """A supervisor and its two workers on a stand-in, and the calls they have."""

    serving: Serving
    switch: StandIn
    assistant: Assistant
    media_dir: Path
    calls: list[PlacedCall] = field(default_factory=list)

    def decide_by_both(self) -> None:
        """Place calls, several at once, until each worker has decided at least two; they are all answered."""

        def is_enough() -> bool:
            placed = [self.switch.place_call(invite("+15551230001").encode()) for _ in range(6)]
            assert [call.wait_final(15) for call in placed] == [200] * 6
            self.calls += placed
            return sorted(Counter(map(self.server_of, self.calls)).values())[:-1] >= [2]

        eventually(is_enough)
        eventually(lambda: all(self.starts(call) for call in self.calls))

    def server_of(self, call: PlacedCall) -> str:
        return call.variables[WORKER_VARIABLE]

    def call_sid(self, call: PlacedCall) -> str:
        return call.variables["fscontrol_call_sid"]

    def starts(self, call: PlacedCall) -> int:
        """How often a stream to its assistant was begun."""
        sid = self.call_sid(call)
        return [start["start"]["callSid"] for start in self.assistant.events("start")].count(sid)

    def pids(self) -> set[int]:
        """The workers that live, by what the supervisor says it started; none while one of them begins."""
        said = self.serving.log.read_text()
        started = re.findall(r'"worker started", "worker": \d+, "pid": (\d+)', said)
        if said.count('"message": "serving"') < len(started):
            return set()
        return {pid for pid in map(int, started) if is_running(pid)}

    def directories(self) -> set[Path]:
        """Where workers ask each other, of supervisors that live or were killed."""
        return set(Path(self.serving.settings["TMPDIR"]).glob("fscontrol-*"))

    def holder(self) -> int:
        """The process that steers the node; 0 while none of them does."""
        name = self.serving.ask("GET", "/api/nodes")[1]["items"][0]["holder"] or ""
        return pid_of(name) if name else 0

    def figure(self, name: str) -> float:
        answer = requests.get(f"http://127.0.0.1:{self.serving.port}/metrics", headers=HEADERS, timeout=10)
        return sum(float(line.split()[-1]) for line in answer.text.splitlines() if line.startswith(name))

    def hang_up(self) -> list[dict[str, Any]]:
        """End all calls; their records once they are closed."""
        for call in self.calls:
            call.hangup()
        sids = {self.call_sid(call) for call in self.calls}

        def closed() -> list[dict[str, Any]]:
            records = self.serving.ask("GET", "/api/calls", limit="100")[1]["items"]
            found = [item for item in records if item["call_sid"] in sids]
            return found if all(item["ended_at"] for item in found) else []

        records = eventually(closed)
        assert len(records) == len(sids)
        self.calls.clear()
        return records


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    work = tmp_path_factory.mktemp("workers")
    assistant = Assistant()
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(redis_server(work))
        switch = stack.enter_context(switches.running("stand-in", work / "switch"))
        assert isinstance(switch, StandInSwitch)
        assistants = AssistantServer(on_message=assistant.take)
        assistants.start()
        stack.callback(assistants.stop)
        (work / "media").mkdir()
        (work / "tmp").mkdir()
        serving = Serving(
            work,
            "--workers", "2",
            FSCONTROL_NODES=f"fs1=127.0.0.1:{switch.config.esl_port}",
            FSCONTROL_ESL_PASSWORD=PASSWORD.get_secret_value(),
            FSCONTROL_CONFIG_DIR=str(switch.config_dir),
            FSCONTROL_CALL_SOCKET=f"127.0.0.1:{switch.call_socket_port}",
            FSCONTROL_STORE_URL=url,
            FSCONTROL_SECRET_KEY=Fernet.generate_key().decode(),
            FSCONTROL_LEASE_SECONDS="2",
            FSCONTROL_STREAM_URL=f"ws://127.0.0.1:{assistants.port}/streams",
            # The stand-in has no audio, and nobody is to be taken for silent here.
            FSCONTROL_STREAM_IDLE_SECONDS="300",
            FSCONTROL_STREAM_FIRST_AUDIO_SECONDS="300",
            FSCONTROL_MEDIA_DIR=str(work / "media"),
            TMPDIR=str(work / "tmp"),
        )  # fmt: skip
        stack.callback(serving.stop)
        made = Crew(serving, switch.stand_in, assistant, work / "media")
        eventually(lambda: len(made.pids()) == 2 and made.holder())
        pbx = trunk("pbx", "127.0.0.1:5099", register=False)
        body = {"organization_id": 7, "trunks": [pbx], "phone_numbers": [NUMBER]}
        assert serving.ask("POST", "/api/sync-organization", body)[0] == 200
        yield made


def test_each_serves_the_calls_it_decided_and_is_asked_for_them(crew: Crew) -> None:
    crew.decide_by_both()
    assert {crew.starts(call) for call in crew.calls} == {1}, "one stream each, whoever steers the node"
    assert crew.figure("fscontrol_calls_active") == crew.figure("fscontrol_relay_streams") == len(crew.calls)
    (crew.media_dir / "one.wav").write_bytes(wav())
    for call in crew.calls:  # a connection each: whoever takes it
        status, answer = crew.serving.ask(
            "POST", f"/api/calls/{crew.call_sid(call)}/play", {"file": "one.wav"}
        )
        assert status == 200, answer
    played = [line.split()[2] for line in crew.switch.commands if "uuid_displace" in line]
    assert sorted(played) == sorted(call.uuid for call in crew.calls), "over the stream: by who carries it"
    count = len(crew.calls)
    ended = crew.figure("fscontrol_calls_ended_total")
    assert {record["status"] for record in crew.hang_up()} == {"completed"}
    eventually(lambda: crew.figure("fscontrol_calls_active") == 0)
    assert crew.figure("fscontrol_calls_ended_total") == ended + count, "each counted once"


def test_one_listener_hears_of_calls_at_both(crew: Crew) -> None:
    url = f"http://127.0.0.1:{crew.serving.port}/api/events"
    with requests.get(url, headers=HEADERS, stream=True, timeout=20) as stream:
        lines = stream.iter_lines(decode_unicode=True)
        assert next(line for line in lines if line.startswith(":")) == ": listening"
        crew.decide_by_both()
        wanted = {crew.call_sid(call) for call in crew.calls}
        heard: set[str] = set()
        while not wanted <= heard:
            line = next(lines)
            if line.startswith("data: {"):
                heard.add(json.loads(line.removeprefix("data: ")).get("call_sid", ""))
    crew.hang_up()


@pytest.mark.parametrize("steers", [True, False])
def test_calls_of_one_that_is_killed_go_on_at_the_other(crew: Crew, steers: bool) -> None:
    crew.decide_by_both()
    workers, holder = crew.pids(), crew.holder()
    victim = holder if steers else next(iter(workers - {holder}))
    (other,) = workers - {victim}
    before = {call.uuid: crew.starts(call) for call in crew.calls}
    theirs = [call for call in crew.calls if pid_of(crew.server_of(call)) == victim]
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: all(crew.starts(call) == before[call.uuid] + (call in theirs) for call in crew.calls))
    assert {pid_of(crew.server_of(call)) for call in crew.calls} == {other}
    assert {call.state for call in crew.calls} == {"answered"}
    eventually(lambda: crew.holder() == other)
    eventually(lambda: len(crew.pids()) == 2)
    assert '"a worker died; it is started again"' in crew.serving.log.read_text()
    crew.decide_by_both()  # the one that came back, too
    assert {record["status"] for record in crew.hang_up()} == {"completed"}


def test_without_their_parent_they_end(crew: Crew) -> None:
    workers, (directory,) = crew.pids(), crew.directories()
    crew.serving.kill()
    eventually(lambda: not any(map(is_running, workers)))
    assert crew.directories() == {directory}, "nobody was left who could clear it away"
    crew.serving.restart()
    eventually(lambda: len(crew.pids()) == 2)
    (another,) = crew.directories()
    assert another != directory


def test_told_to_end_they_all_do(crew: Crew) -> None:
    workers = crew.pids()
    assert crew.serving.stop() == 0
    assert not crew.directories()
    assert not any(map(is_running, workers))
    last = json.loads(crew.serving.log.read_text().splitlines()[-1])
    assert last["message"] == "all workers have ended"


def test_one_file_is_not_for_several(tmp_path: Path) -> None:
    settings = {"SIP_BRIDGE_API_KEY": API_KEY, "FSCONTROL_ESL_PASSWORD": "not-the-default"}
    done = run(
        "serve", "--workers", "2", cwd=tmp_path, FSCONTROL_STORE_URL=f"sqlite:///{tmp_path}/x.db", **settings
    )
    assert done.returncode == 78
    assert "FSCONTROL_WORKERS=2 needs FSCONTROL_STORE_URL=redis://" in done.stderr


def test_a_store_under_another_key_ends_them_all(tmp_path: Path) -> None:
    with redis_server(tmp_path) as url:
        store = RedisStore(url, Vault([Fernet.generate_key().decode()]), 100)
        store.fingerprint_key()
        store.close()
        settings = {"SIP_BRIDGE_API_KEY": API_KEY, "FSCONTROL_ESL_PASSWORD": "not-the-default"}
        settings |= {"FSCONTROL_STORE_URL": url, "FSCONTROL_SECRET_KEY": Fernet.generate_key().decode()}
        settings |= {f"FSCONTROL_{name}": f"127.0.0.1:{free_port()}" for name in ("HTTP", "CALL_SOCKET")}
        done = run("serve", "--workers", "2", cwd=tmp_path, **settings)
    assert done.returncode == 78, "and their sockets with them: a caller hears 503 and not silence"
    assert "the store was written under another key" in done.stderr
