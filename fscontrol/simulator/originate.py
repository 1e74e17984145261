"""The `originate` command: outbound legs whose fate the carrier's behaviour decides, or that come back in.

Owns: parsing the originate string, the outcome and its words. Refuses: several targets (`|`, `,`) and anything but
sofia: such a string gets FreeSWITCH's answer to a channel it cannot create.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

import gevent

from fscontrol.simulator import causes
from fscontrol.simulator.applications import APPLICATIONS
from fscontrol.simulator.carriers import Answer, CallAnswer
from fscontrol.simulator.channel import Channel, Profile
from fscontrol.simulator.configuration import ProfileConfig
from fscontrol.simulator.gateway import Gateway, leading_number
from fscontrol.simulator.inbound import place_invite
from fscontrol.simulator.leg import Leg
from fscontrol.simulator.node import Node

_USAGE = (
    "-USAGE: <call url> <exten>|&<application_name>(<app_args>) "
    "[<dialplan>] [<context>] [<cid_name>] [<cid_num>] [<timeout_sec>]\n"
)
_STRING = re.compile(r"(?:\{([^}]*)\}|\[([^\]]*)\])?(\S+)\s+(\S.*)")
_APPLICATION = re.compile(r"&([\w]+)(?:\((.*?)\))?")
_DEFAULT_TIMEOUT = 60
_REDIRECTIONS = 28
"""How often a carrier that redirects to itself was asked (run)."""
_WITHOUT_DISPOSITION = frozenset({401, 407, 904})
"""Credentials that were not taken, or not asked for (run)."""
_NO_REDIRECT = "outbound_redirect_fatal"


@dataclass(frozen=True, slots=True)
class _Target:
    """Where an outbound leg goes: through a gateway, or straight from a profile."""

    number: str
    address: str
    profile: ProfileConfig
    gateway: Gateway | None = None


def originate(node: Node, arguments: str) -> str:
    """Place a call and wait for its outcome: `+OK UUID`, or `-ERR CAUSE`."""
    found = _STRING.fullmatch(arguments.strip())
    if not found:
        return _USAGE
    given = (found[1] or found[2] or "").replace("\\s", " ")
    variables = dict(pair.split("=", 1) for pair in given.split(",") if "=" in pair)
    target = _target(node, found[3])
    if isinstance(target, str):
        return f"-ERR {target}\n"
    if target.gateway is not None and not target.gateway.up:
        target.gateway.failed_calls_out += 1
        return "-ERR GATEWAY_DOWN\n"
    leg = _leg(node, target, variables)
    if leg is None:
        return "-ERR DESTINATION_OUT_OF_ORDER\n"
    cause = _dial(node, leg, target, variables)
    if cause:
        if target.gateway:
            target.gateway.failed_calls_out += 1
        leg.hang_up(cause)
        # BACKGROUND_JOB comes before CHANNEL_HANGUP_COMPLETE (captures/calls).
        gevent.spawn_later(0, leg.finish)
        return f"-ERR {cause}\n"
    if target.gateway:
        target.gateway.calls_out += 1
    then = found[4]
    node.spawn(lambda: _after_answer(leg, then), "an outbound leg")
    return f"+OK {leg.channel.uuid}\n"


def _target(node: Node, text: str) -> _Target | str:
    """The target, or the cause that FreeSWITCH names when there can be none."""
    words = text.split("/", 3)
    if words[0].lower() != "sofia" or len(words) < 3:
        return "CHAN_NOT_IMPLEMENTED"
    if words[1].lower() == "gateway":
        gateway = node.gateways.find(words[2])
        profile = node.profile(gateway.profile) if gateway else None
        if gateway is None or profile is None or len(words) < 4:
            return "INVALID_GATEWAY"
        return _Target(words[3], gateway.address, profile, gateway)
    profile = node.profile(words[1])
    if profile is None:
        return "INVALID_PROFILE"
    number, at, address = words[2].partition("@")
    address = address.partition(";")[0]
    return _Target(number.removeprefix("sip:"), address, profile) if at else "DESTINATION_OUT_OF_ORDER"


def _leg(node: Node, target: _Target, variables: dict[str, str]) -> Leg | None:
    leg_uuid = variables.get("origination_uuid") or str(uuid.uuid4())
    if leg_uuid in node.legs:
        return None
    number = variables.get("origination_caller_id_number", "0000000000")
    name = f"sofia/{target.profile.name}/{target.number}"
    profile = Profile(
        direction="outbound",
        name=variables.get("origination_caller_id_name", ""),
        number=number,
        network_addr="",
        destination=target.number,
        context="default",
        channel_name=name if target.gateway else f"{name}@{target.address}",
        callee_number=target.number,
    )
    channel = Channel(leg_uuid, profile, node.wall, node.publish, global_variable=node.global_variable)
    channel.variables = {
        "direction": "outbound",
        "is_outbound": "true",
        "uuid": leg_uuid,
        "call_uuid": leg_uuid,
        "session_id": str(next(node.session_ids)),
    }
    if target.gateway:
        channel.variables |= {"sip_gateway_name": target.gateway.name, "sip_profile_name": "gateway"}
        for variable in target.gateway.variables:
            if variable.direction != "inbound":
                channel.variables[variable.name] = variable.value
    channel.variables["channel_name"] = profile.channel_name
    channel.variables["sip_destination_url"] = f"sip:{target.number}@{target.address}"
    channel.variables |= variables
    channel.variables |= {"originate_early_media": "false", "originate_endpoint": "sofia"}
    channel.variables |= {"sofia_profile_name": target.profile.name, "sofia_profile_url": target.profile.url}
    leg = Leg(node, channel, APPLICATIONS, inbound=False)
    node.add_leg(leg)
    channel.fire("CHANNEL_CREATE")
    return leg


def _dial(node: Node, leg: Leg, target: _Target, variables: dict[str, str]) -> str:
    """Ring the target; returns the cause of failure, or an empty text when it answered."""
    timeout = leading_number(variables.get("originate_timeout", "")) or _DEFAULT_TIMEOUT
    host, _, port = target.address.rpartition(":")
    own = node.own_profile(host, int(port)) if port.isdigit() else None
    if own is not None:
        return _dial_ourselves(node, leg, target, timeout)
    password = target.gateway.password if target.gateway else ""
    username = target.gateway.auth_username if target.gateway else ""
    scripted = node.carriers.call(target.address)
    if scripted is not None:
        return _dial_scripted(leg, scripted, variables)
    answer = node.carriers.invite(target.address, username, password)
    if answer.delay:
        leg.pause(min(answer.delay, timeout))
        if leg.channel.down:
            return leg.channel.cause
        if answer.delay >= timeout:
            return "NO_ANSWER"
    if answer.status == 200:
        leg.channel.profile.network_addr = host
        leg.channel.state = "CS_CONSUME_MEDIA"
        leg.ring()
        leg.answer()
        return ""
    return _refused(leg, answer)


def _dial_scripted(leg: Leg, answer: CallAnswer, variables: dict[str, str], asked: int = 1) -> str:
    """A carrier that rings, keeps us waiting, or says nothing; FreeSWITCH's own patience ends what it does not."""
    timeout = leading_number(variables.get("originate_timeout", "")) or _DEFAULT_TIMEOUT
    leg.channel.state = "CS_CONSUME_MEDIA"
    if answer.early_media:
        leg.pre_answer()
    elif answer.rings:
        leg.ring()
    if answer.early_media and variables.get("ignore_early_media") == "false":
        leg.node.spawn(lambda: _end_early(leg, answer), "an early leg")
        return ""
    wanted = answer.seconds if answer.status and not answer.is_silent else timeout
    if wanted:
        leg.pause(min(wanted, timeout))
    if leg.channel.down:
        return leg.channel.cause
    if not answer.status or answer.is_silent or answer.seconds > timeout:
        return "NO_ANSWER"
    if answer.status == 200:
        leg.answer()
        return ""
    if answer.status < 400 and variables.get(_NO_REDIRECT) != "true" and asked < _REDIRECTIONS:
        beyond = leg.node.carriers.call(answer.contact)
        return _dial_scripted(leg, beyond, variables, asked + 1) if beyond else "NO_ROUTE_DESTINATION"
    return _refused(leg, Answer(answer.status, ""))


