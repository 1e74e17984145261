"""How a gateway registers, as its node reports it. A state, never "connected"."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class GatewayState(StrEnum):
    """sofia's states, and UNKNOWN for a gateway whose node we cannot see."""

    UNREGED = "UNREGED"
    TRYING = "TRYING"
    REGISTER = "REGISTER"
    REGED = "REGED"
    UNREGISTER = "UNREGISTER"
    FAILED = "FAILED"
    FAIL_WAIT = "FAIL_WAIT"
    EXPIRED = "EXPIRED"
    NOREG = "NOREG"
    DOWN = "DOWN"
    TIMEOUT = "TIMEOUT"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def parse(cls, text: str) -> GatewayState:
        """The state of that name; UNKNOWN for a word we do not know."""
        try:
            return cls(text.strip().upper())
        except ValueError:
            return cls.UNKNOWN


_ON_THE_WAY = frozenset(
    {GatewayState.UNREGED, GatewayState.TRYING, GatewayState.REGISTER, GatewayState.UNKNOWN}
)
"""A healthy refresh passes through the first three while the binding of before lasts."""
_PASSING = frozenset({408, 429, 480, 491})
ENDLESS_CHALLENGE = 904
"""What sofia-sip says when a challenge comes again after credentials were sent: they are not taken."""


def is_refusal(sip_status: int | None) -> bool:
    """Whether an answer to REGISTER is the carrier's last word on these parameters, such as 403.

    408, 429, 480, 491, every 5xx (503 is also what FreeSWITCH makes of a dead host) and its own 9xx may pass.
    """
    if sip_status is None or sip_status in _PASSING:
        return False
    return 300 <= sip_status <= 499 or 600 <= sip_status <= 699 or sip_status == ENDLESS_CHALLENGE


_NOT_DOWN = frozenset({GatewayState.REGED, GatewayState.UNKNOWN, GatewayState.UNREGISTER})
_NO_LOSS = _NOT_DOWN | {GatewayState.NOREG}


def is_loss(before: GatewayState | None, after: GatewayState) -> bool:
    """Whether a registration was lost there: not with its node out of sight, and not because we end it."""
    return before is GatewayState.REGED and after not in _NO_LOSS


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of the state shown. `at` is seconds since the epoch; `before` is None at first sight."""

    at: float
    before: GatewayState | None
    after: GatewayState
    sip_status: int | None = None
    phrase: str = ""


@dataclass(frozen=True, slots=True)
class Registration:
    """One gateway on one node. Times are seconds since the epoch; `sip_status` is the carrier's last answer.

    `state` stays REGED while a binding is refreshed, and `refreshing` says that it is. `expiry` is the seconds of
    binding that are asked for. `failures` is how often the carrier refused in a row, as far as we saw. `bound_at` is
    when it was last seen to be bound anew, whatever it is now: a failed refresh ends no binding. `told_at` is when an
    event last told of it.
    """

    node: str
    gateway: str
    state: GatewayState
    status: str
    since: float
    sip_status: int | None = None
    phrase: str = ""
    ping: str = ""
    refreshing: bool = False
    expiry: int = 0
    bound_at: float | None = None
    bound_until: float | None = None
    """The latest moment to which the carrier can hold the last binding; it may have granted less than was asked for."""
    next_retry_at: float | None = None
    failures: int = 0
    told_at: float | None = None
    timeline: tuple[Transition, ...] = ()
    """Oldest first, bounded."""

    @property
    def detail(self) -> str | None:
        """The carrier's answer in words, `403 Forbidden`, or None when there was none."""
        return answer_in_words(self.sip_status, self.phrase)

    @property
    def is_registered(self) -> bool:
        """Whether the carrier has accepted it and it stands. What a refresh comes to is not known before its end."""
        return self.state is GatewayState.REGED and not self.refreshing

    @property
    def is_on_the_way(self) -> bool:
        """Whether it registers just now, for the first time or in a refresh: the carrier may bind it any moment."""
        return self.refreshing or self.state in _ON_THE_WAY

    @property
    def is_down(self) -> bool:
        """Whether calls cannot be expected to go over it; one on its way for the first time is not up yet."""
        if self.state is GatewayState.NOREG:
            return self.status == "DOWN"
        return self.state not in _NOT_DOWN

    def losses(self, since: float) -> int:
        """How often it fell out of REGED since then. A node that was lost took its gateways along: that is none."""
        if not self.timeline or self.timeline[-1].at < since:
            return 0
        return sum(entry.at >= since and is_loss(entry.before, entry.after) for entry in self.timeline)

    @property
    def refusal(self) -> str:
        """The carrier's words when it refused for good, `403 Forbidden`; empty while it has not."""
        failed = self.state in (GatewayState.FAILED, GatewayState.FAIL_WAIT)
        return self.detail or "" if failed and is_refusal(self.sip_status) else ""


def answer_in_words(sip_status: int | None, phrase: str) -> str | None:
    """`403 Forbidden`, or None when there was no answer."""
    return f"{sip_status} {phrase}".strip() if sip_status else None
