"""`fscontrol demo`: the whole path on this machine, for somebody who has never seen it. `./scripts/run` runs it.

A FreeSWITCH (the real one, else the stand-in) on the rendered tree, three sample carriers, an assistant that echoes, a
push, a sample call. What is pushed and called stands in `demo_sample`.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
from pydantic import SecretStr
from rich.console import Console

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.cli.assistant_echo import AssistantServer
from fscontrol.cli.command import examples
from fscontrol.cli.demo_sample import (
    PASSWORD,
    SAMPLE_CALLER,
    SAMPLE_DID,
    SETTLED_SECONDS,
    sample_call,
    sample_organization,
    until,
)
from fscontrol.cli.exit_codes import Exit
from fscontrol.cli.freeswitch_config import node_config
from fscontrol.cli.screen import make_console
from fscontrol.cli.serve import wait_for_signal
from fscontrol.cli.tables import explain_call, gateway_table
from fscontrol.settings import Endpoint, NodeAddress, Settings
from fscontrol.simulator.carrier import CarrierBehaviour

_CARRIERS = {
    "Primary Carrier": CarrierBehaviour.CHALLENGE,
    "Wrong Password": CarrierBehaviour.FORBIDDEN,
    "Office PBX": CarrierBehaviour.ACCEPT,
}
_PORTS = range(10_000, 16_000)
"""Below those of outgoing connections (32768 on Linux) and of RTP (16384 in FreeSWITCH)."""


@dataclass(frozen=True, slots=True)
class _Bridge:
    """What the demo runs against: settings that lead to a FreeSWITCH, and the addresses of the sample carriers."""

    settings: Settings
    carriers: Mapping[str, str]


@click.command(epilog=examples("fscontrol demo", "fscontrol demo --once"))
@click.option(
    "--once", is_flag=True, help="End after the sample call; exit code 0 only if everything happened."
)
def demo(once: bool) -> None:
    """Start everything on this machine, push a sample organisation, place a sample call, and go on serving."""
    from fscontrol.app import Application
    from fscontrol.telemetry import logs

    console = make_console()
    given = configuration.load()
    logs.configure(given.log_format, "WARNING" if once else given.log_level)
    # A directory of its own each time: the sample carriers are new each time, and what an earlier run stored is not.
    Path("var").mkdir(exist_ok=True, mode=0o700)
    with (
        tempfile.TemporaryDirectory(prefix="demo-", dir=Path("var").absolute()) as work,
        _freeswitch(_demo_settings(given, Path(work)), console) as bridge,
    ):
        configuration.require_safe(bridge.settings)
        application = Application(bridge.settings)
        application.start()
        try:
            happened = _show(console, bridge)
            if not once:
                _tell_how_to_go_on(console, bridge.settings)
                wait_for_signal()
        finally:
            application.stop()
    if once and not happened:
        raise SystemExit(Exit.NO)


def _demo_settings(given: Settings, work: Path) -> Settings:
    """Loopback, free ports and a directory of its own; HTTP, the key and the assistant are as the environment says."""
    if given.public_addresses:
        raise click.UsageError(
            f"the demo is for this machine alone, but {given.public_addresses[0]} is not loopback"
        )
    http = given.http if _is_free(given.http) else Endpoint(host="127.0.0.1", port=_free_port())
    return given.with_(
        api_key=given.api_key if given.api_key.get_secret_value() else SecretStr(secrets.token_urlsafe(24)),
        http=http,
        call_socket=Endpoint(host="127.0.0.1", port=_free_port()),
        nodes=(NodeAddress(name="fs1", host="127.0.0.1", port=_free_port()),),
        esl_password=SecretStr(secrets.token_urlsafe(18)),
        store_url=f"sqlite:///{work}/fscontrol.db",
        config_dir=work / "freeswitch" / "conf",
        sip_ip="127.0.0.1",
        gateway_networks=("127.0.0.0/8",),
        sip_port=_free_port(socket.SOCK_DGRAM),
        tls_port=0,
        external_ip="",
        esl_listen=None,
    )


@contextlib.contextmanager
def _freeswitch(settings: Settings, console: Console) -> Iterator[_Bridge]:
    from fscontrol.simulator.freeswitch_process import find_freeswitch

    program = find_freeswitch(os.environ)
    if program is not None:
        console.print(f"[bold]FreeSWITCH[/]: the real one, {program}")
        with _real(program, settings) as bridge:
            yield bridge
    else:
        console.print("[bold]FreeSWITCH[/]: not found on PATH or in FREESWITCH_BIN;", end=" ")
        console.print("[yellow]using the stand-in[/] inside this process")
        with _stand_in(settings) as bridge:
            yield bridge


@contextlib.contextmanager
def _real(program: str, settings: Settings) -> Iterator[_Bridge]:
    from fscontrol.simulator.carrier_server import UdpCarrier
    from fscontrol.simulator.freeswitch_process import FreeswitchProcess

    with contextlib.ExitStack() as stack:
        carriers = {}
        for name, behaviour in _CARRIERS.items():
            carrier = UdpCarrier(behaviour, username="9228", password=SecretStr(PASSWORD))
            carrier.start()
            stack.callback(carrier.stop)
            carriers[name] = carrier.address
        process = FreeswitchProcess(
            program, node_config(settings, settings.nodes[0]), settings.config_dir.parent
        )
        process.start()
        stack.callback(process.stop)
        if not settings.stream_url:
            assistant = AssistantServer()
            assistant.start()
            stack.callback(assistant.stop)
            settings = settings.with_(stream_url=f"ws://127.0.0.1:{assistant.port}/streams?call={{call_sid}}")
        yield _Bridge(settings, carriers)


@contextlib.contextmanager
def _stand_in(settings: Settings) -> Iterator[_Bridge]:
    from fscontrol.simulator.server import StandIn
    from fscontrol.sofia.deliver import write_tree
    from fscontrol.sofia.tree import render_tree

    write_tree(settings.config_dir, render_tree(node_config(settings, settings.nodes[0])))
    node = settings.nodes[0]
    stand_in = StandIn(settings.config_dir, settings.esl_password, esl_port=node.port, node_name=node.name)
    carriers = {}
    for index, (name, behaviour) in enumerate(_CARRIERS.items()):
        carriers[name] = f"127.0.0.1:{5090 + index}"
        stand_in.carriers[carriers[name]] = behaviour
        stand_in.carriers.accounts(carriers[name], {"9228": PASSWORD})
    stand_in.start()
    try:
        yield _Bridge(settings, carriers)
    finally:
        stand_in.stop()


def _show(console: Console, bridge: _Bridge) -> bool:
    """Push, print the gateways, place the call, print its way. True when all of it happened."""
    control_plane = ControlPlane(bridge.settings)
    with console.status("waiting for the control plane to reach FreeSWITCH"):
        ready = until(lambda: control_plane.ask("GET", "/readyz")[0] == 200, SETTLED_SECONDS)
    with console.status("pushing the sample organisation"):
        status, answer = control_plane.ask(
            "POST", "/api/sync-organization", sample_organization(bridge.carriers), wait=SETTLED_SECONDS
        )
    console.print(f"\nPOST /api/sync-organization → {status}: {answer['message']}", markup=False)
    gateways = control_plane.get("/api/gateways")["items"]
    console.print(gateway_table(gateways, time.time()))
    with console.status("placing a sample call; the caller says a tone and hears it back"):
        call = sample_call(bridge.settings, control_plane)
    if call is None:
        console.print("[red]The sample call did not reach the control plane.[/]")
        return False
    console.print(f"\nA call from {SAMPLE_CALLER} to {SAMPLE_DID} was placed; it went:")
    explain_call(console, call)
    if bridge.settings.stream_url and not (call["media"] and call["media"]["datagrams_in"]):
        console.print("[red]No audio went between the caller and the assistant.[/]")
        return False
    registered = any(gateway["state"] == "REGED" for gateway in gateways)
    if not registered:
        console.print("[red]No gateway registered.[/]")
    return ready and status == 200 and registered and call["status"] in ("in-progress", "completed")


def _tell_how_to_go_on(console: Console, settings: Settings) -> None:
    console.print(f"\nServing at http://{settings.http}; SIP at {settings.sip_ip}:{settings.sip_port}. Try:")
    key = settings.api_key.get_secret_value()
    console.print(
        f"  curl -H 'Authorization: Bearer {key}' http://{settings.http}/api/gateways",
        markup=False,
        soft_wrap=True,
    )
    console.print(f"Or open http://{settings.http}/ in a browser and sign in with that key.")
    if settings.stream_url:
        console.print(
            f"To hear yourself, call sip:{SAMPLE_DID}@{settings.sip_ip}:{settings.sip_port} with a softphone on this"
            " machine: the assistant greets, echoes, and falls silent at #.",
            markup=False,
            soft_wrap=True,
        )
    console.print("Ctrl-C ends it.")


def _is_free(endpoint: Endpoint) -> bool:
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((endpoint.host, endpoint.port))
    except OSError:
        return False
    return True


def _free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Not one that the kernel offers: those are its own for outgoing connections, which take one before we listen."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as streams,
            socket.socket(socket.AF_INET, kind) as probe,
        ):
            streams.bind(("127.0.0.1", port))  # SIP takes both
            if kind != socket.SOCK_STREAM:
                probe.bind(("127.0.0.1", port))
            return port
    raise click.ClickException(
        f"all ports from {_PORTS.start} to {_PORTS.stop - 1} are in use on this machine"
    )
