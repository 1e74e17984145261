"""The live figures of all trunks: counted as calls end, kept in the store, added up over control planes.

Owns: what is counted and not yet in the store, at most `FLUSH_SECONDS` of it: so much a kill loses, and so much of the
others' is not shown yet. A call costs one addition in memory. Refuses: to hold more than that; whoever looks asks the
store, whose sums are few for each trunk however many calls there were.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import gevent

from fscontrol.calls.figures import Figures, figures_of, slice_at, sums_of, window
from fscontrol.errors import StoreError
from fscontrol.model.call import CallRecord
from fscontrol.model.trunk_figures import FigureKey, Sums
from fscontrol.store.trunk_state import TrunkStateStore
from fscontrol.telemetry.greenlets import spawn
from fscontrol.telemetry.outages import Outage

log = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
_MOST_PENDING = 100_000

_Counted = dict[tuple[int, FigureKey], Sums]


@dataclass(frozen=True, slots=True)
class TrunkFigures:
    """Both directions together, and each; `concurrent` are the calls in progress now, both together."""

    both: Figures
    inbound: Figures
    outbound: Figures
    concurrent: int


class Tally:
    """`clock` is seconds since the epoch; `in_use` says how many calls there are in a scope (`Limits`)."""

    def __init__(
        self, store: TrunkStateStore, clock: Callable[[], float], in_use: Callable[[str], int]
    ) -> None:
        self._store = store
        self._clock = clock
        self._in_use = in_use
        self._pending: _Counted = {}
        self._leaving: _Counted = {}
        self._failing = Outage()
        self._greenlet: gevent.Greenlet[..., object] | None = None

    def start(self) -> None:
        """Begin to keep what is counted."""
        self._greenlet = spawn("figures of trunks", self._run)

    def stop(self) -> None:
        """Keep the last of it."""
        if self._greenlet is not None:
            self._greenlet.kill(timeout=2)
        self._flush_safely()

    def call_ended(self, record: CallRecord) -> None:
        """Count a call that is over."""
        for key, sums in sums_of(record):
            self._add((slice_at(self._clock()), key), sums)

    def of(self, organization: str, trunk_id: str) -> TrunkFigures:
        """A trunk's figures; all 0 when it had no call. Raises `StoreError`."""
        found = self.of_all(organization, trunk_id).get(trunk_id)
        return found or self.without_calls(organization, trunk_id)

    def without_calls(self, organization: str, trunk_id: str) -> TrunkFigures:
        """The figures of a trunk of which no call has ended within the window."""
        return self._figures(organization, trunk_id, {})

    def of_all(self, organization: str, trunk_id: str | None = None) -> dict[str, TrunkFigures]:
        """An organisation's trunks that had calls within the window. Raises `StoreError`."""
        slices = window(self._clock())
        counted = self._store.figures(organization, slices, trunk_id)
        for (number, key), sums in (*self._leaving.items(), *self._pending.items()):
            if key.organization == organization and number in slices and trunk_id in (None, key.trunk_id):
                counted[key] = counted.get(key, Sums()).plus(sums)
        by_trunk: dict[str, dict[str, Sums]] = {}
        for key, sums in counted.items():
            by_trunk.setdefault(key.trunk_id, {})[key.direction] = sums
        return {trunk: self._figures(organization, trunk, sums) for trunk, sums in by_trunk.items()}

    def flush(self) -> None:
        """Add to the store what was counted. Raises `StoreError`, and keeps it then.

        A store that took it and could not say so is told twice: better a call too many than one too few.
        """
        if not self._pending:
            return
        self._leaving, self._pending = self._pending, {}
        try:
            self._store.add_figures(self._leaving, window(self._clock()).start)
        except StoreError:
            self._leaving, again = {}, self._leaving
            for where, sums in again.items():
                self._add(where, sums)
            raise
        finally:
            self._leaving = {}

    def _add(self, where: tuple[int, FigureKey], sums: Sums) -> None:
        if where not in self._pending and len(self._pending) >= _MOST_PENDING:
            return  # the store has been away for so long, over so many trunks
        self._pending[where] = self._pending.get(where, Sums()).plus(sums)

    def _figures(self, organization: str, trunk_id: str, sums: dict[str, Sums]) -> TrunkFigures:
        return TrunkFigures(
            figures_of(_total(sums.values())),
            figures_of(sums.get("inbound", Sums())),
            figures_of(sums.get("outbound", Sums())),
            self._in_use(f"trunk:{organization}/{trunk_id}"),
        )

    def _flush_safely(self) -> None:
        try:
            self.flush()
        except StoreError as error:
            if self._failing.begins():
                log.warning("figures of trunks wait for the store", extra={"reason": str(error)})
        else:
            if self._failing.ends():
                log.info("figures of trunks are stored again")

    def _run(self) -> None:
        while True:
            gevent.sleep(FLUSH_SECONDS)
            self._flush_safely()


def _total(sums: Iterable[Sums]) -> Sums:
    total = Sums()
    for one in sums:
        total = total.plus(one)
    return total
