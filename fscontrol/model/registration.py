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


@dataclass(frozen=True, slots=True)
class Registration:
    """One gateway on one node. Times are seconds since the epoch; `sip_status` is the carrier's last answer."""

    node: str
    gateway: str
    state: GatewayState
    status: str
    since: float
    sip_status: int | None = None
    phrase: str = ""
    ping: str = ""

    @property
    def detail(self) -> str | None:
        """The carrier's answer in words, `403 Forbidden`, or None when there was none."""
        return f"{self.sip_status} {self.phrase}".strip() if self.sip_status else None
