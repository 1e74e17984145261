"""The `sofia` command: profiles and gateways from the control plane's side.

Owns: its sub-commands and their replies. Refuses: starting, stopping or restarting profiles, which would drop calls
and which nothing in this project may send; they answer as an unknown command does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fscontrol.simulator import gateway_status
from fscontrol.simulator.configuration import ProfileConfig
from fscontrol.simulator.gateway import Gateway
from fscontrol.simulator.node import Node


def sofia(node: Node, arguments: str) -> str:
    """The answer to `api sofia ARGUMENTS`."""
    words = arguments.split()
    if not words:
        return "-USAGE: sofia help\n"
    rest = words[1:]
    match words[0].lower():
        case "profile":
            return _profile(node, rest)
        case "xmlstatus":
            return _xmlstatus(node, rest)
        case "jsonstatus":
            return gateway_status.status_json(_profiles(node), node.wall())
    return f"Unknown Command [{words[0]}]\n"


def _profiles(node: Node) -> Iterator[tuple[ProfileConfig, list[Gateway], int]]:
    in_use = len(node.legs)
    for profile in node.configuration.profiles.values():
        yield profile, [g for g in node.gateways if g.profile == profile.name], in_use


def _xmlstatus(node: Node, words: list[str]) -> str:
    now = node.wall()
    if not words:
        return gateway_status.profiles_xml(_profiles(node), now)
    if len(words) == 1:
        return gateway_status.all_gateways_xml(node.gateways, now)
    match words[0].lower():
        case "gateway":
            gateway = node.gateways.find(words[1])
            return gateway_status.one_gateway_xml(gateway, now) if gateway else "Invalid Gateway!\n"
        case "profile":
            profile = node.profile(words[1])
            counts = node.calls_in, node.failed_calls_in
            return gateway_status.profile_xml(profile, *counts) if profile else "Invalid Profile!\n"
    return "Invalid Syntax!\n"


def _profile(node: Node, words: list[str]) -> str:
    if len(words) < 2:
        return "Invalid Args!\n"
    name, command, rest = words[0], words[1].lower(), words[2:]
    if node.profile(name) is None:
        return f"Invalid Profile [{name}]"
    work = _PROFILE_COMMANDS.get(command)
    return work(node, name, rest) if work else "-ERR Unknown command!\n"


def _kill(node: Node, _profile_name: str, rest: list[str]) -> str:
    if not rest:
        return "-ERR missing gw name\n"
    if rest[0].lower() == "_all_":
        node.gateways.kill_all()
        return "+OK every gateway marked for deletion.\n"
    # The profile named does not matter: gateway names are global.
    return "+OK gateway marked for deletion.\n" if node.gateways.kill(rest[0]) else "-ERR no such gateway.\n"


def _register(node: Node, _profile_name: str, rest: list[str]) -> str:
    if not rest:
        return "No gateway name provided!\n"
    done = node.gateways.register(rest[0])
    if done is None:
        return "Invalid gateway!\n"
    return "+OK\n" if done else f"-ERR NOREG gateway [{rest[0]}] can't be registered!\n"


def _start(node: Node, profile_name: str, rest: list[str]) -> str:
    if not rest:
        return "-ERR missing gw name\n"
    said = node.reload()
    profile = node.gateways_to_start(profile_name, {"reconfig": "true", "gateway": rest[0]})
    if profile is None:
        return f"Reload XML [{said}]\n-ERR cannot add gateway {rest[0]} for profile {profile_name}\n"
    node.gateways.add_from(profile, node.wall(), None if rest[0] == "_all_" else rest[0])
    # Said of a name that is nowhere in the XML as well.
    return f"Reload XML [{said}]\n+OK start gateway {rest[0]} complete\n"


def _rescan(node: Node, profile_name: str, _rest: list[str]) -> str:
    said = node.reload()
    profile = node.gateways_to_start(profile_name, {"reconfig": "true"})
    if profile is None:
        return f"Reload XML [{said}]\n-ERR cannot find config for profile {profile_name}\n"
    node.gateways.add_from(profile, node.wall())
    return f"Reload XML [{said}]\n+OK scan complete\n"


def _gwlist(node: Node, profile_name: str, rest: list[str]) -> str:
    up = not (rest and rest[0].lower() == "down")
    return gateway_status.gateway_list((g for g in node.gateways if g.profile == profile_name), up)


_PROFILE_COMMANDS: dict[str, Callable[[Node, str, list[str]], str]] = {
    "killgw": _kill,
    "startgw": _start,
    "register": _register,
    "rescan": _rescan,
    "gwlist": _gwlist,
}
