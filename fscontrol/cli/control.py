"""`fscontrol call ACTION CALL_SID …`: what can be done to a live call."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import click

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane

_CALL_SID = click.argument("call_sid")


@click.group()
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer as JSON.")
@click.pass_context
def call(context: click.Context, as_json: bool) -> None:
    """Control one live call of a running control plane.

    \b
    Examples: fscontrol call transfer sip-20260430-41076079780… --number +15551234567
              fscontrol call play sip-20260430-41076079780… --url https://example.com/hello.wav
    """
    context.obj = as_json


def _do(action: str, call_sid: str, document: dict[str, Any] | None = None) -> None:
    given = {name: value for name, value in (document or {}).items() if value not in (None, False)}
    path = f"/api/calls/{quote(call_sid, safe='')}/{action}"
    status, answer = ControlPlane(configuration.load()).ask("POST", path, given)
    if status != 200:
        problems = [f"{item['path']}: {item['message']}".lstrip(": ") for item in answer.get("problems", ())]
        raise click.ClickException(
            f"{'; '.join(problems) or answer.get('message', 'refused')} (HTTP {status})"
        )
    if click.get_current_context().obj:
        click.echo(json.dumps(answer, indent=2))
        return
    file = f": {answer['file']}" if answer.get("file") else ""
    click.echo(f"{answer['message']}{file}{' already' if answer['already'] else ''}")


@call.command()
@_CALL_SID
@click.option("--cause", help="FreeSWITCH's hangup cause.", default="NORMAL_CLEARING", show_default=True)
def terminate(call_sid: str, cause: str) -> None:
    """End the call."""
    _do("terminate", call_sid, {"cause": cause})


@call.command()
@_CALL_SID
@click.option("--number", help="Over the organisation's trunks.")
@click.option("--sip-uri", help="sip:user@host[:port].")
@click.option("--refer", is_flag=True, help="Ask the far end to call the SIP URI itself.")
@click.option("--caller-id", help="The number shown to the target.")
def transfer(
    call_sid: str, number: str | None, sip_uri: str | None, refer: bool, caller_id: str | None
) -> None:
    """Connect the caller to somebody else; a call that nobody takes comes back."""
    method = "refer" if refer else None
    document = {"number": number, "sip_uri": sip_uri, "method": method, "caller_id": caller_id}
    _do("transfer", call_sid, document)


@call.command()
@_CALL_SID
@click.option("--file", help="A file in FSCONTROL_MEDIA_DIR.")
@click.option("--url", help="An http:// or https:// URL; fetched once.")
@click.option("--mix", is_flag=True, help="Over the conversation instead of in its place.")
def play(call_sid: str, file: str | None, url: str | None, mix: bool) -> None:
    """Play audio to the caller."""
    _do("play", call_sid, {"file": file, "url": url, "mix": mix})


@call.command()
@_CALL_SID
def stop(call_sid: str) -> None:
    """Stop what `play` plays."""
    _do("stop", call_sid)


@call.command()
@_CALL_SID
@click.argument("digits")
def dtmf(call_sid: str, digits: str) -> None:
    """Send DIGITS (0-9 * # A-D, w and W wait)."""
    _do("dtmf", call_sid, {"digits": digits})


@call.command()
@_CALL_SID
def hold(call_sid: str) -> None:
    """Put the far end on hold."""
    _do("hold", call_sid)


@call.command()
@_CALL_SID
def resume(call_sid: str) -> None:
    """Take the far end off hold."""
    _do("resume", call_sid)


@call.command()
@_CALL_SID
@click.option(
    "--who", type=click.Choice(["caller", "assistant", "both"]), default="caller", show_default=True
)
def mute(call_sid: str, who: str) -> None:
    """Let somebody not be heard."""
    _do("mute", call_sid, {"who": who})


@call.command()
@_CALL_SID
def unmute(call_sid: str) -> None:
    """Let everybody be heard."""
    _do("unmute", call_sid)


@call.command()
@_CALL_SID
@click.argument("action", type=click.Choice(["start", "stop"]))
def record(call_sid: str, action: str) -> None:
    """Start or stop recording."""
    _do("record", call_sid, {"action": action})
