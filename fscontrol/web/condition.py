"""What an operator makes of a gateway's state: a few conditions, each with a word and a colour, and what to do; pure.

Owns: the words. sofia's own state is always shown beside them. Refuses: to know more than a registration does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from fscontrol.model.registration import GatewayState, is_refusal


class Condition(StrEnum):
    """From the worst to the best; the value is what stands in the query of the page."""

    REFUSED = "refused"
    FAILING = "failing"
    UNKNOWN = "unknown"
    REGISTERING = "registering"
    REGISTERED = "registered"
    STATIC = "static"

    @property
    def words(self) -> str:
        """As it is shown."""
        return _WORDS[self]

    @property
    def is_trouble(self) -> bool:
        """Whether somebody has to do something."""
        return self in TROUBLE


TROUBLE = (Condition.REFUSED, Condition.FAILING, Condition.UNKNOWN)
"""The worst first. What cannot be seen may be down: nobody may read of it that all is well."""
_WORDS: Mapping[Condition, str] = {
    Condition.REFUSED: "refused",
    Condition.FAILING: "failing",
    Condition.UNKNOWN: "unknown",
    Condition.REGISTERING: "registering",
    Condition.REGISTERED: "registered",
    Condition.STATIC: "no registration",
}
_ON_THE_WAY = frozenset({GatewayState.UNREGED, GatewayState.TRYING, GatewayState.REGISTER})


def condition_of(state: GatewayState, sip_status: int | None, status: str | None = None) -> Condition:
    """The condition of a gateway in this state, after this answer; `status` is what its pings say (UP, DOWN)."""
    if state is GatewayState.UNKNOWN:
        return Condition.UNKNOWN
    if state is GatewayState.NOREG:
        return Condition.FAILING if status == "DOWN" else Condition.STATIC
    if state is GatewayState.REGED:
        return Condition.REGISTERED
    if state in _ON_THE_WAY:
        return Condition.REGISTERING
    return Condition.REFUSED if is_refusal(sip_status) else Condition.FAILING


@dataclass(frozen=True, slots=True)
class Advice:
    """Why it is as it is, and what to do about it (empty: nothing)."""

    reason: str
    remedy: str = ""


_BY_STATUS: Mapping[int, Advice] = {
    401: Advice(
        "The carrier does not take the credentials: it asked for them again.",
        "Compare username, auth_username, password and realm of the trunk with what the carrier gave out.",
    ),
    403: Advice(
        "The carrier refuses this account, or takes its password for wrong.",
        "Compare username and password; ask the carrier whether the account is active and this address allowed.",
    ),
    404: Advice(
        "The carrier does not know this user.",
        "Compare username and from_domain: many carriers want their own domain there, and not an address.",
    ),
    408: Advice(
        "No answer came: the carrier is silent, or a firewall drops what we send or what it answers.",
        "Check the gateway's address, port and transport, and that a firewall lets SIP of the node out and back in.",
    ),
    423: Advice(
        "The carrier finds the asked expiry too short.",
        "Set expire_seconds of the trunk to what the carrier wants.",
    ),
    503: Advice(
        "The carrier is overloaded or away; FreeSWITCH says the same of a host that cannot be reached or resolved.",
        "Check that the name resolves on the node and the host is reachable; otherwise it is the carrier's to mend.",
    ),
}
_UNKNOWN = Advice(
    "The node is not connected: its gateways may be as before, or not.",
    "See what its row under Nodes says; calls in progress are FreeSWITCH's and go on meanwhile.",
)
_REFUSED = Advice(
    "The carrier refuses the registration.",
    "Its answer stands in the timeline; with the same parameters it will not be another one.",
)
_FAILING = Advice(
    "The carrier did not accept the last try; FreeSWITCH tries again.",
    "If it lasts: check the gateway's address and transport, and ask the carrier.",
)
_PING_DOWN = Advice(
    "The gateway does not register, and its OPTIONS pings are not answered.",
    "Check that the host is reachable from the node; set options_ping_seconds to null if it answers no OPTIONS.",
)
_FINE: Mapping[Condition, Advice] = {
    Condition.REGISTERED: Advice("The carrier has bound it: calls can come."),
    Condition.REGISTERING: Advice("A REGISTER is on its way; the carrier's answer decides."),
    Condition.STATIC: Advice("The trunk does not register (register=false): the carrier knows our address."),
    Condition.UNKNOWN: _UNKNOWN,
}


def advice_for(condition: Condition, state: GatewayState, sip_status: int | None) -> Advice:
    """Why, and what to do."""
    if condition in _FINE:
        return _FINE[condition]
    if state is GatewayState.NOREG:
        return _PING_DOWN
    known = _BY_STATUS.get(sip_status or 0)
    return known or (_REFUSED if condition is Condition.REFUSED else _FAILING)