def _end_early(leg: Leg, answer: CallAnswer) -> None:
    """The final answer on a leg that was parked while its audio was early."""
    leg.node.wait(leg.ended, answer.seconds or 3600.0)
    if leg.channel.down or not answer.status:
        return
    if answer.status == 200:
        leg.answer()
    else:
        leg.hang_up(_refused(leg, Answer(answer.status, "")))


def _refused(leg: Leg, answer: Answer) -> str:
    channel, status = leg.channel, str(answer.status)
    channel.set("proto_specific_hangup_cause", f"sip:{status}")
    if answer.status < 400:  # FreeSWITCH hangs up as if by itself
        channel.set("sip_invite_failure_status", "487")
        channel.set("sip_invite_failure_phrase", "CANCEL")
        leg.refused("send_cancel")
        return "REQUESTED_CHAN_UNAVAIL"
    cause = causes.cause_of(answer.status)
    told = answer.status not in _WITHOUT_DISPOSITION
    if told:
        channel.set("sip_hangup_disposition", "recv_refuse")
        channel.set("sip_invite_failure_status", status)
        channel.set("sip_invite_failure_phrase", answer.phrase)
    channel.set("sip_term_status", status)
    channel.set("sip_term_cause", str(causes.Q850.get(cause, 16)))
    leg.refused("recv_refuse" if told else "")
    return cause


