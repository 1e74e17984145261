"""The breakers of all trunks: kept in the store, so that they outlive a restart and all control planes have the same.

Owns: changing one by compare-and-set, so that of many calls over all control planes one is the probe; going on from
memory while the store is away; telling of changes. Refuses: rules (`breaker` has them), calls in progress (a breaker
that opens ends none), and clocks but the machines' own: they must agree to within the pauses.

A call costs one small read when it asks and one write when it tells. What is shown comes from memory, a second old.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import gevent

from fscontrol.calls import breaker as rules_of
from fscontrol.calls.breaker import Breaker, BreakerRules, BreakerState, Permission
from fscontrol.calls.permissions import CarrierOutcome
from fscontrol.errors import StoreError
from fscontrol.model.trunk_figures import TrunkKey
from fscontrol.store.trunk_state import BREAKERS_KEPT_SECONDS, TrunkStateStore
from fscontrol.telemetry.greenlets import spawn
from fscontrol.telemetry.outages import Outage

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How long until all control planes show what one of them changed, and how long a store that failed is left alone."""
_MOST_KNOWN = 10_000
_MOST_TRIES = 100
"""Each failure means that somebody else's change went through."""

Step = Callable[[Breaker], Breaker]
Told = Callable[[TrunkKey, Breaker], None]


@dataclass(frozen=True, slots=True)
class _Known:
    """A breaker as it was last seen, and the text it stands as in the store."""

    text: str
    breaker: Breaker


_NEW = _Known("", Breaker())


