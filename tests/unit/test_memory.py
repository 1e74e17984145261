"""What a control plane keeps in memory from its start: no library that only other settings or other commands need."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

UNUSED = {
    "requests": "4 MB, with the character sets of the world; urllib3 is what talks HTTP",
    "charset_normalizer": "comes with requests",
    "rich": "the commands' tables",
    "redis": "where the store is Redis",
    "opentelemetry": "where traces are sent",
    "jwt": "where tokens are let in",
    "cryptography.x509": "comes with jwt",
    "fscontrol.simulator": "the stand-in is for evaluation and tests",
}
_START = """
from gevent import monkey
monkey.patch_all()
import sys
from fscontrol import cli, settings
from fscontrol.cli import serve
from fscontrol.app import Application
Application(settings.load())
print(*sys.modules, sep="\\n")
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The modules of a control plane with as few settings as it takes."""
    work = tmp_path_factory.mktemp("control plane")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "SIP_BRIDGE_API_KEY": "k" * 32,
        "FSCONTROL_ESL_PASSWORD": "p" * 32,
        "FSCONTROL_STORE_URL": f"sqlite:///{work}/fscontrol.db",
        "FSCONTROL_CONFIG_DIR": str(work / "conf"),
    }
    ran = subprocess.run(
        [sys.executable, "-c", _START], env=environment, cwd=work, capture_output=True, text=True, check=True
    )
    return set(ran.stdout.split())


@pytest.mark.parametrize("module", UNUSED)
def test_what_nobody_asked_for_is_not_imported(imported: set[str], module: str) -> None:
    assert "fscontrol.app" in imported
    assert module not in imported


def test_no_pattern_of_a_model_has_classes_of_all_scripts() -> None:
    """pydantic's regular expressions know all of Unicode: `\\w{0,63}` is 7 MB there, `[A-Za-z0-9_]{0,63}` 4 kB."""
    patterns = {
        str(keyword.value.value): path.name
        for path in sorted((ROOT / "fscontrol").rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg == "pattern" and isinstance(keyword.value, ast.Constant)
    }
    assert len(patterns) > 5
    assert not {one for one in patterns if any(wide in one for wide in (r"\w", r"\d", r"\s", r"\p", "[^"))}
