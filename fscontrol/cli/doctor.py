"""`fscontrol doctor`: look at everything a working bridge needs, and say how to mend what is not so."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import requests
from rich.console import Console

from fscontrol import settings as configuration
from fscontrol.cli.command import examples, json_option, put_json, wants_json
from fscontrol.cli.exit_codes import Exit
from fscontrol.cli.progress import waiting
from fscontrol.cli.screen import make_console
from fscontrol.errors import CommandRefused, FscontrolError, NodeUnreachable
from fscontrol.esl import commands
from fscontrol.esl.client import NodeClient
from fscontrol.settings import NodeAddress, Settings
from fscontrol.sofia.served import MODULE, PROBE
from fscontrol.sofia.tree import GATEWAY_DIRECTORY, PROFILE, XML_CURL_SECONDS

LONGEST_PROBE = 3.0 * XML_CURL_SECONDS
"""Seconds: a question of FreeSWITCH's that hangs must end first."""
REQUIRED_MODULES = ("mod_sofia", "mod_event_socket", "mod_dptools", "mod_dialplan_xml", "mod_commands")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: whether it is as it should be, what was seen, and how to mend it."""

    what: str
    good: bool
    seen: str
    mend: str = ""


@click.command(epilog=examples("fscontrol doctor", "fscontrol doctor --json"))
@json_option
def doctor() -> None:
    """Check settings, store, directories, every node, its profile and modules, the backend and the control plane.

    Exit code 0 when nothing is wrong, 1 otherwise.
    """
    settings, console = configuration.load(), make_console()
    found: list[Finding] = []
    for look in (_settings, _store, _directories, _nodes, _backend, control_plane):
        with waiting(f"looking at {look.__name__.strip('_').replace('_', ' ')}"):
            findings = list(look(settings))
        found += findings
        for finding in () if wants_json() else findings:
            _show(console, finding)
    good = all(finding.good for finding in found)
    if wants_json():
        put_json({"good": good, "findings": [asdict(finding) for finding in found]})
    raise SystemExit(Exit.DONE if good else Exit.NO)


def _show(console: Console, finding: Finding) -> None:
    said = f"{'ok  ' if finding.good else 'BAD '} {finding.what}: {finding.seen}"
    console.print(said, markup=False, soft_wrap=True)
    if not finding.good and finding.mend:
        console.print(f"     → {finding.mend}", markup=False, soft_wrap=True)


def _settings(settings: Settings) -> Iterator[Finding]:
    problems = settings.contradictions()
    if not problems:
        yield Finding("settings", True, "no contradiction")
    for problem in problems:
        what, _, mend = problem.partition(": ")
        yield Finding("settings", False, what, mend or "see docs/settings.md")


def _store(settings: Settings) -> Iterator[Finding]:
    from fscontrol.store.opening import open_store

    try:
        store = open_store(settings)
        count = len(store.organization_keys())
        store.close()
        yield Finding("store", True, f"{settings.store_url.partition('://')[0]}, {count} organisation(s)")
    except FscontrolError as error:
        yield Finding(
            "store",
            False,
            str(error),
            "check FSCONTROL_STORE_URL, its directory's owner, and FSCONTROL_SECRET_KEY",
        )


def _directories(settings: Settings) -> Iterator[Finding]:
    trees = {settings.config_dir_of(node.name): node.name for node in reversed(settings.nodes)}
    for root, node in sorted(trees.items()):
        yield from _tree(root, node if len(trees) > 1 else "")


def _tree(root: Path, node: str) -> Iterator[Finding]:
    gateways = root / GATEWAY_DIRECTORY
    of = f" of {node}" if node else ""
    there = (root / "freeswitch.xml").is_file()
    yield Finding(
        f"configuration tree{of}",
        there,
        f"{root}{'' if there else ' has no freeswitch.xml'}",
        f"run: fscontrol freeswitch-config {f'--node {node} ' if node else ''}{root}",
    )
    writable = gateways.is_dir() and os.access(gateways, os.W_OK | os.X_OK)
    yield Finding(
        f"gateway directory{of}",
        writable,
        f"{gateways} {'is' if writable else 'is not'} writable",
        "make it, owned by the user fscontrol and FreeSWITCH share",
    )


def _nodes(settings: Settings) -> Iterator[Finding]:
    for address in settings.nodes:
        client = NodeClient(
            address, settings.esl_password, settings.esl_timeout_seconds, random.SystemRandom().random
        )
        client.start()
        try:
            if client.wait_connected(settings.esl_timeout_seconds):
                yield from _node(address, client)
                if address.name in settings.xml_curl_nodes:
                    yield from over_http(client)
            else:
                yield Finding(
                    f"node {address.name}",
                    False,
                    client.last_error,
                    "is FreeSWITCH running, its Event Socket listening there, and FSCONTROL_ESL_PASSWORD its password?",
                )
        finally:
            client.stop()


def _node(address: NodeAddress, client: NodeClient) -> Iterator[Finding]:
    def ask(name: str, arguments: str) -> str:
        return client.request(commands.api(name, arguments))

    name = f"node {address.name}"
    try:
        yield Finding(f"{name}, Event Socket", True, f"FreeSWITCH {ask('version', 'short').strip()}")
        status = ask("sofia", f"xmlstatus profile {PROFILE}")
        running = "<profile-info>" in status or "<profile>" in status
        yield Finding(
            f"{name}, profile {PROFILE}",
            running,
            "running" if running else status.strip()[:80],
            "boot FreeSWITCH on the tree of `fscontrol freeswitch-config`; its log says why a profile does not start",
        )
        for module in REQUIRED_MODULES:
            loaded = ask("module_exists", module).strip() == "true"
            yield Finding(
                f"{name}, {module}",
                loaded,
                "loaded" if loaded else "missing",
                f"add {module} to modules.conf.xml",
            )
    except NodeUnreachable as error:
        yield Finding(name, False, str(error), "the node was lost while it was being looked at; try again")


def over_http(client: NodeClient) -> Iterator[Finding]:
    """Whether a node that is to ask us for its gateways can: it is made to ask, and what it got is looked at."""
    name = f"node {client.name}"
    try:
        loaded = client.request(commands.module_exists(MODULE)).strip() == "true"
        yield Finding(
            f"{name}, {MODULE}",
            loaded,
            "loaded" if loaded else "missing: the node reads every gateway from its files at each change",
            "install the module, write the tree anew (fscontrol freeswitch-config) and restart FreeSWITCH",
        )
        answered = "<served" in client.request(commands.locate_configuration(PROBE), LONGEST_PROBE)
        yield Finding(
            f"{name}, gateways over HTTP",
            answered,
            f"the node asks and is {'answered' if answered else 'not answered'}",
            "is `fscontrol serve` running, FSCONTROL_XML_CURL_URL reachable from the node, and the tree written"
            " with this FSCONTROL_XML_CURL_PASSWORD? FreeSWITCH's log has the HTTP status",
        )
    except (NodeUnreachable, CommandRefused) as error:
        yield Finding(f"{name}, gateways over HTTP", False, str(error), "look at FreeSWITCH's log")


def _backend(settings: Settings) -> Iterator[Finding]:
    if not settings.backend_url:
        yield Finding("backend", True, "none set (FSCONTROL_BACKEND_URL)")
        return
    try:
        # Any answer will do: the three routes take POST only, and a status of 4xx proves that it is there.
        response = requests.get(settings.backend_url, timeout=5, allow_redirects=False)
        yield Finding(
            "backend",
            response.status_code < 500 or response.status_code == 501,
            f"HTTP {response.status_code}",
            "look at the backend's own log",
        )
    except requests.RequestException as error:
        yield Finding("backend", False, type(error).__name__, "check FSCONTROL_BACKEND_URL and the way to it")


def control_plane(settings: Settings) -> Iterator[Finding]:
    """Whether one answers at FSCONTROL_HTTP, and says that it can work."""
    name, url = "control plane", f"http://{settings.http}/readyz"
    try:
        with requests.Session() as session:
            session.trust_env = False  # a proxy has no business between an operator and loopback
            response = session.get(url, timeout=5, allow_redirects=False)
        told = response.json()
        status, components = told["status"], told["components"]
    except requests.ConnectionError:
        yield Finding(
            name,
            False,
            f"no answer at {url}",
            "start it: `fscontrol serve`, whose first lines say what it lacks; where it listens elsewhere, say so in"
            " FSCONTROL_HTTP",
        )
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        seen = f"{type(error).__name__} at {url}: it hangs, or that is something else"
        yield Finding(name, False, seen, "look at the log of `fscontrol serve`, and at who listens there")
    else:
        failing = ", ".join(f"{part} {state}" for part, state in components.items() if state != "ok")
        yield Finding(
            name,
            response.status_code == 200 and status == "ready",
            f"{status}{f' ({failing})' if failing else ''} at {settings.http}",
            "mend what it names; the log of `fscontrol serve` says why",
        )
