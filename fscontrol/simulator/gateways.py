"""The gateways of one profile: the state machine of sofia_reg.c, without SIP and without a clock of its own.

Owns: which gateways exist, their states, retries, refreshes and pings. The caller passes the time in and calls `tick`
once a second, as sofia's worker thread does; events go to a callback. Refuses: changing a gateway that is loaded.

The order of things inside one tick is FreeSWITCH's: first deletions, then every gateway once, the newest first. That
is why a gateway killed and started again at once registers *before* its predecessor takes the binding away.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fscontrol.simulator.carriers import Answer, Carriers
from fscontrol.simulator.configuration import ProfileConfig
from fscontrol.simulator.gateway import Gateway, RegState, leading_number, refusal

MOST_REGISTERS_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class RegisterSent:
    """A REGISTER that would have gone out at epoch second `time`; `expires` 0 takes this Contact's binding away."""

    time: float
    gateway: str
    contact: str
    expires: int
    address: str
    status: int = 200
    """The final answer; 408 when there is none."""


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """What happened to a gateway: `what` is add, delete or state; the rest is what `sofia::gateway_state` carries."""

    what: str
    gateway: str
    profile: str
    state: str = ""
    ping_status: str = ""
    network: tuple[str, str] | None = None
    status: int = 0
    phrase: str = ""


