"""`fscontrol call ACTION CALL_SID …`: what can be done to a live call."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.cli.command import examples, json_option, put_json, wants_json

_CALL_SID = click.argument("call_sid")
_SAMPLE = "sip-20260430-4107607978015af19c2d3e4f60"


@click.group(
    epilog=examples(
        f"fscontrol call transfer {_SAMPLE} --number +15551234567",
        f"fscontrol call play {_SAMPLE} --url https://example.com/hello.wav",
    )
)
@json_option
def call() -> None:
    """Control one live call of a running control plane."""


def _do(action: str, call_sid: str, document: dict[str, Any] | None = None) -> None:
    given = {name: value for name, value in (document or {}).items() if value not in (None, False)}
    path = f"/api/calls/{quote(call_sid, safe='')}/{action}"
    answer = ControlPlane(configuration.load()).done("POST", path, given)
    if wants_json():
        put_json(answer)
        return
    file = f": {answer['file']}" if answer.get("file") else ""
    click.echo(f"{answer['message']}{file}{' already' if answer['already'] else ''}")


@call.command(epilog=examples(f"fscontrol call terminate {_SAMPLE}"))
@_CALL_SID
@click.option("--cause", help="FreeSWITCH's hangup cause.", default="NORMAL_CLEARING", show_default=True)
@json_option
def terminate(call_sid: str, cause: str) -> None:
    """End the call."""
    _do("terminate", call_sid, {"cause": cause})


@call.command(
    epilog=examples(f"fscontrol call transfer {_SAMPLE} --sip-uri sip:desk@pbx.example.com --refer")
)
@_CALL_SID
@click.option("--number", help="Over the organisation's trunks.")
@click.option("--sip-uri", help="sip:user@host[:port].")
@click.option("--refer", is_flag=True, help="Ask the far end to call the SIP URI itself.")
@click.option("--caller-id", help="The number shown to the target.")
@json_option
def transfer(
    call_sid: str, number: str | None, sip_uri: str | None, refer: bool, caller_id: str | None
) -> None:
    """Connect the caller to somebody else; a call that nobody takes comes back."""
    method = "refer" if refer else None
    document = {"number": number, "sip_uri": sip_uri, "method": method, "caller_id": caller_id}
    _do("transfer", call_sid, document)


@call.command(epilog=examples(f"fscontrol call play {_SAMPLE} --file hello.wav --mix"))
@_CALL_SID
@click.option("--file", help="A file in FSCONTROL_MEDIA_DIR.")
@click.option("--url", help="An http:// or https:// URL; fetched once.")
@click.option("--mix", is_flag=True, help="Over the conversation instead of in its place.")
@json_option
def play(call_sid: str, file: str | None, url: str | None, mix: bool) -> None:
    """Play audio to the caller."""
    _do("play", call_sid, {"file": file, "url": url, "mix": mix})


@call.command(epilog=examples(f"fscontrol call stop {_SAMPLE}"))
@_CALL_SID
@json_option
def stop(call_sid: str) -> None:
    """Stop what `play` plays."""
    _do("stop", call_sid)


@call.command(epilog=examples(f"fscontrol call dtmf {_SAMPLE} 12#"))
@_CALL_SID
@click.argument("digits")
@json_option
def dtmf(call_sid: str, digits: str) -> None:
    """Send DIGITS (0-9 * # A-D, w and W wait)."""
    _do("dtmf", call_sid, {"digits": digits})


@call.command(epilog=examples(f"fscontrol call hold {_SAMPLE}"))
@_CALL_SID
@json_option
def hold(call_sid: str) -> None:
    """Put the far end on hold."""
    _do("hold", call_sid)


@call.command(epilog=examples(f"fscontrol call resume {_SAMPLE}"))
@_CALL_SID
@json_option
def resume(call_sid: str) -> None:
    """Take the far end off hold."""
    _do("resume", call_sid)


@call.command(epilog=examples(f"fscontrol call mute {_SAMPLE} --who both"))
@_CALL_SID
@click.option(
    "--who", type=click.Choice(["caller", "assistant", "both"]), default="caller", show_default=True
)
@json_option
def mute(call_sid: str, who: str) -> None:
    """Let somebody not be heard."""
    _do("mute", call_sid, {"who": who})


@call.command(epilog=examples(f"fscontrol call unmute {_SAMPLE}"))
@_CALL_SID
@json_option
def unmute(call_sid: str) -> None:
    """Let everybody be heard."""
    _do("unmute", call_sid)


@call.command(epilog=examples(f"fscontrol call record {_SAMPLE} start"))
@_CALL_SID
@click.argument("action", type=click.Choice(["start", "stop"]))
@json_option
def record(call_sid: str, action: str) -> None:
    """Start or stop recording."""
    _do("record", call_sid, {"action": action})
