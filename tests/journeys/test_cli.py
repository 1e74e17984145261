"""Commands as processes against a running control plane: what they print, watch, and end with."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fscontrol.cli import cli
from fscontrol.cli.cli_page import leaves
from fscontrol.model.call import CallRecord
from fscontrol.model.message import OutboxMessage
from fscontrol.simulator.carrier import CarrierBehaviour
from tests.bridge import API_KEY, Bridge, registering, running
from tests.invites import invite
from tests.journeys.test_commands import PROGRAM, environment, run
from tests.waiting import eventually, free_port

DID = "+15551234567"
CARRIER: dict[str, str] = {}


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with running("stand-in", tmp_path_factory.mktemp("cli")) as bridge:
        # One carrier for all pushes: what is pushed again has not changed.
        carrier = bridge.switch.carrier(CarrierBehaviour.ACCEPT)
        CARRIER[bridge.url] = carrier
        push(bridge, "first")
        bridge.application.organizations.ensure("empty")
        bridge.switch.call(invite(DID))
        yield bridge


def push(bridge: Bridge, *names: str) -> None:
    trunks = [registering(name, CARRIER[bridge.url], allowed_ips=["127.0.0.1"]) for name in names]
    numbers = [{"phone_number": DID, "assistant_id": 123}]
    body = {"organization_id": 7, "trunks": trunks, "phone_numbers": numbers}
    assert bridge.sync(body, wait="30")[0] == 200


def settings(bridge: Bridge, **changes: str) -> dict[str, str]:
    there = bridge.application.settings
    given = {
        "SIP_BRIDGE_API_KEY": API_KEY,
        "FSCONTROL_HTTP": f"127.0.0.1:{bridge.application.http.port}",
        "FSCONTROL_NODES": f"fs1=127.0.0.1:{there.nodes[0].port}",
        "FSCONTROL_ESL_PASSWORD": there.esl_password.get_secret_value(),
        "FSCONTROL_CONFIG_DIR": str(there.config_dir),
        "FSCONTROL_STORE_URL": there.store_url,
    }
    return given | changes


GATEWAY, SID = "GATEWAY", "CALL_SID"
"""Stand for one that is there."""
NOTHING = {"FSCONTROL_STORE_URL": "sqlite:////nonexistent/f.db", "FSCONTROL_HTTP": "127.0.0.1:9"}
WRONG_KEY = {"SIP_BRIDGE_API_KEY": "another-key-altogether"}
FILES = {
    "empty.json": "{}",
    "text.json": "nonsense",
    "rows.csv": "to_number\n1\n",
    "any.sip": invite("+19990000000"),
    "no.backup": "x",
}
CALL_ACTIONS = {
    "terminate": "", "transfer": "--number +15550001111", "play": "--url http://127.0.0.1/x.wav", "stop": "",
    "dtmf": "1", "hold": "", "resume": "", "mute": "", "unmute": "", "record": "start",
}  # fmt: skip
ENDS: list[tuple[str, dict[str, str], int]] = [
    ("serve", {"FSCONTROL_HTTP": "nonsense"}, 78),
    ("demo", {"FSCONTROL_HTTP": "0.0.0.0:80"}, 2),
    ("assistant-echo --port x", {}, 2),
    ("freeswitch-config tree", {}, 0),
    ("freeswitch-config tree", {"FSCONTROL_ESL_PASSWORD": ""}, 78),
    ("freeswitch-config tree --node fs9", {}, 2),
    ("sync empty.json", {}, 6),
    ("sync text.json", {}, 6),
    ("sync empty.json", NOTHING, 4),
    ("sync nowhere.json", {}, 2),
    ("gateways", {}, 0),
    ("gateways", NOTHING, 4),
    ("gateways", WRONG_KEY, 5),
    ("gateways --watch", NOTHING, 4),
    ("gateways show GATEWAY", {}, 0),
    ("gateways show nobody", {}, 3),
    ("gateways register GATEWAY", {}, 0),
    ("gateways register nobody", {}, 3),
    ("nodes", {}, 0),
    ("nodes", WRONG_KEY, 5),
    ("nodes drain fs9", {}, 3),
    ("nodes undrain fs1", {}, 0),
    ("nodes undrain fs9", {}, 3),
    ("trunks", {}, 0),
    ("trunks", WRONG_KEY, 5),
    ("trunks --organization 7", {}, 0),
    ("trunks --organization empty", {}, 0),
    ("trunks --organization nobody", {}, 3),
    ("trunks reset 7 nobody", {}, 3),
    ("alarms", {}, 0),
    ("alarms", NOTHING, 4),
    ("batch start rows.csv --from +15559999999 --organization 7", {}, 6),
    ("batch list", {}, 0),
    *((f"batch {name} nobody", {}, 3) for name in ("show", "pause", "resume", "abort", "results")),
    ("calls", {}, 0),
    ("calls CALL_SID", {}, 0),
    ("calls nobody", {}, 3),
    ("calls CALL_SID --watch", {}, 2),
    ("call", {}, 2),
    *((f"call {name} nobody {more}", {}, 3) for name, more in CALL_ACTIONS.items()),
    *((f"call {name} CALL_SID {more}", {}, 6) for name, more in CALL_ACTIONS.items() if name != "play"),
    ("originate +15550001111 --from +15559999999", {}, 6),
    ("originate +15550001111 --from +15559999999 --variables x", {}, 2),
    ("explain CALL_SID", {}, 0),
    ("explain nobody", {}, 3),
    ("explain", {}, 2),
    ("explain --invite any.sip --source-ip 203.0.113.9", {}, 1),
    ("explain --invite text.json", {}, 6),
    ("outbox", {}, 0),
    ("outbox", NOTHING, 4),
    ("outbox-resend", {}, 0),
    ("outbox-resend", WRONG_KEY, 5),
    ("outbox-resend nobody", {}, 3),
    ("outbox-resend nobody --json", {}, 3),
    ("audit", {}, 0),
    ("audit --organization 7", {}, 0),
    ("audit --organization empty", {}, 0),
    ("audit --organization nobody", {}, 3),
    ("audit --organization nobody --follow", {}, 3),
    ("audit --limit 0", {}, 2),
    ("doctor", {}, 0),
    ("doctor", {"FSCONTROL_NODES": "fs1=127.0.0.1:9", "FSCONTROL_ESL_TIMEOUT_SECONDS": "0.5"}, 1),
    ("keys", {}, 2),
    ("keys create --role viewer --name x", {}, 0),
    ("keys create --role viewer --name x --organization ../7", {}, 6),
    ("keys list", {}, 0),
    ("keys list", NOTHING, 4),
    ("keys revoke nobody", {}, 3),
    ("backup a.backup", {}, 0),
    ("backup a.backup", NOTHING, 4),
    ("restore no.backup", {}, 1),
    ("restore nowhere.backup", {}, 2),
    ("secrets-rotate", {}, 0),
    ("secrets-new-key", {}, 0),
    ("completion bash", {}, 0),
    ("completion csh", {}, 2),
]  # fmt: skip


def test_every_command_is_in_the_table() -> None:
    told = [line.split() for line, _, _ in ENDS]
    for path, _command in leaves(cli):
        assert any(words[: len(path)] == list(path) for words in told), f"{path} has no row"


@pytest.mark.parametrize(("line", "changes", "code"), ENDS)
def test_a_command_ends_with_the_code_of_what_happened(
    bridge: Bridge,
    line: str,
    changes: dict[str, str],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    for name, value in settings(bridge, **changes).items():
        monkeypatch.setenv(name, value)
    known = {GATEWAY: next(iter(bridge.gateways())), SID: bridge.last_call()["call_sid"]}
    words = [known.get(word, word) for word in line.split()]
    ended = CliRunner().invoke(cli, words)
    assert ended.exit_code == code, f"{ended.output}\n{ended.exception!r}"
    if code not in (0, 1):
        assert ended.stderr and not ended.stdout, "what went wrong belongs on standard error"


LISTS = (
    "gateways",
    "trunks",
    "alarms",
    "batch list",
    "calls",
    "nodes",
    "outbox",
    "audit",
    "doctor",
    "keys list",
)


@pytest.mark.parametrize("line", LISTS)
def test_json_is_one_document(bridge: Bridge, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings(bridge, COLUMNS="40").items():
        monkeypatch.setenv(name, value)
    ended = CliRunner().invoke(cli, [*line.split(), "--json"])
    assert isinstance(json.loads(ended.stdout), dict)


def test_dead_letters_are_queued_though_another_call_has_none(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings(bridge).items():
        monkeypatch.setenv(name, value)
    store = bridge.application.store
    record = CallRecord(call_sid="dead", direction="inbound")
    letters = [OutboxMessage(key="dead", sequence=n, path="/x", body="{}", created_at=1.0) for n in (1, 2)]
    for form in ([], ["--json"]):
        store.put_call(record, letters)
        for letter in letters:
            store.message_dead(letter, "refused")
        ended = CliRunner().invoke(cli, ["outbox-resend", "nobody", "dead", "dead", *form])
        assert (ended.exit_code, ended.stderr) == (3, "fscontrol: no dead letters of nobody\n")
        assert json.loads(ended.stdout)["resent"] == 2 if form else ended.stdout == "2 queued again\n"


def test_a_batch_that_is_not_there_is_refused_in_the_same_words(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings(bridge).items():
        monkeypatch.setenv(name, value)
    shown, results = (
        CliRunner().invoke(cli, ["batch", name, "nobody"]).stderr for name in ("show", "results")
    )
    assert shown == results
    assert "no batch" in shown


def test_a_gateway_is_told_with_where_its_trunk_is(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings(bridge).items():
        monkeypatch.setenv(name, value)
    rows = json.loads(CliRunner().invoke(cli, ["gateways", "--json"]).stdout)["items"]
    assert rows
    assert all(row["addresses"] and row["trunk_name"] for row in rows), rows


def test_a_pipe_has_whole_lines(bridge: Bridge, tmp_path: Path) -> None:
    shown = run("gateways", cwd=tmp_path, **settings(bridge, COLUMNS="40")).stdout
    names = list(bridge.gateways())
    lines = shown.splitlines()[1:]
    assert [line.split()[0] for line in lines] == names
    assert all("REGED" in line and "fs1" in line for line in lines)
    assert "\x1b" not in shown


class Process:
    """A command that goes on, and what it has printed."""

    def __init__(self, bridge: Bridge, work: Path, *words: str, width: int = 0, **changes: str) -> None:
        self.output = work / f"{free_port()}.out"
        target = self.output.open("wb")
        self._main, reader = None, target.fileno()
        if width:
            self._main, reader = pty.openpty()
            fcntl.ioctl(reader, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        self._process = subprocess.Popen(
            [*PROGRAM, *words], cwd=work, env=environment(**settings(bridge, TERM="xterm", **changes)),
            stdout=reader, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        target.close()
        if width:
            os.close(reader)
            os.set_blocking(self._main or 0, False)
        self._seen = b""

    def text(self) -> str:
        if self._main is None:
            return self.output.read_text()
        with contextlib.suppress(OSError):  # nothing new, or it has ended
            self._seen += os.read(self._main, 1 << 20)
        return self._seen.decode("utf-8", "replace")

    def interrupted(self) -> int:
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(15)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)
        if self._main is not None:
            os.close(self._main)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full, a disk without room, is Linux's")
def test_a_disk_without_room_is_told_in_a_sentence(bridge: Bridge, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*PROGRAM, "gateways"], cwd=tmp_path, env=environment(**settings(bridge)), stdout=full,
            stderr=subprocess.PIPE, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (1, "fscontrol: cannot write: No space left on device\n")


def test_watching_in_a_pipe_is_a_line_for_each_change(bridge: Bridge, tmp_path: Path) -> None:
    # So rarely that only the events can have told.
    gateways = Process(bridge, tmp_path, "gateways", "--watch", "--interval", "3600")
    calls = Process(bridge, tmp_path, "calls", "--watch", "--interval", "3600", "--json")
    try:
        eventually(lambda: "REGED" in gateways.text() and '"call_sid"' in calls.text())
        eventually(lambda: bridge.application.bus.listeners >= 2)
        before = bridge.last_call()["call_sid"]
        push(bridge, "first", "second")
        bridge.switch.call(invite(DID))
        eventually(lambda: bridge.last_call()["ended_at"])
        new = bridge.last_call()["call_sid"]
        eventually(lambda: "trunk second" in gateways.text() and new in calls.text())
        documents: list[dict[str, Any]] = [json.loads(line) for line in calls.text().splitlines()]
        assert [document["call_sid"] for document in documents].count(before) == 1
        assert gateways.text().count("trunk first") == 1, "what did not change is not told again"
        push(bridge, "first")
        eventually(lambda: "GONE" in gateways.text())
        assert gateways.interrupted() == 0
        assert calls.interrupted() == 0
        assert not any(word in gateways.text() + calls.text() for word in ("Traceback", "KeyboardInterrupt"))
    finally:
        gateways.kill()
        calls.kill()


def test_watching_on_a_terminal_draws_the_list_anew(bridge: Bridge, tmp_path: Path) -> None:
    drawn = Process(bridge, tmp_path, "gateways", "--watch", width=80)
    plain = Process(bridge, tmp_path, "gateways", width=80, NO_COLOR="1")
    try:
        eventually(lambda: "REGED" in drawn.text())
        push(bridge, "first", "third")
        eventually(lambda: "third" in drawn.text())
        assert "\x1b[32mREGED" in drawn.text(), "in green"
        assert drawn.interrupted() == 0
        assert "Traceback" not in drawn.text()
        eventually(lambda: "REGED" in plain.text())
        assert "\x1b[32m" not in plain.text()
    finally:
        drawn.kill()
        plain.kill()
