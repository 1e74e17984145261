"""What a control plane keeps in memory from its start: no library that only other settings or other commands need."""

from __future__ import annotations

import ast
import ctypes
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from fscontrol.calls.source_entries import entry_of
from fscontrol.esl.frames import FrameReader
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk

ROOT = Path(__file__).resolve().parents[2]

UNUSED = {
    "requests": "4 MB, with the character sets of the world; urllib3 is what talks HTTP",
    "charset_normalizer": "comes with requests",
    "rich": "the commands' tables",
    "redis": "where the store is Redis",
    "opentelemetry": "where traces are sent",
    "dns": "where a trunk names its carrier by a host",
    "limits": "3 MB with asyncio and the clients of every storage: where a Redis counts requests",
    "jwt": "where tokens are let in",
    "cryptography.x509": "comes with jwt",
    "fscontrol.simulator": "the stand-in is for evaluation and tests",
}
MOST_BYTES_OF_A_SOURCE = 1250
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
        [sys.executable, "-c", _START],
        env=environment,
        cwd=work,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
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


_LARGE = """
import ctypes
class Told(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd a b c d e".split()]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Told
from fscontrol.cli.serve import give_back_large_memory
give_back_large_memory()
answer = bytearray(8 << 20)
del answer
before = libc.mallinfo2().hblks
another = bytearray(1 << 20)
print(libc.mallinfo2().hblks - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="another C library, or an old one")
def test_large_memory_is_no_part_of_the_heap_also_after_larger_was_freed() -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", _LARGE],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stdout.strip() == "1"


def test_a_reader_keeps_nothing_of_a_long_answer() -> None:
    body = b"x" * (1 << 20)
    text = b"Content-Type: api/response\nContent-Length: %d\n\n" % len(body) + body
    tracemalloc.start()
    try:
        reader = FrameReader()
        for at in range(0, len(text), 65536):
            reader.receive_data(text[at : at + 65536])
        answer = reader.next_frame()
        assert answer is not None
        assert answer.body == body
        del answer
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()
    reader.receive_data(text)
    assert reader.next_frame() is not None
    assert reader.next_frame() is None


def test_a_trunk_as_a_source_of_calls_is_small() -> None:
    """What all trunks of an organisation have alike is one object, and the networks keep nothing worked out."""
    trunks = [Trunk(id=str(n), name=str(n), gateway=f"192.0.2.1:{n + 1}") for n in range(1000)]
    organization = Organization(id=1, trunks=tuple(trunks))
    entry_of(organization, trunks[0], (), ("name",), None)  # what the first makes once
    tracemalloc.start()
    try:
        entries = [entry_of(organization, trunk, (), ("name",), None) for trunk in trunks]
        each = tracemalloc.get_traced_memory()[0] / len(entries)
    finally:
        tracemalloc.stop()
    assert each < MOST_BYTES_OF_A_SOURCE