def _dial_ourselves(node: Node, leg: Leg, target: _Target, timeout: float) -> str:
    """The call leaves by our own profile and comes back in: two legs, each hung up when the other is."""
    host, _, port = target.address.rpartition(":")
    number = leg.channel.profile.number
    text = (
        f"INVITE sip:{target.number}@{target.address} SIP/2.0\n"
        f"Via: SIP/2.0/UDP {target.address};rport;branch=z9hG4bK{leg.channel.uuid[:12]}\n"
        "Max-Forwards: 69\n"
        f'From: "{leg.channel.profile.name}" <sip:{number}@{host}>;tag={leg.channel.uuid[:8]}\n'
        f"To: <sip:{target.number}@{target.address}>\nCall-ID: {leg.channel.uuid}\nCSeq: 1 INVITE\n"
        f"Contact: <sip:mod_sofia@{target.address}>\nUser-Agent: fscontrol\nContent-Type: application/sdp\n"
        "Content-Length: 0\n\n"
        f"v=0\no=FreeSWITCH 1 2 IN IP4 {host}\ns=FreeSWITCH\nc=IN IP4 {host}\nt=0 0\nm=audio 30000 RTP/AVP 0 8 101\n"
        "a=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=rtpmap:101 telephone-event/8000\na=ptime:20\n"
    )
    inbound = place_invite(node, text.encode(), (host, int(port)))
    leg.on_down.append(lambda: inbound.leave(leg.channel.cause))
    if not node.wait(inbound.final, timeout):
        return "NO_ANSWER"
    if leg.channel.down:
        return leg.channel.cause
    status = inbound.statuses[-1]
    if status != 200:
        return _refused(leg, Answer(status, ""))
    leg.channel.state = "CS_CONSUME_MEDIA"
    leg.answer()
    inbound.on_end.append(lambda: leg.hang_up(inbound.channel.cause, "recv_bye"))
    return ""


def _after_answer(leg: Leg, then: str) -> None:
    """Run the application behind `&`, or the dialplan for an extension, on the answered leg."""
    try:
        leg.channel.state = "CS_EXECUTE"
        application = _APPLICATION.match(then)
        if application:
            leg.execute(application[1], application[2] or "")
        else:
            words = then.split()
            leg.transfer_to(words[0], words[2] if len(words) > 2 else "default")
        leg.follow_transfers()
    finally:
        leg.finish()
