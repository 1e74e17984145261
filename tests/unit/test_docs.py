"""The documents hold together, and what they say exists: links, settings, commands, routes, modules, log lines.

README.md, CONTRIBUTING.md, docs/ and docker/README.md are read; CHANGELOG.md tells of the past and is left alone.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map

from fscontrol.app import Application
from fscontrol.cli import cli
from fscontrol.doors import http_app
from fscontrol.settings import Settings
from tests.unit.test_architecture import MODULES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docker" / "README.md", *DOCS.rglob("*.md")]
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
each_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_METHOD = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE)\b")
_ROUTE = re.compile(r"(?<![\w./:}-])/(?:api|rpc|sip|call|calls|freeswitch)/[\w./{}<>$…-]*")
_ELSEWHERE = ("/sip-", "/v2/")
"""Routes of the backend's and of carriers."""
PLACES = {"api/v1", "api/…"}
"""Beginnings of routes, named as such."""


def prose(page: Path) -> str:
    """A page without its code blocks: what links and headings are read from."""
    return _FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?)\s*$", prose(page), re.M):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
        anchor = words.replace(" ", "-")
        repeated = sum(1 for known in found if re.fullmatch(re.escape(anchor) + r"(-\d+)?", known))
        found.add(f"{anchor}-{repeated}" if repeated else anchor)
    return found


def code_of(page: Path) -> Iterator[str]:
    """Every line of code on a page: fenced, continued lines joined and comments taken off, and within the text."""
    text = page.read_text()
    for language, block in _FENCE.findall(text):
        if language not in ("json", "sip", "ini"):
            for line in block.replace("\\\n", " ").splitlines():
                yield re.sub(r"(^|\s)# .*$", "", line)
    yield from _INLINE.findall(_FENCE.sub("", text))


@each_page
def test_every_relative_link_leads_to_a_file_and_every_anchor_to_a_heading(page: Path) -> None:
    for link in (first or second for first, second in _LINK.findall(prose(page))):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the project"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading; there are {sorted(anchors(target))}"


def test_the_index_names_every_document() -> None:
    index = DOCS / "README.md"
    linked = {(DOCS / first).resolve() for first, _ in _LINK.findall(index.read_text())}
    missing = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if page not in {*linked, index}]
    assert not missing, f"docs/README.md does not name {missing}"


@each_page
def test_every_setting_exists(page: Path) -> None:
    known = {field.alias for field in Settings.model_fields.values()}
    named = set(re.findall(r"\bFSCONTROL_[A-Z0-9_]*[A-Z0-9]\b(?!\*)", page.read_text()))
    named = {name for name in named if not name.startswith("FSCONTROL_TEST_")}  # of a test run
    assert named <= known, f"not settings: {sorted(named - known)}"


def invocations(line: str) -> Iterator[list[str]]:
    """The words after each `fscontrol` that is run on a line of code."""
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>()")
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:
        words = line.split()
    # The last of several is the command: `docker compose exec fscontrol fscontrol keys list`.
    starts = [
        number
        for number, word in enumerate(words)
        if Path(word).name == "fscontrol" and words[number + 1 : number + 2] != ["fscontrol"]
    ]
    for start in starts:
        rest = words[start + 1 :]
        stop = next((n for n, word in enumerate(rest) if set(word) <= set("|;&<>()")), len(rest))
        yield rest[:stop]


def wrong_with(words: list[str]) -> str | None:
    """Why this is no command line of ours; None when it may be one. What is given to it is not looked at."""
    command: click.Command = cli
    context, skipped = click.Context(cli), False
    for word in words:
        if word.startswith("-") and word != "-":
            options = {
                name: one for one in command.get_params(context) for name in (*one.opts, *one.secondary_opts)
            }
            option = options.get(word.partition("=")[0])
            if option is None:
                return f"{command.name} has no option {word}"
            skipped = "=" not in word and isinstance(option, click.Option) and not option.is_flag
        elif skipped:
            skipped = False  # what an option is given
        elif isinstance(command, click.Group):
            found = command.get_command(context, word)
            if found is None:
                return None if word.isupper() or word == "…" else f"{command.name} has no command {word}"
            command = found
    return None


