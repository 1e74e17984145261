"""What a node remembers of trunks it owns that other nodes have not let go of yet; pure.

Owns: when their gateways are to register once more beyond what order alone asks for (`moving.to_register_again`).
Refuses: to be needed: it may be lost with the process, at the cost of time.

Once after the others are gone: a registrar may take every binding away at an un-REGISTER, whosever Contact it names.
And now and then while they stay: whoever steers their node may have missed what we saw, and waits for a binding that it
knows to be later than theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fscontrol.model.gateway import Gateway
from fscontrol.model.registration import Registration
from fscontrol.sofia.moving import may_hold_a_binding

AGAIN_SECONDS = 30.0


class Arrivals:
    """The trunks arriving on one node. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[str, dict[str, float]] = {}

    def note(
        self,
        key: str,
        leaving: Mapping[str, Sequence[Registration]],
        gateways: Sequence[Gateway],
        loaded: Mapping[str, Registration],
    ) -> list[str]:
        """The gateways of an organisation that are to register once more; `leaving` is by trunk."""
        now = self._clock()
        earlier = self._since.pop(key, {})
        there = {trunk for trunk, others in leaving.items() if any(map(may_hold_a_binding, others))}
        gone = earlier.keys() - there
        overdue = {trunk for trunk in there if now - earlier.get(trunk, now) >= AGAIN_SECONDS}
        if there:
            self._since[key] = {t: now if t in overdue else earlier.get(t, now) for t in there}
        mine = [loaded[g.name] for g in gateways if g.trunk_id in gone | overdue and g.name in loaded]
        return [registration.gateway for registration in mine if registration.is_registered]

    def forget(self) -> None:
        """Another control plane may have acted meanwhile."""
        self._since.clear()

    def next_due(self) -> float | None:
        """When the next of them is overdue, in seconds of the clock."""
        since = (at for trunks in self._since.values() for at in trunks.values())
        return min((at + AGAIN_SECONDS for at in since), default=None)

    def due(self) -> list[str]:
        """The organisations of which one is."""
        now = self._clock()
        return [k for k, trunks in self._since.items() if min(trunks.values()) + AGAIN_SECONDS <= now]