class Breakers:
    """A `Gate`. `clock` is seconds since the epoch; `told` hears of each change of
    state that is made here, so of all control planes one tells it. `rules` None: all is free."""

    def __init__(
        self, store: TrunkStateStore, rules: BreakerRules | None, clock: Callable[[], float], told: Told
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._told = told
        self._known: OrderedDict[TrunkKey, _Known] = OrderedDict()
        self._tripped: dict[TrunkKey, _Known] = {}
        self._unsaved: set[TrunkKey] = set()
        self._away_until = 0.0
        self._failing = Outage()
        self._greenlet: gevent.Greenlet[..., object] | None = None

    def start(self) -> None:
        """Read those that are tripped, and follow what others make of them."""
        if self._rules is not None:
            self._look_safely()
            self._greenlet = spawn("breakers", self._run)

    def stop(self) -> None:
        """End; what the store has not yet is tried once more."""
        if self._greenlet is not None:
            self._greenlet.kill(timeout=2)
            if self._unsaved:
                self._look_safely()

    def permission(self, trunk: TrunkKey, call_sid: str) -> Permission:
        """See `Gate`."""
        rules = self._rules
        if rules is None:
            return Permission.FREE
        answer = Permission.FREE

        def step(breaker: Breaker) -> Breaker:
            nonlocal answer
            answer, after = rules_of.ask(breaker, rules, self._clock(), call_sid)
            return after

        self._change(trunk, step, is_first=True)
        return answer

    def report(
        self, trunk: TrunkKey, call_sid: str, outcome: CarrierOutcome, why: str = ""
    ) -> BreakerState | None:
        """See `Gate`."""
        rules = self._rules
        if rules is None:
            return None

        def step(breaker: Breaker) -> Breaker:
            match outcome:
                case CarrierOutcome.CARRIER_FAILURE:
                    return rules_of.failed(breaker, rules, self._clock(), why, call_sid)
                case CarrierOutcome.NOTHING:
                    return rules_of.given_up(breaker, call_sid)
                case _:
                    return rules_of.carried(breaker, rules, self._clock(), call_sid)

        before, after = self._change(trunk, step)
        return after.state if after.state is not before.state else None

    def reset(self, trunk: TrunkKey) -> Breaker:
        """Close it by hand; what it was."""
        return self._change(trunk, lambda breaker: rules_of.reset(breaker, self._clock()), is_first=True)[0]

    def why(self, trunk: TrunkKey) -> str:
        """See `Gate`."""
        found = self.of(trunk)
        if found.state is BreakerState.HALF_OPEN:
            return "one call finds out whether the carrier is back"
        return found.why if found.is_tripped else ""

    def of(self, trunk: TrunkKey) -> Breaker:
        """How it is, as last seen."""
        if self._rules is None:
            return Breaker()
        return (self._tripped.get(trunk) or self._known.get(trunk) or _NEW).breaker

    def count(self, state: BreakerState) -> int:
        """How many are open, or half-open."""
        return sum(known.breaker.state is state for known in self._tripped.values())

    @property
    def tripped(self) -> list[TrunkKey]:
        """The trunks that calls are kept from."""
        return list(self._tripped)

    def _change(self, trunk: TrunkKey, step: Step, *, is_first: bool = False) -> tuple[Breaker, Breaker]:
        """What it was and what it is. `is_first`: what was seen before may be long past, so ask the store."""
        if self._clock() >= self._away_until:
            try:
                if trunk in self._unsaved:
                    self._save(trunk)
                return self._change_in_store(trunk, step, None if is_first else self._seen(trunk).text)
            except StoreError as error:
                self._away_until = self._clock() + LOOK_SECONDS
                if self._failing.begins():
                    log.warning("breakers go on from memory", extra={"reason": str(error)})
        before = self._seen(trunk)
        after = step(before.breaker)
        if after != before.breaker:
            self._unsaved.add(trunk)
            self._learn(trunk, self._stamped(before.breaker, after))
            self._tell(trunk, before.breaker, after)
        return before.breaker, after

    def _change_in_store(
        self, trunk: TrunkKey, step: Step, remembered: str | None
    ) -> tuple[Breaker, Breaker]:
        """What is `remembered` is good to begin with, and no proof that there is nothing to change."""
        text = self._store.breaker(trunk) if remembered is None else remembered
        is_fresh = remembered is None
        for _ in range(_MOST_TRIES):
            before = _read(text)
            after = step(before)
            if after == before:
                if is_fresh:
                    self._learn(trunk, _Known(text, before))
                    return before, before
                text, is_fresh = self._store.breaker(trunk), True
                continue
            new = self._stamped(before, after)
            done, text = self._store.swap_breaker(
                trunk, text, new.text, tripped=after.is_tripped, now=self._clock()
            )
            if done:
                self._learn(trunk, new)
                self._tell(trunk, before, new.breaker)
                return before, new.breaker
            is_fresh = True
        raise StoreError(f"the breaker of trunk {trunk[1]} changes faster than it can be read")

    def _stamped(self, before: Breaker, after: Breaker) -> _Known:
        stamp = max(before.stamp + 1, int(self._clock() * 1000))
        breaker = after.model_copy(update={"stamp": stamp})
        return _Known(breaker.model_dump_json(exclude_defaults=True), breaker)

    def _seen(self, trunk: TrunkKey) -> _Known:
        return self._known.get(trunk) or self._tripped.get(trunk) or _NEW

    def _learn(self, trunk: TrunkKey, found: _Known) -> None:
        """Remember the newest; what was read before a later change was made is of no use."""
        old = self._seen(trunk)
        if found.breaker.stamp <= old.breaker.stamp:
            return
        self._known[trunk] = found
        self._known.move_to_end(trunk)
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        if found.breaker.is_tripped:
            self._tripped[trunk] = found
        else:
            self._tripped.pop(trunk, None)

    def _tell(self, trunk: TrunkKey, before: Breaker, after: Breaker) -> None:
        if before.state is not after.state:
            self._told(trunk, after)

    def _save(self, trunk: TrunkKey) -> None:
        """Put what was changed in memory, unless others are worse off: they know more. Raises `StoreError`."""
        text = self._store.breaker(trunk)
        stored, mine = _read(text), self._seen(trunk)
        if stored.is_tripped and not mine.breaker.is_tripped:
            self._learn(trunk, _Known(text, stored.model_copy(update={"stamp": mine.breaker.stamp + 1})))
        elif not self._store.swap_breaker(
            trunk, text, mine.text, tripped=mine.breaker.is_tripped, now=self._clock()
        )[0]:
            return  # another change came in between: once more at the next look
        self._unsaved.discard(trunk)

    def look(self) -> None:
        """Save what is not saved, and learn what others changed. Raises `StoreError`."""
        for trunk in list(self._unsaved):
            self._save(trunk)
        seen = dict(self._tripped)
        stored = self._store.tripped_breakers()
        for trunk, text in stored.items():
            self._learn(trunk, found := _Known(text, _read(text)))
            self._forget_if_old(trunk, found)
        for trunk in seen.keys() - stored.keys() - self._unsaved:
            if self._tripped.get(trunk) is seen[trunk]:
                text = self._store.breaker(trunk)
                later = max(_read(text).stamp, seen[trunk].breaker.stamp + 1)  # it may be gone altogether
                self._learn(trunk, _Known(text, _read(text).model_copy(update={"stamp": later})))

    def _forget_if_old(self, trunk: TrunkKey, found: _Known) -> None:
        last = max(found.breaker.since, found.breaker.until, found.breaker.probe_since or 0.0)
        if self._clock() - last > BREAKERS_KEPT_SECONDS:
            self._store.swap_breaker(trunk, found.text, "", tripped=False, now=self._clock())

    def _look_safely(self) -> None:
        try:
            self.look()
        except StoreError as error:
            if self._failing.begins():
                log.warning("breakers are not known anew", extra={"reason": str(error)})
        else:
            if self._failing.ends():
                log.info("breakers are known again")

    def _run(self) -> None:
        while True:
            gevent.sleep(LOOK_SECONDS)
            self._look_safely()


def _read(text: str) -> Breaker:
    return Breaker.model_validate_json(text) if text else Breaker()