@each_page
def test_every_command_exists(page: Path) -> None:
    for line in code_of(page):
        for words in invocations(line):
            # [--dry-run] and a\|b: how alternatives are written in a table.
            plain = [part for word in words for part in re.split(r"\\?\|", word.strip("[]"))]
            why = wrong_with([word for word in plain if word])
            assert why is None, f"`{line}`: {why}"


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("fscontrol gateways --watch", True),
        ("fscontrol gateways --wach", False),
        ("fscontrol gatways", False),
        ("cd x && fscontrol nodes drain fs1 | cat --no-such", True),
        ("fscontrol nodes drian fs1", False),
        (".venv/bin/fscontrol sync a.json --force", True),
    ],
)
def test_the_rule_for_commands_itself(line: str, right: bool) -> None:
    assert all(wrong_with(words) is None for words in invocations(line)) is right


@each_page
def test_every_script_exists(page: Path) -> None:
    for line in code_of(page):
        for name in re.findall(r"(?:^|[\s`])(?:\./)?(scripts/[\w-]+)", line):
            assert (ROOT / name).exists(), f"`{line}`: no {name}"


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Map]:
    work = tmp_path_factory.mktemp("docs")
    settings = Settings(store_url=f"sqlite:///{work}/store.db", config_dir=work, delivery="xml_curl")
    application = Application(settings)
    yield http_app(application).url_map
    application.store.close()


def is_route(routes: Map, path: str, method: str | None) -> bool:
    """Whether a path may be asked for, with that method where one is named."""
    adapter = routes.bind("docs")
    methods = [method] if method else ["GET", "POST", "PUT", "PATCH", "DELETE"]
    for one in methods:
        try:
            adapter.match(path, method=one)
        except HTTPException:
            continue
        return True
    return False


@each_page
def test_every_route_exists(page: Path, routes: Map) -> None:
    for line in code_of(page):
        method = _METHOD.findall(line)
        for path in _ROUTE.findall(line):
            if path.startswith(_ELSEWHERE) or path.strip("/") in PLACES:
                continue
            whole = re.sub(r"\{[^}]*\}|<[^>]*>|\$\w+|…", "1", path.rstrip("./"))
            # With a method in front it must be that one; `-X` in a shell line may stand anywhere, or be curl's default.
            asked = method[0] if len(method) == 1 and line.lstrip().startswith(method[0]) else None
            assert is_route(routes, whole, asked), f"`{line}`: no route {asked or ''} {path}"


def error_lines() -> set[str]:
    """Every message logged at level error, by the syntax trees; the stand-in's own are none of an operator's."""
    found = set()
    for module, path in MODULES.items():
        if module.startswith("fscontrol.simulator"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("error", "exception", "critical")
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in ("log", "logger")
            ):
                message = node.args[0]
                assert isinstance(message, ast.Constant), (
                    f"{module}: a message that is no constant cannot be looked up"
                )
                found.add(str(message.value))
    return found


def test_every_error_in_the_log_is_explained_and_nothing_else() -> None:
    section = (
        (DOCS / "operations.md")
        .read_text()
        .partition("## What each error in the log means")[2]
        .partition("\n## ")[0]
    )
    explained = set(re.findall(r"^\| `([^`]+)` \|", section, re.M))
    assert explained == error_lines()


def map_rows() -> dict[str, str]:
    """The rows of the map in docs/architecture.md, by room (`calls`), those without a room under the empty string."""
    text = (DOCS / "architecture.md").read_text()
    table = text.partition("## Where everything is")[2].partition("\n## ")[0]
    rows: dict[str, str] = {"": table}
    for line in table.splitlines():
        if room := re.match(r"\| `fscontrol/(\w+)/`", line):
            rows[room[1]] = line
    return rows


def is_named(stem: str, row: str) -> bool:
    """Whether a row of the map names a module, or what its name ends with (`_schema`)."""
    words = re.findall(r"`([\w./]+)`", row)
    return any(Path(word).stem == stem or (word.startswith("_") and stem.endswith(word)) for word in words)


def test_the_map_names_every_module() -> None:
    rows, missing = map_rows(), []
    for module, path in MODULES.items():
        room = path.relative_to(ROOT / "fscontrol").parent.name
        # A module a command, and one for each part of the stand-in: their own docstrings say which.
        if path.name == "__init__.py" or room in ("cli", "simulator"):
            continue
        if not is_named(path.stem, rows.get(room, "")):
            missing.append(module)
    assert not missing, f"docs/architecture.md, the map, does not name {', '.join(missing)}"
