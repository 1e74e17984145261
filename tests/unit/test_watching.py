"""What watches us outside: every expression of the rules and the dashboard asks for figures and labels that exist.

Their form is checked by a parser of ours, and by promtool where it is on PATH (Debian: prometheus).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fscontrol.model.alarm import AlarmKind
from fscontrol.telemetry.families import FAMILIES, PREFIX, WORDS, Type
from tests.unit.test_settings_page import DOCS

DOCKER = DOCS.parent / "docker"
RULES = DOCKER / "prometheus" / "rules.yml"
DASHBOARD = DOCKER / "grafana" / "dashboards" / "fscontrol.json"
OF_PROMETHEUS = frozenset({"instance", "job", "le"})
_SERIES = re.compile(r"\b(fscontrol_[a-z_]+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_BY = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")


def known() -> dict[str, frozenset[str]]:
    """Every series there is, and its labels."""
    found = {}
    for family in FAMILIES:
        endings = ("_bucket", "_sum", "_count") if family.type is Type.HISTOGRAM else ("",)
        for ending in endings:
            found[PREFIX + family.name + ending] = frozenset(family.labels) | OF_PROMETHEUS
    return found


SERIES = known()


def problems(expression: str) -> Iterator[str]:
    """What an expression asks for that is not there, and brackets that do not close."""
    asked = _SERIES.findall(expression)
    for name, matchers in asked:
        if name not in SERIES:
            yield f"there is no {name}"
            continue
        for label, _, value in _MATCHER.findall(matchers):
            if label not in SERIES[name]:
                yield f"{name} has no label {label}"
            words = WORDS.get(label)
            if words is not None and not set(value.split("|")) <= words:
                yield f"{label} never says {value}"
    labels = frozenset[str]().union(*(SERIES.get(name, frozenset()) for name, _ in asked))
    for listed in _BY.findall(expression):
        for label in filter(None, (each.strip() for each in listed.split(","))):
            if label not in labels:
                yield f"nothing there has a label {label}"
    open_brackets: list[str] = []
    for character in re.sub(r'"[^"]*"', "", expression):
        if character in "([{":
            open_brackets.append(character)
        elif character in ")]}" and (
            not open_brackets or "([{".index(open_brackets.pop()) != ")]}".index(character)
        ):
            yield "a bracket closes that is not open"
    if open_brackets:
        yield "a bracket stays open"


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


EXPRESSIONS = [(rule["alert"], rule["expr"]) for rule in rules()] + [
    (panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]
]


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_an_expression_asks_for_what_there_is(where: str, expression: str) -> None:
    assert list(problems(expression)) == [], where


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("sum(fscontrol_gateway)", "there is no fscontrol_gateway"),
        ("fscontrol_call_seconds", "there is no fscontrol_call_seconds"),
        ('fscontrol_gateways{trunk="x"}', "fscontrol_gateways has no label trunk"),
        ('fscontrol_gateways{state=~"REGED|UP"}', "state never says REGED|UP"),
        ("sum by (organization) (fscontrol_gateways)", "nothing there has a label organization"),
        ("sum(fscontrol_gateways", "a bracket stays open"),
        ("sum(fscontrol_gateways])", "a bracket closes that is not open"),
    ],
)
def test_the_parser_finds_what_is_wrong(expression: str, problem: str) -> None:
    assert problem in list(problems(expression))


def test_rules_have_what_prometheus_and_people_need() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    pages = {path.name: path.read_text() for path in DOCS.glob("*.md")}
    for rule in rules():
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"Fscontrol[A-Z][A-Za-z]+", rule["alert"])
        assert re.fullmatch(r"\d+[smhd]", rule.get("for", "0s"))
        assert rule["labels"]["severity"] in ("critical", "warning", "{{ $labels.severity }}")
        assert rule["annotations"].keys() == {"summary", "runbook"}
        page, anchor = re.match(r"docs/([a-z]+\.md)(?:#([a-z-]+))?", rule["annotations"]["runbook"]).groups()  # type: ignore[union-attr]
        headings = {
            re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", pages[page], re.MULTILINE)
        }
        assert anchor is None or anchor in headings, (rule["alert"], anchor)


def test_the_dashboard_is_one_grafana_takes() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= board.keys()
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    variables = {variable["name"] for variable in board["templating"]["list"]}
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        squares = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not squares & taken, f"{panel['title']} lies on another panel"
        taken |= squares
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
    used = set(re.findall(r"\$\{?([a-z]+)", "".join(expression for _, expression in EXPRESSIONS)))
    assert used <= variables
    assert "organization" not in DASHBOARD.read_text().lower().replace("organizations_behind", "")


def test_every_figure_is_looked_at_by_somebody() -> None:
    text = RULES.read_text() + DASHBOARD.read_text()
    unseen = {family.name for family in FAMILIES if PREFIX + family.name not in text}
    assert unseen <= {
        "sync_outcomes_total", "sync_lag_generations", "call_seconds", "call_jitter_seconds", "rtp_packets_total",
        "rtp_packets_lost_total", "rtp_packets_missing_total", "relay_underruns_total",
        "relay_dropped_messages_total", "relay_bad_messages_total", "relay_strange_datagrams_total",
        "relay_high_water_seconds", "listeners",
    }  # fmt: skip


def test_the_rules_pass_alarms_on_whatever_their_kind() -> None:
    assert "max by (kind, severity) (fscontrol_alarms) > 0" in [rule["expr"] for rule in rules()]
    assert WORDS["kind"] == frozenset(AlarmKind)


def promtool(*arguments: str, at: Path) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool on PATH (Debian: prometheus)")
    ended = subprocess.run(
        [program, *arguments], cwd=at, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules_test.yml"),
        ("check", "config", "--syntax-only", "prometheus.yml"),
    ],
    ids=" ".join,
)
def test_promtool_takes_the_rules(arguments: tuple[str, ...]) -> None:
    promtool(*arguments, at=RULES.parent)


def test_promtool_takes_the_dashboards_expressions(tmp_path: Path) -> None:
    expressions = [target["expr"] for panel in panels() for target in panel["targets"]]
    shown = [expression.replace("$__rate_interval", "5m") for expression in expressions]
    group = {"name": "x", "rules": [{"record": f"x:x{n}", "expr": text} for n, text in enumerate(shown)]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [group]}))
    promtool("check", "rules", "rules.yml", at=tmp_path)


def test_compose_mounts_what_there_is() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    for name in ("prometheus", "grafana"):
        assert services[name]["profiles"] == ["watch"]
        for mounted in services[name]["volumes"]:
            source = mounted.partition(":")[0]
            assert not source.startswith(".") or (DOCKER / source).is_dir(), mounted
    assert all(
        "profiles" not in service
        for name, service in services.items()
        if name not in ("prometheus", "grafana")
    )
