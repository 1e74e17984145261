"""An operator's day with the store: backup while serving, restore, another engine, another key."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from fscontrol.simulator.carrier import CarrierBehaviour
from tests import switches
from tests.bridge import registering
from tests.contract.redis_server import redis_server
from tests.journeys.test_commands import PROGRAM, Serving, environment, run
from tests.switches import Switch


def serving_on(switch: Switch, cwd: Path, **settings: str) -> Serving:
    return Serving(
        cwd,
        FSCONTROL_NODES=f"fs1=127.0.0.1:{switch.config.esl_port}",
        FSCONTROL_ESL_PASSWORD=switches.PASSWORD.get_secret_value(),
        FSCONTROL_CONFIG_DIR=str(switch.config_dir),
        FSCONTROL_CALL_SOCKET=f"127.0.0.1:{switch.call_socket_port}",
        **settings,
    )


def actions(serving: Serving, body: object) -> list[str]:
    status, answer = serving.ask("POST", "/api/sync-organization", body, wait="30")
    assert status == 200
    return [gateway["action"] for gateway in answer["nodes"][0]["gateways"]]


def test_a_backup_is_restored_and_nothing_registers_anew(tmp_path: Path) -> None:
    store = {"FSCONTROL_STORE_URL": f"sqlite:///{tmp_path}/f.db"}
    with switches.running("stand-in", tmp_path / "switch") as switch:
        carrier = switch.carrier(CarrierBehaviour.ACCEPT)
        body = {"organization_id": 7, "trunks": [registering("t", carrier)]}
        serving = serving_on(switch, tmp_path, **store)
        try:
            assert actions(serving, body) == ["created"]
            made = run("backup", "b", cwd=tmp_path, **store)
            assert (made.returncode, "1 organisation(s), 1 gateway(s)" in made.stdout) == (0, True), made
            assert "f.key" in made.stdout, "where the key is"
            refused = run("restore", "b", "--replace", "--yes", cwd=tmp_path, **store)
            assert (refused.returncode, "[backup_refused]" in refused.stderr) == (1, True), refused
            assert "stop" in refused.stderr
            assert actions(serving, body) == ["unchanged"]
        finally:
            serving.stop()
        refused = run("restore", "b", cwd=tmp_path, **store)
        assert (refused.returncode, "--replace" in refused.stderr) == (1, True), refused
        asked = subprocess.run(
            [*PROGRAM, "restore", "b", "--replace"], cwd=tmp_path, env=environment(**store), input="n\n",
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (asked.returncode, "Aborted" in asked.stderr) == (1, True), asked
        for suffix in ("", "-wal", "-shm"):
            (tmp_path / f"f.db{suffix}").unlink(missing_ok=True)
        assert run("restore", "b", cwd=tmp_path, **store).returncode == 0
        assert run("restore", "b", "--replace", "--yes", cwd=tmp_path, **store).returncode == 0
        registers = switch.registers(carrier)
        serving = serving_on(switch, tmp_path, **store)
        try:
            assert serving.ask("GET", "/api/organizations/7")[1]["generation"] == 1
            assert actions(serving, body) == ["unchanged"]
            assert switch.registers(carrier) == registers
        finally:
            serving.stop()


def test_from_sqlite_to_redis_with_a_new_key(tmp_path: Path) -> None:
    old, new = Fernet.generate_key().decode(), run("secrets-new-key", cwd=tmp_path).stdout.strip()
    embedded = {"FSCONTROL_STORE_URL": f"sqlite:///{tmp_path}/f.db", "FSCONTROL_SECRET_KEY": old}
    with switches.running("stand-in", tmp_path / "switch") as switch, redis_server(tmp_path) as url:
        shared = {"FSCONTROL_STORE_URL": url, "FSCONTROL_SECRET_KEY": f"{new}, {old}"}
        body = {
            "organization_id": 7,
            "trunks": [registering("t", switch.carrier(CarrierBehaviour.ACCEPT))],
        }
        serving = serving_on(switch, tmp_path, **embedded)
        try:
            assert actions(serving, body) == ["created"]
            rotated = run(
                "secrets-rotate", cwd=tmp_path, **{**embedded, "FSCONTROL_SECRET_KEY": f"{old},{new}"}
            )
            assert "0 organisation(s) resealed with the newest key, 1 were already" in rotated.stdout, rotated
            assert run("backup", "b", cwd=tmp_path, **embedded).returncode == 0
        finally:
            serving.stop()
        wrong = run("restore", "b", cwd=tmp_path, **{**shared, "FSCONTROL_SECRET_KEY": new})
        assert (wrong.returncode, "[secret_unreadable]" in wrong.stderr) == (1, True), wrong
        assert run("restore", "b", cwd=tmp_path, **shared).returncode == 0
        alone = {**shared, "FSCONTROL_SECRET_KEY": new}
        serving = serving_on(switch, tmp_path, **alone)
        try:
            assert actions(serving, body) == ["unchanged"], "resealed on its way in"
        finally:
            serving.stop()
        assert old not in serving.log.read_text() + str(tmp_path / "b")


def test_rotating_the_key(tmp_path: Path) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    store = {"FSCONTROL_STORE_URL": f"sqlite:///{tmp_path}/f.db"}
    with switches.running("stand-in", tmp_path / "switch") as switch:
        body = {
            "organization_id": 7,
            "trunks": [registering("t", switch.carrier(CarrierBehaviour.ACCEPT))],
        }
        serving = serving_on(switch, tmp_path, **store, FSCONTROL_SECRET_KEY=old)
        try:
            assert actions(serving, body) == ["created"]
            serving.stop()
            serving = serving_on(switch, tmp_path, **store, FSCONTROL_SECRET_KEY=f"{new},{old}")
            rotated = run("secrets-rotate", cwd=tmp_path, **store, FSCONTROL_SECRET_KEY=f"{new},{old}")
            assert rotated.returncode == 0, rotated
            assert "1 organisation(s) resealed with the newest key, 0 were already" in rotated.stdout
            assert "the fingerprint key was resealed" in rotated.stdout
            assert "1 record(s) of what is in force on nodes resealed" in rotated.stdout
            assert actions(serving, body) == ["unchanged"], "while it serves"
            serving.stop()
            refused = run("secrets-rotate", cwd=tmp_path, **store, FSCONTROL_SECRET_KEY=old)
            assert refused.returncode == 1, refused
            serving = serving_on(switch, tmp_path, **store, FSCONTROL_SECRET_KEY=new)
            assert actions(serving, body) == ["unchanged"]
        finally:
            serving.stop()


@pytest.mark.parametrize("command", ["serve", "backup"])
def test_a_store_of_a_newer_version_is_refused(command: str, tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "f.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    ended = run(
        command, *(["b"] if command == "backup" else []), cwd=tmp_path,
        FSCONTROL_STORE_URL=f"sqlite:///{tmp_path}/f.db", SIP_BRIDGE_API_KEY="long-enough-api-key-1234",
        FSCONTROL_ESL_PASSWORD="long-enough-password", FSCONTROL_SECRET_KEY=Fernet.generate_key().decode(),
    )  # fmt: skip
    assert (ended.returncode, "newer fscontrol" in ended.stderr) == (78, True), ended


def test_what_is_not_there(tmp_path: Path) -> None:
    store = {"FSCONTROL_STORE_URL": f"sqlite:///{tmp_path}/f.db"}
    ended = run("backup", "b", cwd=tmp_path, **store)
    assert (ended.returncode, "there is no database" in ended.stderr) == (4, True), ended
    ended = run("restore", "b", cwd=tmp_path, **store)
    assert (ended.returncode, "does not exist" in ended.stderr) == (2, True), ended
    assert not (tmp_path / "f.db").exists()
