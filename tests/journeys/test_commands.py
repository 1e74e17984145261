"""The commands as a person runs them: processes, exit codes, signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from fscontrol.simulator.carrier import CarrierBehaviour
from fscontrol.simulator.freeswitch_process import find_freeswitch
from tests import switches
from tests.bridge import API_KEY, registering
from tests.switches import StandInSwitch
from tests.waiting import eventually, free_port

PROGRAM = [sys.executable, "-m", "fscontrol"]


def environment(**settings: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FSCONTROL_", "SIP_BRIDGE_"))
    }
    settings.setdefault("FSCONTROL_GATEWAY_NETWORKS", "127.0.0.0/8")  # carriers of tests are on this machine
    return {**kept, **settings, "PYTHONPATH": str(Path(__file__).parents[2])}


def run(*arguments: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        cwd=cwd,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


class Serving:
    """A control plane in a process of its own."""

    def __init__(self, cwd: Path, *arguments: str, **settings: str) -> None:
        self.port = free_port()
        self.log = cwd / "serve.log"
        settings.setdefault("FSCONTROL_CALL_SOCKET", f"127.0.0.1:{free_port()}")
        self.settings = {
            "SIP_BRIDGE_API_KEY": API_KEY,
            "FSCONTROL_HTTP": f"127.0.0.1:{self.port}",
            **settings,
        }
        self._cwd, self._arguments = cwd, arguments
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                [*PROGRAM, "serve", *self._arguments],
                cwd=self._cwd, env=environment(**self.settings), stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.process = process
        eventually(self.ready, 30)
        return process

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5).status_code == 200
        except (requests.ConnectionError, requests.Timeout):  # a supervisor binds before anybody serves
            return False

    def ask(self, method: str, path: str, body: object = None, **query: str) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        answer = requests.request(
            method,
            f"http://127.0.0.1:{self.port}{path}",
            json=body,
            headers=headers,
            params=query,
            timeout=60,
        )
        return answer.status_code, answer.json()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def restart(self) -> None:
        self._start()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[Serving]:
    serving = Serving(tmp_path, "--simulate")
    yield serving
    serving.stop()


def test_serve_simulate_answers_and_ends_on_sigterm(simulated: Serving, tmp_path: Path) -> None:
    body = {"organization_id": 7, "trunks": [{"name": "t", "gateway": "127.0.0.1:5099"}], "phone_numbers": []}
    (tmp_path / "push.json").write_text(json.dumps(body))
    pushed = run("sync", "push.json", cwd=tmp_path, **simulated.settings)
    assert (pushed.returncode, "Synced 1 enabled trunk(s)" in pushed.stdout) == (0, True), pushed
    shown = run("gateways", "--json", cwd=tmp_path, **simulated.settings)
    assert [item["state"] for item in json.loads(shown.stdout)["items"]] == ["NOREG"]
    assert "NOREG" in run("gateways", cwd=tmp_path, **simulated.settings).stdout
    assert run("calls", cwd=tmp_path, **simulated.settings).returncode == 0
    (tmp_path / "bad.json").write_text('{"organization_id": 7, "trunks": [{"gateway": "http://x"}]}')
    refused = run("sync", "bad.json", cwd=tmp_path, **simulated.settings)
    assert refused.returncode == 6
    assert "trunks[0].gateway" in refused.stderr
    assert simulated.stop() == 0


def test_serve_simulate_makes_and_prints_a_key(tmp_path: Path) -> None:
    serving = Serving(tmp_path, "--simulate", SIP_BRIDGE_API_KEY="")
    try:
        (key,) = re.findall(r"SIP_BRIDGE_API_KEY=(\S+)", serving.log.read_text())
        answer = requests.get(
            f"http://127.0.0.1:{serving.port}/api/gateways", headers={"X-API-Key": key}, timeout=10
        )
        assert answer.status_code == 200
    finally:
        serving.stop()


def test_serve_names_every_contradiction_and_does_not_start(tmp_path: Path) -> None:
    ended = run("serve", cwd=tmp_path, FSCONTROL_HTTP="0.0.0.0:8080", FSCONTROL_ESL_PASSWORD="ClueCon")
    assert ended.returncode == 78
    assert "SIP_BRIDGE_API_KEY" in ended.stderr
    assert "FSCONTROL_ESL_PASSWORD" in ended.stderr
    ended = run("serve", cwd=tmp_path, FSCONTROL_HTTP="nonsense", FSCONTROL_TYPO="1")
    assert ended.returncode == 78
    assert "FSCONTROL_HTTP" in ended.stderr
    assert "FSCONTROL_TYPO" in ended.stderr


def test_a_killed_control_plane_goes_on_where_it_was(tmp_path: Path) -> None:
    with switches.running("stand-in", tmp_path / "switch") as switch:
        assert isinstance(switch, StandInSwitch)
        carrier = switch.carrier(CarrierBehaviour.ACCEPT)
        serving = Serving(
            tmp_path,
            FSCONTROL_NODES=f"fs1=127.0.0.1:{switch.config.esl_port}",
            FSCONTROL_ESL_PASSWORD=switches.PASSWORD.get_secret_value(),
            FSCONTROL_CONFIG_DIR=str(switch.config_dir),
            FSCONTROL_STORE_URL=f"sqlite:///{tmp_path}/f.db",
            FSCONTROL_CALL_SOCKET=f"127.0.0.1:{switch.call_socket_port}",
        )
        try:
            body = {"organization_id": 7, "trunks": [registering("t", carrier)]}
            assert serving.ask("POST", "/api/sync-organization", body, wait="30")[0] == 200
            registers = switch.registers(carrier)
            serving.kill()
            serving.restart()
            assert serving.ask("GET", "/api/organizations/7")[1]["generation"] == 1
            _, answer = serving.ask("POST", "/api/sync-organization", body)
            assert [g["action"] for g in answer["nodes"][0]["gateways"]] == ["unchanged"]
            assert switch.registers(carrier) == registers, "a restart of ours sends no REGISTER"
        finally:
            serving.stop()
        assert switches.PASSWORD.get_secret_value() not in serving.log.read_text()


def test_a_call_asks_every_control_plane_in_turn(tmp_path: Path) -> None:
    given = {"FSCONTROL_ESL_PASSWORD": "a-password-for-this", "FSCONTROL_CALL_SOCKET": "127.0.0.1:8090"}
    for sockets, written in (
        ("", "127.0.0.1:8090 full"),
        ("10.0.0.1:1,10.0.0.2:2", "10.0.0.1:1|10.0.0.2:2 full"),
    ):
        ended = run("freeswitch-config", "tree", cwd=tmp_path, FSCONTROL_CALL_SOCKETS=sockets, **given)
        assert ended.returncode == 0, ended.stderr
        assert f'data="{written}"' in (tmp_path / "tree/dialplan/public.xml").read_text()


def test_freeswitch_config_writes_a_private_tree(tmp_path: Path) -> None:
    ended = run("freeswitch-config", "tree", cwd=tmp_path, FSCONTROL_ESL_PASSWORD="a-password-for-this")
    assert ended.returncode == 0, ended
    files = [path for path in (tmp_path / "tree").rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert (tmp_path / "tree" / "sip_profiles" / "external").is_dir()
    assert run("freeswitch-config", "tree", cwd=tmp_path).returncode == 78


def test_each_node_can_have_a_tree_of_its_own(tmp_path: Path) -> None:
    two = {
        "SIP_BRIDGE_API_KEY": API_KEY,
        "FSCONTROL_ESL_PASSWORD": "a-password-for-this",
        "FSCONTROL_NODES": f"fs1=127.0.0.1:{free_port()},fs2=127.0.0.1:{free_port()}",
        "FSCONTROL_ESL_TIMEOUT_SECONDS": "1",
    }
    ended = run("freeswitch-config", "--node", "fs2", "{node}/conf", cwd=tmp_path, **two)
    assert ended.returncode == 0, ended
    assert (tmp_path / "fs2" / "conf" / "freeswitch.xml").is_file()
    seen = run("doctor", cwd=tmp_path, FSCONTROL_CONFIG_DIR="{node}/conf", **two).stdout
    assert "ok   configuration tree of fs2" in seen
    assert "BAD  configuration tree of fs1" in seen
    assert "freeswitch-config --node fs1 fs1/conf" in seen
    refused = run("serve", cwd=tmp_path, FSCONTROL_REGISTER_ON="one", **two)
    assert refused.returncode == 78, refused
    assert "FSCONTROL_CONFIG_DIR" in refused.stdout + refused.stderr


def test_doctor_finds_what_is_wrong_and_says_how_to_mend_it(tmp_path: Path) -> None:
    nothing_there = free_port()
    ended = run(
        "doctor", cwd=tmp_path, SIP_BRIDGE_API_KEY=API_KEY, FSCONTROL_ESL_PASSWORD="long-enough-password",
        FSCONTROL_NODES=f"fs1=127.0.0.1:{nothing_there}", FSCONTROL_ESL_TIMEOUT_SECONDS="1",
    )  # fmt: skip
    assert ended.returncode == 1
    assert "BAD  node fs1" in ended.stdout
    assert "fscontrol freeswitch-config" in ended.stdout
    with switches.running("stand-in", tmp_path / "switch") as switch:
        serving = Serving(
            tmp_path,
            FSCONTROL_ESL_PASSWORD=switches.PASSWORD.get_secret_value(),
            FSCONTROL_NODES=f"fs1=127.0.0.1:{switch.config.esl_port}",
            FSCONTROL_CONFIG_DIR=str(switch.config_dir),
        )
        try:
            ended = run("doctor", cwd=tmp_path, **serving.settings)
        finally:
            serving.stop()
        assert (ended.returncode, "BAD" in ended.stdout) == (0, False), ended.stdout
        alone = run("doctor", cwd=tmp_path, **serving.settings)
    assert (alone.returncode, alone.stdout.count("BAD")) == (1, 1), "all is well but that nothing serves"
    assert "BAD  control plane: no answer" in alone.stdout
    assert "`fscontrol serve`" in alone.stdout


@pytest.mark.parametrize("kind", switches.BOTH)
def test_the_demo_shows_the_whole_path(kind: str, tmp_path: Path) -> None:
    settings = {"FREESWITCH_BIN": "/nonexistent"} if kind == "stand-in" else {}
    if kind == "freeswitch" and find_freeswitch(os.environ) is None:
        pytest.skip("no FreeSWITCH: set FREESWITCH_BIN or put `freeswitch` on PATH")
    settings["FSCONTROL_HTTP"] = f"127.0.0.1:{free_port()}"
    ended = run("demo", "--once", cwd=tmp_path, **settings)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ("stand-in" in ended.stdout) == (kind == "stand-in")
    for shown in ("Synced 3 enabled trunk(s)", "REGED", "403", "assistant 123", "parking extension"):
        assert shown in ended.stdout
    again = run("demo", "--once", cwd=tmp_path, **settings)
    assert again.returncode == 0, "what an earlier run left: " + again.stderr


def test_help_is_there_for_every_command(tmp_path: Path) -> None:
    commands = run("--help", cwd=tmp_path)
    assert commands.returncode == 0
    for name in ("serve", "freeswitch-config", "sync", "gateways", "calls", "doctor"):
        assert name in commands.stdout
        assert run(name, "--help", cwd=tmp_path).returncode == 0
