"""How a trunk's calls have been going: answer-seizure ratio, average duration, mean opinion score.

Owns: the figures of this process over a sliding window, from calls that ended; a call costs the same however many
there are. Refuses: calls of no trunk, and calls going out, which there are not yet.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from fscontrol.model.call import CallRecord

WINDOW_SECONDS = 3600.0
_SLICES = 60
_MOST_TRUNKS = 100_000


@dataclass(frozen=True, slots=True)
class Figures:
    """`asr` in percent, `acd` in seconds; 0 where no call in the window says anything."""

    asr: float = 0.0
    acd: int = 0
    mos: float = 0.0


class TrunkFigures(Protocol):
    """Whoever knows how a trunk's calls have been going."""

    def of(self, organization: str, trunk_id: str) -> Figures: ...


@dataclass(slots=True)
class _Slice:
    """Sums over one slice of time."""

    number: int
    calls: int = 0
    answered: int = 0
    seconds: int = 0
    scored: int = 0
    mos: float = 0.0


@dataclass(slots=True)
class Window:
    """One trunk's window as slices of time, oldest first: at most `_SLICES` of them, whatever the traffic."""

    seconds: float = WINDOW_SECONDS
    _slices: deque[_Slice] = field(default_factory=deque)

    def add(self, now: float, *, seconds: int | None, mos: float | None) -> None:
        """A call that ended now. `seconds`: how long it was answered; None: it was not."""
        number = self._slice_at(now)
        if not self._slices or self._slices[-1].number < number:
            self._slices.append(_Slice(number))
            self._forget(number)
        here = self._slices[-1]
        here.calls += 1
        if seconds is not None:
            here.answered += 1
            here.seconds += seconds
        if mos is not None:
            here.scored += 1
            here.mos += mos

    def figures(self, now: float) -> Figures:
        """The figures as of now."""
        self._forget(self._slice_at(now))
        calls = sum(each.calls for each in self._slices)
        answered = sum(each.answered for each in self._slices)
        scored = sum(each.scored for each in self._slices)
        return Figures(
            round(100 * answered / calls, 2) if calls else 0.0,
            round(sum(each.seconds for each in self._slices) / answered) if answered else 0,
            round(sum(each.mos for each in self._slices) / scored, 2) if scored else 0.0,
        )

    def _slice_at(self, now: float) -> int:
        return int(now // (self.seconds / _SLICES))

    def _forget(self, number: int) -> None:
        while self._slices and self._slices[0].number <= number - _SLICES:
            self._slices.popleft()


class InboundFigures:
    """The windows of all trunks; `clock` is monotonic seconds. The trunk that was idle longest is forgotten first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows: OrderedDict[tuple[str, str], Window] = OrderedDict()

    def call_ended(self, record: CallRecord) -> None:
        """Count a call that is over."""
        if record.organization_key is None or record.trunk_id is None or record.direction != "inbound":
            return
        key = (record.organization_key, record.trunk_id)
        window = self._windows.setdefault(key, Window())
        self._windows.move_to_end(key)
        seconds = None if record.answered_at is None else record.duration_seconds or 0
        window.add(self._clock(), seconds=seconds, mos=record.mos)
        if len(self._windows) > _MOST_TRUNKS:
            self._windows.popitem(last=False)

    def of(self, organization: str, trunk_id: str) -> Figures:
        """A trunk's figures; all 0 when it had no call."""
        window = self._windows.get((organization, trunk_id))
        return window.figures(self._clock()) if window else Figures()
