"""The house of DESIGN.md, held by walking the syntax trees: imports point down only, and modules stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "fscontrol"

FLOORS = (
    {"__main__"},
    {"cli"},
    {"app", "doors", "following", "alarming", "measuring", "workers"},
    {"http", "web"},
    {"provisioning", "calls", "sofia", "media"},
    {"esl", "store", "backend"},
    {"model", "settings", "errors"},
)
"""From the roof down. A room may import from its own floor and from those below."""
FOR_ALL = {"telemetry"}
"""Logging and greenlets: anyone may use them, and they use nobody above the ground floor."""
STAND_IN = "simulator"
STRANGERS = ({"sofia", "calls"},)
"""Rooms of one floor that do not know each other."""
PURE = (
    "fscontrol.model",
    "fscontrol.errors",
    "fscontrol.sofia.plan",
    "fscontrol.sofia.timeline",
    "fscontrol.sofia.behind",
    "fscontrol.sofia.troubles",
    "fscontrol.telemetry.alarms",
    "fscontrol.telemetry.families",
    "fscontrol.backend.alarm_messages",
    "fscontrol.sofia.replacing",
    "fscontrol.sofia.attempts",
    "fscontrol.sofia.placement",
    "fscontrol.sofia.moving",
    "fscontrol.sofia.arrivals",
    "fscontrol.sofia.filling",
    "fscontrol.sofia.outcome",
    "fscontrol.calls.routing",
    "fscontrol.calls.admission",
    "fscontrol.calls.name_cache",
    "fscontrol.calls.registrars",
    "fscontrol.calls.called_number",
    "fscontrol.calls.addresses",
    "fscontrol.calls.rules",
    "fscontrol.calls.figures",
    "fscontrol.calls.choice",
    "fscontrol.calls.failover",
    "fscontrol.calls.breaker",
    "fscontrol.provisioning.generations",
    "fscontrol.calls.channel_state",
    "fscontrol.calls.audio_content",
    "fscontrol.provisioning.rpc_trunk",
    "fscontrol.provisioning.livekit_trunk",
    "fscontrol.esl.frames",
    "fscontrol.esl.event",
    "fscontrol.esl.commands",
    "fscontrol.esl.call_commands",
)
"""Neither gevent nor Flask, nor anything that imports them."""
WITH_IO = {"gevent", "flask", "greenswitch", "redis", "sqlite3", "socket", "requests", "urllib3"}
MOST_LINES = 300
LONGER = {
    # A table cannot be halved without losing the one place where every setting stands.
    "fscontrol.errors": "one tree: every error with its id and meaning, drawn in the docstring",
    "fscontrol.settings": "one table: every setting with its name, type, default and meaning",
}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(module: str, text: str) -> Iterator[str]:
    """Every module named by an import anywhere in the text; `from a import b` names `a.b` when that is a module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            base = node.module or ""
            for alias in node.names:
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base


IMPORTS = {module: set(imports_of(module, path.read_text())) for module, path in MODULES.items()}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def may_import(importer: str, imported: str) -> bool:
    """Whether a room may use another."""
    if importer == imported or not imported or imported in FOR_ALL:
        return True
    if imported == STAND_IN:
        return importer == "cli"
    if importer in FOR_ALL:
        return floor(imported) == len(FLOORS) - 1
    if importer == STAND_IN:
        # It boots a real FreeSWITCH too, on the tree that `sofia` renders; only `cli` imports it, so no circle closes.
        return imported == "sofia" or floor(imported) >= floor("esl")
    if any({importer, imported} <= pair for pair in STRANGERS):
        return False
    return floor(imported) >= floor(importer)


def test_every_room_has_a_floor() -> None:
    rooms = {room(module) for module in MODULES} - {""}
    assert len(rooms) > 10
    assert rooms <= set.union(*FLOORS) | FOR_ALL | {STAND_IN}


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    wrong = {
        imported
        for imported in IMPORTS[module]
        if imported.split(".")[0] == "fscontrol" and not may_import(room(module), room(imported))
    }
    assert not wrong, f"{module} imports {', '.join(sorted(wrong))}"


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("cli", "app", True),
        ("app", "cli", False),
        ("http", "app", False),
        ("sofia", "calls", False),
        ("calls", "sofia", False),
        ("sofia", "store", True),
        ("store", "provisioning", False),
        ("esl", "sofia", False),
        ("model", "esl", False),
        ("app", "simulator", False),
        ("cli", "simulator", True),
        ("simulator", "esl", True),
        ("simulator", "sofia", True),
        ("simulator", "calls", False),
        ("esl", "telemetry", True),
        ("telemetry", "calls", False),
    ],
)
def test_the_rule_itself(importer: str, imported: str, allowed: bool) -> None:
    assert may_import(importer, imported) is allowed


def test_the_rule_sees_imports_inside_functions() -> None:
    text = "def f():\n    from fscontrol import app\n    import gevent.queue\n"
    assert set(imports_of("x", text)) == {"fscontrol.app", "gevent.queue"}


def closure(module: str) -> set[str]:
    """Everything a module brings with it: its imports, and those of our own modules among them."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        waiting += IMPORTS.get(current, ())
    return seen - {module}


@pytest.mark.parametrize(
    "module",
    [module for module in MODULES if any(module == pure or module.startswith(pure + ".") for pure in PURE)],
)
def test_pure_modules_bring_no_io(module: str) -> None:
    assert not {name.split(".")[0] for name in closure(module)} & WITH_IO


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_exist(module: str) -> None:
    assert module in MODULES


@pytest.mark.parametrize(
    ("library", "rooms"),
    [
        ("greenswitch", {"esl"}),
        ("redis", {"store"}),
        ("sqlite3", {"store"}),
        ("flask", {"http", "web", "doors", "workers"}),
        ("cryptography", {"store"}),
        ("dns", {"calls"}),
        ("jwt", {"http"}),
    ],
)
def test_a_library_is_known_in_one_room(library: str, rooms: set[str]) -> None:
    users = {
        room(module) for module, names in IMPORTS.items() if library in {name.split(".")[0] for name in names}
    }
    assert users
    assert users <= rooms


@pytest.mark.parametrize("module", MODULES)
def test_modules_stay_small(module: str) -> None:
    lines = len(MODULES[module].read_text().splitlines())
    assert lines <= MOST_LINES or module in LONGER, f"{module} has {lines} lines"


@pytest.mark.parametrize("module", LONGER)
def test_an_exception_is_still_needed(module: str) -> None:
    assert len(MODULES[module].read_text().splitlines()) > MOST_LINES


@pytest.mark.parametrize("module", [module for module, path in MODULES.items() if path.stat().st_size])
def test_every_module_says_what_it_is(module: str) -> None:
    assert ast.get_docstring(ast.parse(MODULES[module].read_text()))
