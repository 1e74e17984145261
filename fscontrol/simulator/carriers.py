"""The carriers a stand-in's gateways meet, decided in process: no SIP is sent.

Owns: which address behaves how, and the answer to a REGISTER, an OPTIONS and an INVITE sent there.
Refuses: bindings and time; the gateways keep both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fscontrol.simulator.carrier import CarrierBehaviour


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back, `delay` seconds later. `from_network` is false for what FreeSWITCH makes up itself."""

    status: int
    phrase: str
    delay: float = 0.0
    from_network: bool = True


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """How a carrier treats an INVITE: 180 or 183 with audio at once, `status` after `seconds`; 0: never a final answer.

    `is_silent`: nothing at all comes back, not even a provisional answer. `contact`: where a 3xx sends the call.
    """

    status: int = 200
    rings: bool = False
    early_media: bool = False
    seconds: float = 0.0
    is_silent: bool = False
    contact: str = ""


_OK = Answer(200, "OK")
_FORBIDDEN = Answer(403, "Forbidden")
_UNAVAILABLE = Answer(503, "Service Unavailable")
# What sofia-sip says to itself when a challenge comes again after credentials were sent (run, 1.10.12).
_ENDLESS = Answer(904, "Operation has no matching challenge ", from_network=False)


class Carriers:
    """Behaviours by `host:port` or by host alone; the port wins, and `default` is for addresses nobody named."""

    def __init__(self, default: CarrierBehaviour = CarrierBehaviour.ACCEPT) -> None:
        self.default = default
        self.silence_seconds = 32.0
        """How long FreeSWITCH waits before it calls silence a timeout (64 times T1)."""
        self._behaviours: dict[str, CarrierBehaviour] = {}
        self._passwords: dict[str, dict[str, str]] = {}
        self._calls: dict[str, CallAnswer] = {}

    def __setitem__(self, address: str, behaviour: CarrierBehaviour) -> None:
        self._behaviours[address.lower()] = behaviour

    def __getitem__(self, address: str) -> CarrierBehaviour:
        return self.behaviour(address)

    def accounts(self, address: str, passwords: Mapping[str, str]) -> None:
        """The username → password pairs that a challenging carrier at `address` takes; without any it takes all."""
        self._passwords[address.lower()] = dict(passwords)

    def behaviour(self, address: str) -> CarrierBehaviour:
        """How the carrier at `host[:port]` behaves now."""
        address = address.lower()
        host = address if address.endswith("]") else address.rpartition(":")[0] or address
        return self._behaviours.get(address, self._behaviours.get(host, self.default))

    def register(self, address: str, username: str, password: str) -> Answer:
        """The final answer to a REGISTER with these credentials."""
        match self.behaviour(address):
            case CarrierBehaviour.ACCEPT:
                return _OK
            case CarrierBehaviour.CHALLENGE:
                return _OK if self._credentials_match(address, username, password) else _FORBIDDEN
            case CarrierBehaviour.FORBIDDEN:
                return _FORBIDDEN
            case CarrierBehaviour.UNAVAILABLE:
                return _UNAVAILABLE
            case CarrierBehaviour.SILENT:
                return self._timeout()
            case CarrierBehaviour.ENDLESS_CHALLENGE:
                return _ENDLESS

    def answer_calls(self, address: str, answer: CallAnswer) -> None:
        """Treat INVITEs to `host:port` like that, whatever is done with REGISTERs."""
        self._calls[address.lower()] = answer

    def call(self, address: str) -> CallAnswer | None:
        """How INVITEs are treated there; None: as `invite` says."""
        return self._calls.get(address.lower())

    def options(self, address: str) -> Answer:
        """The answer to a ping. Anything but 408 and 503 counts as alive."""
        behaviour = self.behaviour(address)
        if behaviour is CarrierBehaviour.SILENT:
            return self._timeout()
        return _UNAVAILABLE if behaviour is CarrierBehaviour.UNAVAILABLE else _OK

    def invite(self, address: str, username: str, password: str) -> Answer:
        """The final answer to an INVITE: 200 where a REGISTER would be taken."""
        return self.register(address, username, password)

    def _credentials_match(self, address: str, username: str, password: str) -> bool:
        passwords = self._passwords.get(address.lower())
        return passwords is None or (username in passwords and passwords[username] == password)

    def _timeout(self) -> Answer:
        return Answer(408, "Request Timeout", delay=self.silence_seconds, from_network=False)
