"""What `fscontrol demo` pushes and calls: an organisation with three carriers, and a call that says something."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import click
import gevent

from fscontrol.cli.api import ControlPlane
from fscontrol.errors import FscontrolError
from fscontrol.settings import Settings

SAMPLE_DID = "+15551230001"
SAMPLE_CALLER = "+15559876543"
SAMPLE_ORGANIZATION = 7
SETTLED_SECONDS = 30.0
TONE_MS = 2000
PASSWORD = "sample-password"  # noqa: S105  (of the sample carrier on loopback)


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
                "password": PASSWORD,
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


def sample_call(settings: Settings, control_plane: ControlPlane) -> dict[str, Any] | None:
    """FreeSWITCH calls itself through its own profile: the INVITE comes over the wire, from loopback.

    With an assistant to talk to the caller says a tone, and the call is returned once it is over. None: it never came.
    """
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
                tone_ms=TONE_MS if settings.stream_url else 0,
            )
        )
        if not until(lambda: control_plane.get("/api/calls")["total"] > before, SETTLED_SECONDS):
            return None
        call_sid = control_plane.get("/api/calls")["items"][0]["call_sid"]
        call = f"/api/calls/{call_sid}"
        if settings.stream_url:
            until(lambda: control_plane.get(call)["ended_at"] is not None, SETTLED_SECONDS)
            return control_plane.get(call)
        until(lambda: control_plane.get(call)["status"] not in ("initiated", "ringing"), SETTLED_SECONDS)
        found = control_plane.get(call)
        link.request(commands.kill_channel(channel))
    except FscontrolError as error:
        raise click.ClickException(f"the sample call failed: {error}") from None
    finally:
        link.stop()
    return found


def until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait until it holds; False when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        gevent.sleep(0.1)
    return True
