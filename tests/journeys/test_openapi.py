"""schemathesis against the running application: no 500, nothing that the OpenAPI document does not say.

It reads the document, so routes that come later are tried as well. The answers of all other journeys are held to the
document too (`tests/bridge.py`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from fscontrol.simulator.carrier import CarrierBehaviour
from tests.bridge import API_KEY, Bridge, registering, running, trunk
from tests.described import closed, operations_of
from tests.invites import invite

SEED = "6"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
SECONDS = 180
"""When it is given up as hanging; by itself it takes half a minute."""


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    quick = {
        "apply_timeout_seconds": 1.0,
        "register_seconds": 1.0,
        "rate_limit": "off",
        "rate_limit_writes": "off",
    }
    with running("stand-in", tmp_path_factory.mktemp("described"), **quick) as bridge:
        carrier = bridge.switch.carrier(CarrierBehaviour.ACCEPT)
        number = {"id": 41, "phone_number": "+15551234567", "assistant_id": 123}
        trunks = [registering("one", carrier), trunk("two", "127.0.0.1:5999")]
        bridge.sync({"organization_id": 7, "trunks": trunks, "phone_numbers": [number]})
        yield bridge


def described(bridge: Bridge) -> dict[str, Any]:
    document: dict[str, Any] = requests.get(f"{bridge.url}/openapi.json", timeout=10).json()
    return document


def known(bridge: Bridge) -> dict[str, list[object]]:
    """By the name of a path's parameter: something that is there, and something that is not."""
    bridge.switch.call(invite("+15551234567"))
    return {
        "key": ["7", "nobody"],
        "name": ["fs1", "nobody"],
        "gateway": [next(iter(bridge.gateways())), "nobody"],
        "call_sid": [bridge.last_call()["call_sid"], "nobody"],
        "trunk_id": ["one", "nobody"],
        "number_id": [41, 42],
    }


def to_try(bridge: Bridge) -> dict[str, Any]:
    """The document as schemathesis is to read it: with ids that lead somewhere, and no minute of waiting."""
    document, ids = closed(described(bridge)), known(bridge)
    for method, _, told in operations_of(document):
        for parameter in told["parameters"]:
            name, place = parameter["name"], parameter["in"]
            if name == "wait":
                parameter["schema"]["maximum"] = 0.1
            elif name == "seconds":  # unlimited otherwise
                parameter["schema"] |= {"minimum": 0.05, "maximum": 0.1}
                parameter["required"] = True
            elif place == "path" and name in ids:
                # What all others lead to is not to be deleted first.
                parameter["schema"] = {"enum": ids[name][1:] if method == "delete" else ids[name]}
            elif place == "header" and name == "X-Organization-Id":
                parameter["schema"] = {"enum": ["7"]}
    return document


def test_nothing_is_answered_that_is_not_documented(bridge: Bridge, tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(to_try(bridge)))
    command = [sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", bridge.url]
    command += ["--header", f"Authorization: Bearer {API_KEY}", "--header", "X-Organization-Id: 7"]
    command += ["--seed", SEED, "--max-examples", "6", "--phases", "examples,coverage,fuzzing"]
    command += ["--checks", ",".join(CHECKS), "--no-shrink", "--warnings", "off", "--no-color"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-5_000:]
    tried = len(list(operations_of(described(bridge))))
    assert f"Tested: {tried}" in run.stdout, run.stdout[-5_000:]