class GatewayTable:
    """All gateways of a profile. `emit` gets every event in order; `registers` keeps what was sent."""

    def __init__(self, carriers: Carriers, emit: Callable[[GatewayEvent], None]) -> None:
        self.registers: deque[RegisterSent] = deque(maxlen=MOST_REGISTERS_KEPT)
        self._carriers = carriers
        self._emit = emit
        self._oldest_first: list[Gateway] = []
        self._by_name: dict[str, Gateway] = {}
        self._due: list[tuple[float, int, str, Gateway, Answer]] = []
        self._counter = itertools.count()

    def __iter__(self) -> Iterator[Gateway]:
        """Newest first, those marked for deletion included: the order of every sofia list."""
        return reversed(self._oldest_first)

    def find(self, name: str) -> Gateway | None:
        """The gateway of that name, unless it is marked for deletion. `external::NAME` finds it too."""
        gateway = self._by_name.get(name.rpartition("::")[2])
        return None if gateway is None or gateway.deleted else gateway

    def add_from(self, profile: ProfileConfig, now: float, only: str | None = None) -> None:
        """Load the gateways of the XML whose name is new; one that is loaded is left as it is."""
        for config in profile.gateways:
            if only is not None and config.name != only:
                continue
            if self.find(config.name) is None and refusal(config, profile) is None:
                gateway = Gateway(config, profile, now)
                self._oldest_first.append(gateway)
                self._by_name[gateway.name] = gateway
                self._emit(GatewayEvent("add", gateway.name, gateway.profile))

    def kill(self, name: str) -> bool:
        """Mark for deletion; False when there is no such gateway. It goes away in the next tick, or the one after."""
        gateway = self.find(name)
        if gateway is None:
            return False
        self._mark(gateway)
        return True

    def register(self, name: str) -> bool | None:
        """Have it try in the next tick; False when it does not register at all, None when there is no such gateway.

        The failures in a row are not forgotten (run, 1.10.12): a carrier that refuses again is waited for longer.
        """
        gateway = self.find(name)
        if gateway is None:
            return None
        if gateway.state is RegState.NOREG:
            return False
        gateway.retry = 0
        gateway.state = RegState.UNREGED
        return True

    def kill_all(self) -> None:
        """Mark every gateway for deletion."""
        for gateway in self._oldest_first:
            self._mark(gateway)

    def tick(self, now: float) -> None:
        """One round of sofia's worker, at epoch second `now`."""
        self._answers_due(now)
        self._delete()
        for gateway in reversed(self._oldest_first):
            before = gateway.state
            if gateway.ping and self._ping_due(gateway, now):
                self._send_ping(gateway, now)
            self._advance(gateway, now)
            if gateway.state is not before:
                self._changed(gateway)
        self._answers_due(now)

    def _mark(self, gateway: Gateway) -> None:
        if not gateway.deleted:
            if gateway.state is not RegState.NOREG:
                gateway.retry = 0
                gateway.state = RegState.UNREGISTER
            gateway.deleted = True

    def _delete(self) -> None:
        gone = [g for g in self._oldest_first if g.deleted and g.state in (RegState.NOREG, RegState.DOWN)]
        if not gone:
            return
        self._oldest_first = [
            g for g in self._oldest_first if not (g.deleted and g.state in (RegState.NOREG, RegState.DOWN))
        ]
        for gateway in reversed(gone):
            if self._by_name.get(gateway.name) is gateway:
                del self._by_name[gateway.name]
            self._emit(GatewayEvent("delete", gateway.name, gateway.profile))

    def _advance(self, gateway: Gateway, now: float) -> None:
        match gateway.state:
            case RegState.NOREG | RegState.DOWN:
                if not gateway.ping and not gateway.pinging and gateway.state is RegState.NOREG:
                    gateway.go_up(now)
            case RegState.REGISTER:
                gateway.failures = 0
                gateway.expires = int(now) + max(
                    1, gateway.freq - 15 if gateway.freq > 30 else gateway.freq // 2
                )
                gateway.state = RegState.REGED
                gateway.go_up(now)
            case RegState.UNREGISTER:
                if gateway.handle:
                    answer = self._carriers.register(gateway.address, gateway.auth_username, gateway.password)
                    self._sent(gateway, now, 0, answer)
                    gateway.handle = False
                gateway.state = RegState.DOWN
                gateway.up = False
            case RegState.UNREGED:
                self._register(gateway, now)
            case RegState.TIMEOUT:
                gateway.handle = False
                gateway.failures += 1
                gateway.failure_status = 908
                gateway.state = RegState.FAILED
            case RegState.FAILED:
                self._wait(gateway, now)
            case _:
                self._wait_over(gateway, now)

    def _wait_over(self, gateway: Gateway, now: float) -> None:
        if gateway.state is RegState.TRYING:
            if now >= gateway.reg_timeout:
                gateway.state = RegState.TIMEOUT
        elif now >= (gateway.retry if gateway.state is RegState.FAIL_WAIT else gateway.expires):
            gateway.state = RegState.UNREGED

    def _register(self, gateway: Gateway, now: float) -> None:
        gateway.handle = True
        gateway.retry = int(now) + gateway.retry_seconds
        gateway.reg_timeout = int(now) + gateway.reg_timeout_seconds
        gateway.state = RegState.TRYING
        answer = self._carriers.register(gateway.address, gateway.auth_username, gateway.password)
        self._sent(gateway, now, leading_number(gateway.expires_text), answer)
        self._expect("register", gateway, now, answer)

    def _wait(self, gateway: Gateway, now: float) -> None:
        seconds = gateway.retry_seconds
        if gateway.failure_status not in (503, 908) and gateway.failures >= 1:
            seconds *= gateway.failures
        gateway.retry = int(now) + seconds
        gateway.up = False
        gateway.state = RegState.FAIL_WAIT
        gateway.failure_status = 0

    def _ping_due(self, gateway: Gateway, now: float) -> bool:
        answerable = gateway.state in (RegState.NOREG, RegState.REGED)
        return answerable and now >= gateway.ping and not gateway.pinging and not gateway.deleted

    def _send_ping(self, gateway: Gateway, now: float) -> None:
        gateway.pinging = True
        gateway.ping_sent = now
        self._expect("options", gateway, now, self._carriers.options(gateway.address))

    def _expect(self, what: str, gateway: Gateway, now: float, answer: Answer) -> None:
        heapq.heappush(self._due, (now + answer.delay, next(self._counter), what, gateway, answer))

    def _answers_due(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            _due, _number, what, gateway, answer = heapq.heappop(self._due)
            if gateway.deleted:
                continue
            if what == "register":
                self._registered(gateway, answer, now)
            else:
                self._pinged(gateway, answer, now)

    def _registered(self, gateway: Gateway, answer: Answer, now: float) -> None:
        if not gateway.handle:
            return
        before = gateway.state
        known = gateway.network
        if answer.from_network:
            host, _, port = (
                gateway.address.rpartition(":") if ":" in gateway.address else (gateway.address, "", "5060")
            )
            gateway.network = (host, port)
        if answer.status == 200:
            gateway.state = RegState.REGISTER
        else:
            gateway.state = RegState.FAILED
            gateway.failure_status = answer.status
            gateway.failures += 1
        if gateway.state is not before or gateway.network != known:
            self._changed(gateway, answer)

    def _pinged(self, gateway: Gateway, answer: Answer, now: float) -> None:
        was_up = gateway.up
        if answer.status not in (408, 503):
            if gateway.state is RegState.FAILED:
                gateway.state = RegState.UNREGED
            if gateway.ping_count < gateway.ping_max:
                gateway.ping_count = max(0, gateway.ping_count) + 1
                if gateway.ping_count >= gateway.ping_min:
                    gateway.go_up(now)
            gateway.ping_time = (now - gateway.ping_sent) * 1000
        else:
            if gateway.state is RegState.REGED:
                gateway.state = RegState.FAILED
                gateway.ping_time = 0.0
            gateway.ping_count = max(0, gateway.ping_count - 1)
            if gateway.ping_count < gateway.ping_min and gateway.up:
                gateway.up = False
                gateway.ping_time = 0.0
        if gateway.up is not was_up:
            self._changed(gateway, answer)
        gateway.ping = int(now) + gateway.ping_freq
        gateway.pinging = False

    def _sent(self, gateway: Gateway, now: float, expires: int, answer: Answer) -> None:
        sent = RegisterSent(now, gateway.name, gateway.contact, expires, gateway.address, answer.status)
        self.registers.append(sent)

    def _changed(self, gateway: Gateway, answer: Answer | None = None) -> None:
        self._emit(
            GatewayEvent(
                "state",
                gateway.name,
                gateway.profile,
                gateway.state,
                gateway.status,
                gateway.network,
                answer.status if answer else 0,
                answer.phrase if answer else "",
            )
        )
