"""The API commands FreeSWITCH answers, as far as a control plane uses them.

Owns: the texts of the answers, byte for byte as captured or run. Refuses: commands it does not know, with FreeSWITCH's
words.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator

import gevent
from lxml import etree

from fscontrol.simulator.applications import APPLICATIONS
from fscontrol.simulator.causes import known_cause
from fscontrol.simulator.channel import Channel
from fscontrol.simulator.leg import Leg
from fscontrol.simulator.live_api import LIVE_COMMANDS
from fscontrol.simulator.network_lists import allows
from fscontrol.simulator.node import Node
from fscontrol.simulator.originate import originate
from fscontrol.simulator.sofia_api import sofia

_NO_CHANNEL = "-ERR No such channel!\n"
_SHOW_USAGE = (
    "-USAGE: codec|endpoint|application|api|dialplan|file|timer|calls [count]|channels [count|like <match string>]|"
    "calls|detailed_calls|bridged_calls|detailed_bridged_calls|aliases|complete|chat|management|modules|nat_map|say|"
    "interfaces|interface_types|tasks|limits|status\n"
)


def run_api(node: Node, name: str, arguments: str) -> str:
    """The answer to `api NAME ARGUMENTS`; empty where FreeSWITCH writes nothing."""
    command = _COMMANDS.get(name.lower())
    return command(node, arguments) if command else f"-ERR {name} Command not found!\n"


def _reloadxml(node: Node, _arguments: str) -> str:
    return f"+OK [{node.reload()}]\n"


def _reloadacl(node: Node, _arguments: str) -> str:
    said = node.reload()
    if said != "Success":
        return f"-ERR [{said}]\n"
    node.load_network_lists()
    return "+OK acl reloaded\n"


def _acl(node: Node, arguments: str) -> str:
    ip, _, name = arguments.strip().partition(" ")
    try:
        return "true" if allows(node.network_lists, name, ip) else "false"
    except ValueError:
        return "false"


def _global_getvar(node: Node, arguments: str) -> str:
    if not arguments:
        return "".join(f"{name}={value}\n" for name, value in node.variables.items())
    return node.variables.get(arguments.strip(), "")


def _global_setvar(node: Node, arguments: str) -> str:
    name, equals, value = arguments.strip().partition("=")
    if not name:
        return "-USAGE: <var>=<value> [=<value2>]\n"
    if equals and value:
        node.variables[name] = value
    else:
        node.variables.pop(name, None)
    return "+OK\n"


def _xml_locate(node: Node, arguments: str) -> str:
    words = arguments.split()
    if len(words) != 4:
        return "-ERR bad args\n"
    root = node.located(words[3], {"tag": words[1], "tag_attr_name": words[2], "tag_attr_val": words[3]})
    found = None if root is None else root.find(f"section/configuration[@name='{words[3]}']")
    return "can't find anything\n" if found is None else etree.tostring(found, encoding="unicode")


def _module_exists(node: Node, arguments: str) -> str:
    return ("true" if arguments in node.configuration.modules else "false") if arguments else ""


def _version(_node: Node, arguments: str) -> str:
    if arguments == "short":
        return "1.10.12-release\n"
    return "FreeSWITCH Version 1.10.12-release (git a88d069 2024-08-02 21:02:27Z 64bit)\n"


def _status(node: Node, _arguments: str) -> str:
    up = int((node.wall() - node.started) * 1_000_000)
    seconds, microseconds = divmod(up, 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    years, days = divmod(days, 365)
    parts = {"year": years, "day": days, "hour": hours, "minute": minutes, "second": seconds}
    parts |= {"millisecond": microseconds // 1000, "microsecond": microseconds % 1000}
    text = ", ".join(f"{number} {word}{'' if number == 1 else 's'}" for word, number in parts.items())
    sessions, peak = len(node.legs), node.sessions_peak
    return (
        f"UP {text}\nFreeSWITCH (Version 1.10.12-release git a88d069 2024-08-02 21:02:27Z 64bit) is ready\n"
        f"{node.calls_in} session(s) since startup\n{sessions} session(s) - peak {peak}, last 5min {peak} \n"
        f"0 session(s) per Sec out of max 2000, peak {peak}, last 5min {peak} \n5000 session(s) max\n"
        "min idle cpu 0.00/98.93\nCurrent Stack Size/Max 240K/8192K\n"
    )


def _show(node: Node, arguments: str) -> str:
    words = arguments.split()
    if not words or words[0] not in ("channels", "calls"):
        return _SHOW_USAGE
    as_json = words[-2:] == ["as", "json"]
    rows = [dict(_row(leg.channel, node.name)) for leg in node.legs.values()]
    if "count" in words:
        return f'{{"row_count":{len(rows)},"rows":[]}}' if as_json else f"\n{len(rows)} total.\n"
    if as_json:
        if not rows:
            return '{"row_count": 0}\n'
        return json.dumps({"row_count": len(rows), "rows": rows}, separators=(",", ":"), ensure_ascii=False)
    if not rows:
        return "\n0 total.\n"
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    return "\n".join(lines) + f"\n\n{len(rows)} total.\n"


def _row(channel: Channel, hostname: str) -> Iterator[tuple[str, str]]:
    profile = channel.profile
    created = channel.times["created"] // 1_000_000
    codec = (
        ("PCMU", "8000", "64000")
        if channel.times["answered"] or channel.times["progress_media"]
        else ("", "", "")
    )
    yield from (("uuid", channel.uuid), ("direction", profile.direction))
    yield "created", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(created))
    yield from (("created_epoch", str(created)), ("name", profile.channel_name), ("state", channel.state))
    yield from (("cid_name", profile.name), ("cid_num", profile.number), ("ip_addr", profile.network_addr))
    yield from (("dest", profile.destination), ("application", channel.application))
    yield from (
        ("application_data", channel.application_data),
        ("dialplan", "XML"),
        ("context", profile.context),
    )
    for side in ("read", "write"):
        yield from zip((f"{side}_codec", f"{side}_rate", f"{side}_bit_rate"), codec, strict=True)
    yield from (("secure", ""), ("hostname", hostname))
    yield from ((name, "") for name in ("presence_id", "presence_data", "accountcode"))
    yield "callstate", channel.call_state
    for name in (
        "callee_name",
        "callee_num",
        "callee_direction",
        "call_uuid",
        "sent_callee_name",
        "sent_callee_num",
    ):
        yield name, ""
    yield from (("initial_cid_name", profile.name), ("initial_cid_num", profile.number))
    yield from (("initial_ip_addr", profile.network_addr), ("initial_dest", channel.initial_destination))
    yield from (("initial_dialplan", "XML"), ("initial_context", channel.initial_context))


def _uuid_exists(node: Node, arguments: str) -> str:
    return "true" if arguments.strip() in node.legs else "false"


def _on_leg(usage: str, least: int, work: Callable[[Leg, list[str]], str]) -> Callable[[Node, str], str]:
    """A `uuid_*` command: usage when words are missing, an error when there is no such channel."""

    def command(node: Node, arguments: str) -> str:
        words = arguments.split(" ", 2)
        if len([word for word in words if word]) < least:
            return f"-USAGE: {usage}\n"
        leg = node.legs.get(words[0])
        return _NO_CHANNEL if leg is None else work(leg, words[1:])

    return command


def _kill(leg: Leg, words: list[str]) -> str:
    leg.hang_up(known_cause(words[0]) if words else "NORMAL_CLEARING")
    return "+OK\n"


def _setvar(leg: Leg, words: list[str]) -> str:
    leg.channel.set(words[0], words[1] if len(words) > 1 else "")
    return "+OK\n"


def _getvar(leg: Leg, words: list[str]) -> str:
    return leg.channel.get(words[0]) or "_undef_"


def _setvar_multi(leg: Leg, words: list[str]) -> str:
    for pair in " ".join(words).split(";"):
        name, equals, value = pair.partition("=")
        if equals:
            leg.channel.set(name, value)
    return "+OK\n"


def _answer(leg: Leg, _words: list[str]) -> str:
    leg.answer()
    return "+OK\n"


def _pre_answer(leg: Leg, _words: list[str]) -> str:
    leg.pre_answer()
    return "+OK\n"


def _hupall(node: Node, arguments: str) -> str:
    cause = known_cause(arguments.split(" ", maxsplit=1)[0]) if arguments else "MANAGER_REQUEST"
    for leg in tuple(node.legs.values()):
        leg.hang_up(cause)
    return f"+OK hangup all channels with cause {cause}\n"


def _sched_hangup(node: Node, arguments: str) -> str:
    words = arguments.split()
    leg = node.legs.get(words[1]) if len(words) > 1 else None
    if leg is None:
        return _NO_CHANNEL
    APPLICATIONS["sched_hangup"](leg, " ".join([words[0], *words[2:]]))
    return "+OK\n"


def _msleep(_node: Node, arguments: str) -> str:
    gevent.sleep(int(arguments) / 1000 if arguments.isdigit() else 0)
    return "+OK\n"


_COMMANDS: dict[str, Callable[[Node, str], str]] = {
    "reloadxml": _reloadxml,
    "reloadacl": _reloadacl,
    "xml_locate": _xml_locate,
    "acl": _acl,
    "global_getvar": _global_getvar,
    "global_setvar": _global_setvar,
    "module_exists": _module_exists,
    "version": _version,
    "status": _status,
    "show": _show,
    "sofia": sofia,
    "originate": originate,
    "uuid_exists": _uuid_exists,
    "uuid_kill": _on_leg("<uuid> [cause]", 1, _kill),
    "uuid_setvar": _on_leg("<uuid> <var> [value]", 2, _setvar),
    "uuid_setvar_multi": _on_leg("<uuid> <var>=<value>;<var>=<value>...", 2, _setvar_multi),
    "uuid_getvar": _on_leg("<uuid> <var>", 2, _getvar),
    "uuid_answer": _on_leg("<uuid>", 1, _answer),
    "uuid_pre_answer": _on_leg("<uuid>", 1, _pre_answer),
    **LIVE_COMMANDS,
    "hupall": _hupall,
    "sched_hangup": _sched_hangup,
    "create_uuid": lambda _node, _arguments: str(uuid.uuid4()),
    "hostname": lambda node, _arguments: node.name,
    "echo": lambda _node, arguments: arguments,
    "strepoch": lambda node, _arguments: str(int(node.wall())),
    "uptime": lambda node, _arguments: f"{int(node.wall() - node.started)}\n",
    "msleep": _msleep,
}
