"""No secret in any output: everything a run prints, logs, answers or leaves readable is searched for canaries."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest

from fscontrol.simulator.carrier import CarrierBehaviour
from fscontrol.telemetry import logs
from tests import bridge, switches
from tests.bridge import API_KEY, registering

CANARIES = ("trunk-canary-5e5e", "changed-canary-6f6f", API_KEY, switches.PASSWORD.get_secret_value())


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_whole_run_prints_no_secret(form: str, tmp_path: Path) -> None:
    output = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure(form, "DEBUG", output)
    answers: list[object] = []
    try:
        with bridge.running("stand-in", tmp_path) as running:
            carrier = running.switch.carrier(CarrierBehaviour.FORBIDDEN)
            answers += [
                running.sync(
                    {"organization_id": 7, "trunks": [registering("t", carrier, CANARIES[0])]}, wait="5"
                ),
                running.sync(
                    {"organization_id": 7, "trunks": [registering("t", carrier, CANARIES[1])]}, wait="5"
                ),
                running.sync(
                    {"organization_id": 7, "trunks": [registering("t", carrier, CANARIES[0] + ":")]}
                ),
                running.sync(
                    {
                        "organization_id": 7,
                        "trunks": [{"gateway": "h", "name": "n", "password": [CANARIES[0]]}],
                    }
                ),
                running.ask("POST", "/api/sync-organization", {"password": CANARIES[0]}, key="wrong"),
                *(
                    running.ask("GET", path)
                    for path in ("/api/organizations", "/api/organizations/7", "/api/gateways")
                ),
            ]
            running.switch.kill()
            answers.append(repr(running.application.settings))
            answers.append(repr(running.application.store.organization("7")))
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    said = output.getvalue() + json.dumps(answers, default=repr)
    assert "organisation stored" in said
    for canary in CANARIES:
        assert canary not in said
    for path in tmp_path.glob("fscontrol.db*"):
        assert not any(canary.encode() in path.read_bytes() for canary in CANARIES)


def test_an_exception_that_holds_a_secret_is_masked() -> None:
    output = io.StringIO()
    logs.conceal("hidden-canary-9b9b")
    record = logging.LogRecord("x", logging.ERROR, "", 0, "failed with %s", ("hidden-canary-9b9b",), None)
    for formatter in (logs.JsonFormatter(), logs.TextFormatter()):
        output.write(formatter.format(record))
    assert "hidden-canary-9b9b" not in output.getvalue()
    assert "***" in output.getvalue()
