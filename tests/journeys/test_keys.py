"""Keys as an operator gives them out: a command beside a running control plane, on the store both share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
import requests
from cryptography.fernet import Fernet

from fscontrol.model.api_key import is_well_formed
from tests import switches
from tests.contract.redis_server import redis_server
from tests.journeys.test_commands import Serving, run
from tests.switches import Switch
from tests.waiting import eventually

SECRET = "jwt-secret-canary-of-32-bytes-0123"


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[Switch]:
    with switches.running("stand-in", tmp_path / "switch") as one:
        yield one


def serving_on(switch: Switch, cwd: Path, **settings: str) -> Serving:
    return Serving(
        cwd,
        FSCONTROL_NODES=f"fs1=127.0.0.1:{switch.config.esl_port}",
        FSCONTROL_ESL_PASSWORD=switches.PASSWORD.get_secret_value(),
        FSCONTROL_CONFIG_DIR=str(switch.config_dir),
        **settings,
    )


@pytest.fixture
def serving(switch: Switch, tmp_path: Path) -> Iterator[Serving]:
    one = serving_on(switch, tmp_path, FSCONTROL_JWT_SECRET=SECRET)
    yield one
    one.stop()


def ask(serving: Serving, key: str, path: str, method: str = "GET") -> tuple[int, str]:
    answer = requests.request(
        method, f"http://127.0.0.1:{serving.port}{path}", headers={"X-API-Key": key}, timeout=20
    )
    return answer.status_code, answer.text


def test_a_key_is_made_works_and_is_taken_back(serving: Serving, tmp_path: Path) -> None:
    options = ("--role", "admin", "--organization", "7", "--name", "ops", "--expires", "90d")
    made = run("keys", "create", *options, cwd=tmp_path, **serving.settings)
    text = made.stdout.strip()
    assert (made.returncode, is_well_formed(text)) == (0, True), made
    assert "organisation 7 was not there; it was made, empty" in made.stderr
    status, shown = ask(serving, text, "/api/organizations")
    assert (status, [item["organization_id"] for item in json.loads(shown)["items"]]) == (200, [7])
    assert ask(serving, text, "/api/nodes")[0] == 403
    again = run("keys", "create", *options, "--json", cwd=tmp_path, **serving.settings)
    assert (again.returncode, again.stderr) == (0, "")
    other = json.loads(again.stdout)
    assert other["expires_at"] - other["created_at"] == 90 * 86_400

    listed = json.loads(run("keys", "list", "--json", cwd=tmp_path, **serving.settings).stdout)["items"]
    assert [(key["name"], key["role"], key["organization_id"], key["state"]) for key in listed] == [
        ("ops", "admin", "7", "works")
    ] * 2
    table = run("keys", "list", cwd=tmp_path, **serving.settings).stdout
    assert text[:16] in table
    for shown in (table, json.dumps(listed), serving.log.read_text()):
        assert text not in shown
        assert other["key"] not in shown

    revoked = run("keys", "revoke", text[:16], cwd=tmp_path, **serving.settings)
    assert (revoked.returncode, "is revoked" in revoked.stdout) == (0, True), revoked
    eventually(lambda: ask(serving, text, "/api/organizations")[0] == 401, 5)
    assert ask(serving, other["key"], "/api/organizations")[0] == 200
    assert "already" in run("keys", "revoke", text, cwd=tmp_path, **serving.settings).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("create", "--role", "root", "--name", "x"), 2, "--role"),
        (("create", "--role", "admin"), 2, "--name"),
        (("create", "--role", "admin", "--name", " "), 2, "--name"),
        (("create", "--role", "admin", "--name", "x", "--expires", "soon"), 2, "90d"),
        (("create", "--role", "admin", "--name", "x", "--expires", "0d"), 2, "ten years"),
        (("create", "--role", "admin", "--name", "x", "--expires", "11y"), 2, "ten years"),
        (("create", "--role", "admin", "--name", "x", "--organization", "a/b"), 6, "organization_id must be"),
        (("revoke", "fsc_live_0000000"), 4, "there is no"),
        (("list",), 4, "there is no database"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = run("keys", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, ""), done
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bearer_signed_elsewhere_is_taken(serving: Serving, tmp_path: Path) -> None:
    assert run("keys", "create", "--role", "viewer", "--organization", "acme", "--name", "x", cwd=tmp_path,
               **serving.settings).returncode == 0  # fmt: skip
    token = jwt.encode(
        {"sub": "ada", "role": "viewer", "organization_id": "acme", "exp": 4e9}, SECRET, "HS256"
    )
    status, shown = ask(serving, token, "/api/organizations")
    assert (status, [item["organization_id"] for item in json.loads(shown)["items"]]) == (200, ["acme"])
    assert ask(serving, token, "/api/keys")[0] == 403
    assert token not in serving.log.read_text()


def test_replicas_on_one_redis_know_the_same_keys(switch: Switch, tmp_path: Path) -> None:
    """Made at one, good at the other; revoked over HTTP at one, refused at the other within five seconds."""
    with redis_server(tmp_path) as url:
        shared = {
            "FSCONTROL_STORE_URL": url,
            "FSCONTROL_SECRET_KEY": Fernet.generate_key().decode(),
        }
        replicas: list[Serving] = []
        try:
            for name in ("a", "b"):
                (tmp_path / name).mkdir()
                replicas.append(serving_on(switch, tmp_path / name, **shared))
            one, other = replicas
            headers = {"Authorization": f"Bearer {one.settings['SIP_BRIDGE_API_KEY']}"}
            keys = f"http://127.0.0.1:{one.port}/api/keys"
            made = requests.post(
                keys, json={"name": "é", "role": "admin"}, headers=headers, timeout=20
            ).json()
            for replica in replicas:
                assert ask(replica, made["key"], "/api/nodes")[0] == 200
            assert ask(one, made["key"], f"/api/keys/{made['id']}", "DELETE")[0] == 200
            assert ask(one, made["key"], "/api/nodes")[0] == 401
            eventually(lambda: ask(other, made["key"], "/api/nodes")[0] == 401, 5)
        finally:
            for replica in replicas:
                replica.stop()
