"""What a node's worker remembers of replacements under way.

Owns: since when a gateway waits for its carrier, what a carrier refused and until when that is not tried again, and
whose pass an event of a gateway concerns. Refuses: to be needed: all of it may be lost with the process, at the cost
of waiting anew or of one more REGISTER that is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from fscontrol.sofia.plan import Change, Plan
from fscontrol.sofia.replacing import Verdict

RETRY_REFUSED_SECONDS = 600.0
"""How long parameters that a carrier refused are left alone, unless they are pushed again or forced."""


@dataclass(slots=True)
class _Memory:
    """Of one organisation. Times are seconds of the clock."""

    since: dict[str, float] = field(default_factory=dict)
    refused: dict[str, tuple[str, float]] = field(default_factory=dict)
    watched: frozenset[str] = frozenset()
    due: float | None = None


class Attempts:
    """The replacements of one node; `patience` (seconds) is how long a gateway may take to register."""

    def __init__(self, clock: Callable[[], float], patience: float) -> None:
        self._clock = clock
        self._patience = patience
        self._memories: dict[str, _Memory] = {}
        self._owner: dict[str, str] = {}

    def waiting_since(self, key: str) -> Mapping[str, float]:
        """The gateways of an organisation that wait, and since when."""
        memory = self._memories.get(key)
        return dict(memory.since) if memory else {}

    def refused(self, key: str) -> Mapping[str, str]:
        """What carriers said to gateways of an organisation that are not to be tried again yet."""
        memory = self._memories.get(key)
        now = self._clock()
        still = (memory.refused if memory else {}).items()
        return {name: said for name, (said, at) in still if now - at < RETRY_REFUSED_SECONDS}

    def owner(self, name: str) -> str | None:
        """The organisation whose pass an event of this gateway concerns; None for one that nothing waits for."""
        return self._owner.get(name)

    def forget(self, keys: Iterable[str]) -> None:
        """Somebody pushed them: what was refused is tried again, and what waits may take its time anew."""
        for key in keys:
            self._put(key, None)

    def note(
        self, key: str, plan: Plan, loaded: Collection[str], now: float, elsewhere: Iterable[str] = ()
    ) -> None:
        """Remember what a plan of second `now` leaves open for one organisation; what it kills counts as gone.

        `elsewhere` are gateways of other nodes that are to leave those: what they do concerns it, too.
        """
        unsettled = [c for c in plan.changes if c.replaces or c.away or c.verdict is not Verdict.ACCEPTED]
        named = {name for change in unsettled for name in (change.name, *change.replaces)}
        there = {name for name in named if name in loaded}.difference(plan.to_kill)
        earlier = self._memories.get(key) or _Memory()
        still_open = [change for change in unsettled if _is_open(change, there)]
        waiting = {
            name
            for change in still_open
            for name in (change.replaces if _takes_over(change) else (change.name,))
            if name in there
        }
        since = {name: earlier.since.get(name, now) for name in waiting}
        refused = {
            change.name: (change.said, self._refused_at(earlier, change.name, now))
            for change in plan.changes
            if change.verdict is Verdict.REFUSED and change.said and change.away is None
        }
        watched = {name for change in still_open for name in (change.name, *change.replaces)} | set(elsewhere)
        watched |= {g.name for change in still_open if change.away for g in change.away.gateways}
        ends = (at + self._patience for at in since.values())
        due = min((end for end in ends if end > now), default=None)
        memory = _Memory(since, refused, frozenset(watched | set(plan.to_register_again)), due)
        self._put(key, memory if memory.watched or refused else None)

    def next_due(self) -> float | None:
        """When the patience with some gateway ends, in seconds of the clock; None when nothing waits."""
        return min((m.due for m in self._memories.values() if m.due is not None), default=None)

    def due(self) -> list[str]:
        """The organisations with a gateway whose patience is over now."""
        now = self._clock()
        return [key for key, m in self._memories.items() if m.due is not None and m.due <= now]

    @staticmethod
    def _refused_at(earlier: _Memory, name: str, now: float) -> float:
        """When it was refused; a refusal that came after the last had lapsed is a new one."""
        at = earlier.refused.get(name, ("", now))[1]
        return at if now - at < RETRY_REFUSED_SECONDS else now

    def _put(self, key: str, memory: _Memory | None) -> None:
        before = self._memories.pop(key, None)
        for name in before.watched if before else ():
            self._owner.pop(name, None)
        if memory is not None:
            self._memories[key] = memory
            self._owner |= dict.fromkeys(memory.watched, key)


def _takes_over(change: Change) -> bool:
    return change.verdict is Verdict.ACCEPTED and change.away is None


def _is_open(change: Change, there: Collection[str]) -> bool:
    """Whether something is still to come of it: an answer, or the leave of what is not in force."""
    if change.away is not None:
        return change.name in there
    match change.verdict:
        case Verdict.ACCEPTED:
            return any(name in there for name in change.replaces)
        case Verdict.REFUSED:
            return change.name in there
        case Verdict.WAITING | Verdict.UNANSWERED:
            return True
