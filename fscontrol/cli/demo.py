"""`fscontrol demo`: the whole path on this machine, for somebody who has never seen it. `./scripts/run` runs it.

A FreeSWITCH (the real one, else the stand-in) on the rendered tree, three sample carriers, a push, a sample call.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import gevent
from pydantic import SecretStr
from rich.console import Console

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.cli.freeswitch_config import node_config
from fscontrol.cli.serve import wait_for_signal
from fscontrol.cli.tables import explain_call, gateway_table
from fscontrol.errors import FscontrolError
from fscontrol.settings import Endpoint, NodeAddress, Settings
from fscontrol.simulator.carrier import CarrierBehaviour

SAMPLE_DID = "+15551230001"
SAMPLE_CALLER = "+15559876543"
SAMPLE_ORGANIZATION = 7
_CARRIERS = {
    "Primary Carrier": CarrierBehaviour.CHALLENGE,
    "Wrong Password": CarrierBehaviour.FORBIDDEN,
    "Office PBX": CarrierBehaviour.ACCEPT,
}
_SETTLED_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class _Bridge:
    """What the demo runs against: settings that lead to a FreeSWITCH, and the addresses of the sample carriers."""

    settings: Settings
    carriers: Mapping[str, str]


@click.command()
@click.option(
    "--once", is_flag=True, help="End after the sample call; exit code 0 only if everything happened."
)
def demo(once: bool) -> None:
    """Start everything on this machine, push a sample organisation, place a sample call, and go on serving."""
    from fscontrol.app import Application
    from fscontrol.telemetry import logs

    console = Console()
    settings = _demo_settings(configuration.load())
    logs.configure(settings.log_format, "WARNING" if once else settings.log_level)
    with _freeswitch(settings, console) as bridge:
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
        raise SystemExit(1)


def _demo_settings(given: Settings) -> Settings:
    """Loopback, free ports and a directory of its own; what the environment sets for HTTP and the key is kept."""
    if given.public_addresses:
        raise click.UsageError(
            f"the demo is for this machine alone, but {given.public_addresses[0]} is not loopback"
        )
    work = Path("var/demo").absolute()
    work.mkdir(parents=True, exist_ok=True, mode=0o700)
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
            carrier = UdpCarrier(behaviour, username="9228", password=SecretStr(_PASSWORD))
            carrier.start()
            stack.callback(carrier.stop)
            carriers[name] = carrier.address
        process = FreeswitchProcess(
            program, node_config(settings, settings.nodes[0]), settings.config_dir.parent
        )
        process.start()
        stack.callback(process.stop)
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
        stand_in.carriers.accounts(carriers[name], {"9228": _PASSWORD})
    stand_in.start()
    try:
        yield _Bridge(settings, carriers)
    finally:
        stand_in.stop()


_PASSWORD = "sample-password"  # noqa: S105  (of the sample carrier on loopback)


def sample_organization(carriers: Mapping[str, str]) -> dict[str, Any]:
    """The push of the demo: a carrier that registers, one that refuses, a PBX trusted by its address."""
    return {
        "organization_id": SAMPLE_ORGANIZATION,
        "name": "Acme",
        "trunks": [
            {
                "id": "primary",
                "name": "Primary Carrier",
                "gateway": carriers["Primary Carrier"],
                "username": "9228",
                "password": _PASSWORD,
                "priority": 1,
            },
            {
                "id": "mistyped",
                "name": "Wrong Password",
                "gateway": carriers["Wrong Password"],
                "username": "9228",
                "password": "mistyped",
                "priority": 2,
            },
            {
                "id": "office",
                "name": "Office PBX",
                "gateway": carriers["Office PBX"],
                "register": False,
                "priority": 3,
            },
            {
                "id": "old",
                "name": "Old Carrier",
                "gateway": carriers["Office PBX"],
                "enabled": False,
                "priority": 9,
            },
        ],
        "phone_numbers": [
            {"id": 41, "phone_number": SAMPLE_DID, "assistant_id": 123, "destination_key": "9228"}
        ],
    }


def _show(console: Console, bridge: _Bridge) -> bool:
    """Push, print the gateways, place the call, print its way. True when all of it happened."""
    control_plane = ControlPlane(bridge.settings)
    with console.status("waiting for the control plane to reach FreeSWITCH"):
        ready = _until(lambda: control_plane.ask("GET", "/readyz")[0] == 200, _SETTLED_SECONDS)
    with console.status("pushing the sample organisation"):
        status, answer = control_plane.ask(
            "POST", "/api/sync-organization", sample_organization(bridge.carriers), wait=_SETTLED_SECONDS
        )
    console.print(f"\nPOST /api/sync-organization → {status}: {answer['message']}", markup=False)
    gateways = control_plane.get("/api/gateways")["items"]
    console.print(gateway_table(gateways, time.time()))
    with console.status("placing a sample call"):
        call = _sample_call(bridge.settings, control_plane)
    if call is None:
        console.print("[red]The sample call did not reach the control plane.[/]")
        return False
    console.print(f"\nA call from {SAMPLE_CALLER} to {SAMPLE_DID} was placed; it went:")
    explain_call(console, call)
    registered = any(gateway["state"] == "REGED" for gateway in gateways)
    if not registered:
        console.print("[red]No gateway registered.[/]")
    return ready and status == 200 and registered and call["status"] in ("in-progress", "completed")


def _sample_call(settings: Settings, control_plane: ControlPlane) -> dict[str, Any] | None:
    """FreeSWITCH calls itself through its own profile: the INVITE comes over the wire, from loopback."""
    from fscontrol.esl import commands
    from fscontrol.esl.link import Link

    before = control_plane.get("/api/calls")["total"]
    node = settings.nodes[0]
    link = Link(node.host, node.port, settings.esl_password, settings.esl_timeout_seconds)
    try:
        link.connect()
        channel = str(uuid.uuid4())
        link.request(
            commands.originate_to_profile(
                channel,
                "external",
                number=SAMPLE_DID,
                host=settings.sip_ip,
                port=settings.sip_port,
                caller=SAMPLE_CALLER,
            )
        )
        _until(lambda: control_plane.get("/api/calls")["total"] > before, _SETTLED_SECONDS)
        calls = control_plane.get("/api/calls")
        if calls["total"] <= before:
            return None
        call = control_plane.get(f"/api/calls/{calls['items'][0]['call_sid']}")
        link.request(commands.kill_channel(channel))
    except FscontrolError as error:
        raise click.ClickException(f"the sample call failed: {error}") from None
    finally:
        link.stop()
    return call


def _until(condition: Any, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        gevent.sleep(0.1)
    return True


def _tell_how_to_go_on(console: Console, settings: Settings) -> None:
    console.print(f"\nServing at http://{settings.http}; SIP at {settings.sip_ip}:{settings.sip_port}. Try:")
    key = settings.api_key.get_secret_value()
    console.print(
        f"  curl -H 'Authorization: Bearer {key}' http://{settings.http}/api/gateways",
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
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
