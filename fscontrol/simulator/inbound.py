"""Inbound calls: an INVITE's text becomes a leg that runs the dialplan.

Owns: what sofia does before the dialplan (the wall of network lists, variables, the gateway a Request-URI names, the
context). Refuses: digest; who may call is the control plane's decision.
"""

from __future__ import annotations

import re
import uuid

from fscontrol.simulator.applications import APPLICATIONS
from fscontrol.simulator.call_socket import run_socket
from fscontrol.simulator.channel import Channel, Profile
from fscontrol.simulator.configuration import ProfileConfig
from fscontrol.simulator.invite import caller, channel_variables
from fscontrol.simulator.invite_text import Invite, InviteRefused, parse_invite, parse_uri, split_address
from fscontrol.simulator.leg import Leg
from fscontrol.simulator.network_lists import allows
from fscontrol.simulator.node import Node

_INBOUND_APPLICATIONS = {**APPLICATIONS, "socket": run_socket}
_KNOWN_AT_THE_WALL = frozenset(
    (
        "direction", "uuid", "session_id", "sip_from_user", "sip_from_uri", "sip_from_host", "sip_from_port",
        "video_media_flow", "audio_media_flow", "text_media_flow", "channel_name", "sip_call_id", "ep_codec_string",
    )
)  # fmt: skip
"""The variables of a call that was refused for its address (run): the address is not among them."""


def place_invite(node: Node, data: bytes, source: tuple[str, int], profile_name: str = "external") -> Leg:
    """Take an INVITE that came from `source` (address, port) and start its leg.

    Raises `InviteRefused` when it is no readable INVITE or the profile does not exist.
    """
    profile = node.profile(profile_name)
    if profile is None:
        raise InviteRefused(503, f"no profile {profile_name}")
    invite = parse_invite(data)
    if _has_tag(invite.first("To")):
        raise InviteRefused(481, "a dialog nobody knows")
    acls = profile.inbound_acls
    let_in = not acls or any(allows(node.network_lists, name, source[0]) for name in acls)
    if let_in and not profile.ignores_credentials and _has_credentials(invite):
        raise InviteRefused(407, "sofia challenges whoever sends credentials unasked")
    if let_in and not invite.has_offer and profile.settings.get("enable-3pcc") != "proxy":
        raise InviteRefused(480, "no SDP, and no 3pcc")
    leg = _leg(node, invite, source, profile)
    node.calls_in += 1
    node.add_leg(leg)
    leg.statuses.append(100)
    if let_in:
        _named_gateway(node, invite, leg.channel)
        node.spawn(leg.run_dialplan, "an inbound leg")
    else:
        node.spawn(lambda: _refuse(leg), "an inbound leg")
    return leg


def _has_tag(to: str) -> bool:
    return any(part.strip().lower().startswith("tag=") for part in split_address(to)[2].split(";"))


def _has_credentials(invite: Invite) -> bool:
    return bool(invite.first("Authorization") or invite.first("Proxy-Authorization"))


def _refuse(leg: Leg) -> None:
    """sofia's answer to an address outside its lists: 403 before there is a caller's profile or a dialplan."""
    channel = leg.channel
    channel.has_caller = False
    channel.variables = {
        name: value for name, value in channel.variables.items() if name in _KNOWN_AT_THE_WALL
    }
    leg.node.failed_calls_in += 1  # once here and once for a channel that was never answered (run)
    leg.respond(403)
    leg.finish()


def _leg(node: Node, invite: Invite, source: tuple[str, int], profile: ProfileConfig) -> Leg:
    who = caller(invite, source)
    leg_uuid = str(uuid.uuid4())
    channel = Channel(
        leg_uuid,
        Profile(
            direction="inbound",
            name=who.name,
            number=who.number,
            network_addr=who.network_addr,
            destination=who.destination,
            context=profile.settings.get("context", "") or "default",
            # Not `format`: what follows the profile is the caller's and may hold braces.
            channel_name=who.channel_name.replace("{profile}", profile.name, 1),
            hide_name=who.hide_name,
            hide_number=who.hide_number,
        ),
        node.wall,
        node.publish,
        global_variable=node.global_variable,
    )
    codecs = profile.settings.get("inbound-codec-prefs", "PCMU,PCMA")
    channel.variables = {
        "direction": "inbound",
        "uuid": leg_uuid,
        "session_id": str(next(node.session_ids)),
        **channel_variables(invite, source, profile.name, profile.url, profile.sip_ip, codecs),
    }
    channel.variables["sip_invite_stamp"] = str(channel.times["created"])
    return Leg(node, channel, _INBOUND_APPLICATIONS, inbound=True)


def _named_gateway(node: Node, invite: Invite, channel: Channel) -> None:
    """`gw+NAME` or `;gw=NAME` in the Request-URI names a gateway, whoever the caller is: no proof of anything."""
    destination = channel.profile.destination
    by_user = node.gateways.find(destination[3:]) if "gw+" in destination else None
    found = re.search(r"(?:^|;)gw=([^;]*)", invite.uri.params)
    by_param = node.gateways.find(found[1]) if found and by_user is None else None
    gateway = by_user or by_param
    if gateway is None:
        return
    gateway.calls_in += 1
    channel.profile.context = gateway.context
    channel.variables["sip_gateway"] = gateway.name
    to_user = parse_uri(split_address(invite.first("To"))[1]).user
    extension = gateway.extension if by_user else gateway.real_extension
    if extension.lower() == "auto_to_user" or (extension.lower() == "auto" and by_user):
        channel.profile.destination = to_user
    elif extension and extension.lower() != "auto":
        channel.profile.destination = extension
    for variable in gateway.variables:
        if variable.direction != "outbound":
            channel.set(variable.name, variable.value)
