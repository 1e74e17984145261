"""`fscontrol explain`: why a call went where it went, or where a pasted INVITE would go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import quote

import click
from rich.console import Console
from rich.markup import escape

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.cli.command import examples, json_option, put_json, wants_json
from fscontrol.cli.exit_codes import Exit
from fscontrol.cli.screen import make_console
from fscontrol.cli.tables import explain_call, explain_steps


@click.command(
    epilog=examples(
        "fscontrol explain sip-20260430-4107607978015af19c2d3e4f60",
        "fscontrol explain --invite message.sip --source-ip 203.0.113.5",
        "fscontrol explain --invite - --json < message.sip",
    )
)
@click.argument("call_sid", required=False)
@click.option(
    "--invite",
    type=click.File("r", encoding="utf-8", errors="replace"),
    help="A file with an INVITE; - for standard input.",
)
@click.option(
    "--source-ip", default="", help="Where the INVITE came from; default: what its topmost Via says."
)
@json_option
def explain(call_sid: str | None, invite: IO[str] | None, source_ip: str) -> None:
    """Explain the call CALL_SID step by step, or a pasted INVITE with --invite (nothing is called or stored).

    Exit code 0 when the call was or would be accepted, 1 otherwise; 3 when there is no such call.
    """
    if (call_sid is None) == (invite is None):
        raise click.UsageError("give a CALL_SID or --invite FILE, one of them")
    control_plane = ControlPlane(configuration.load())
    console = make_console()
    if invite is None:
        answer = control_plane.get(f"/api/calls/{quote(str(call_sid), safe='')}")
        accepted = answer["answered_at"] is not None
    else:
        answer = _explained(control_plane, invite.read(), source_ip)
        accepted = answer["decision"] == "accept"
    if wants_json():
        put_json(answer)
    elif invite is None:
        explain_call(console, answer)
    else:
        _show_invite(console, answer)
    raise SystemExit(Exit.DONE if accepted else Exit.NO)


def _explained(control_plane: ControlPlane, invite: str, source_ip: str) -> dict[str, Any]:
    return control_plane.done("POST", "/api/explain", {"invite": invite, "source_ip": source_ip})


def _show_invite(console: Console, answer: Mapping[str, Any]) -> None:
    assumed = " (assumed from the INVITE's own Via)" if answer["source_ip_assumed"] else ""
    console.print(f"from {answer['source_ip']}{assumed}", markup=False)
    why = f"{escape(answer['reason'])}  {escape(answer['detail'])}"
    console.print(f"[bold]{answer['decision']}[/]  SIP {answer['sip_status']}  {why}")
    if answer["to_number"]:
        route = f"{answer['to_number']} → assistant {answer['assistant_id']}, flow {answer['flow_id']}"
        console.print(
            f"  organisation {answer['organization_id']}  trunk {answer['trunk_id']}  {route}", markup=False
        )
    explain_steps(console, answer)
