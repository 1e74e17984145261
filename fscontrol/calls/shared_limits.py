"""How many calls at once and a second, when several control planes share a store: counted there, exactly.

Owns: what this process holds, kept the same here and there; counting alone while the store is away, which is said once.
Refuses: to let a call fail because the store does: then each control plane counts its own calls, and once the store is
back they count there, beyond the limit if need be, until they end.

A place is given back in the background, so nobody who ends a call waits; a call that takes one again waits for that.
What a killed greenlet or a lost answer leaves in the store and nobody here knows of, `_compare` gives back.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence

import gevent
from gevent.event import Event as Flag

from fscontrol.calls.forgotten_places import ForgottenPlaces
from fscontrol.calls.limits import Limits, Places
from fscontrol.errors import StoreError
from fscontrol.model.call import CallRecord
from fscontrol.model.limits import Refusal, Scope
from fscontrol.store.base import Store
from fscontrol.store.shared_places import SharedPlaces
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

COMPARE_SECONDS = 5.0
AGAIN_SECONDS = 0.5
"""How long after a failure the store is asked again."""
_MOST_KEPT = 10_000
"""Places whose giving back waits for the store; more are found by comparing."""


class SharedLimits(Places):
    """`name` is this control plane's; `record_of` a call's record in the store; `clock` monotonic seconds."""

    def __init__(
        self,
        shared: SharedPlaces,
        name: str,
        record_of: Callable[[str], CallRecord | None],
        clock: Callable[[], float],
        forgotten: ForgottenPlaces | None = None,
    ) -> None:
        super().__init__()
        self._shared = shared
        self._name = name
        self._record_of = record_of
        self._clock = clock
        self._forgotten = forgotten
        self._own = Limits(clock)
        self._asking: dict[str, bool] = {}
        """Calls for which a place is being asked for, and whether it was given back meanwhile."""
        self._given_back: set[str] = set()
        self._being_told: set[str] = set()
        self._told = Flag()
        self._woken = Flag()
        self._is_away = False
        self._differs = False
        self._greenlet: gevent.Greenlet[..., object] | None = None

    def start(self) -> None:
        """See `Places`."""
        self._greenlet = spawn("places", self._run)
        if self._forgotten is not None:
            self._forgotten.start()

    def stop(self) -> None:
        """See `Places`."""
        if self._forgotten is not None:
            self._forgotten.stop()
        if self._greenlet is not None:
            self._greenlet.kill(timeout=2)
        with contextlib.suppress(
            StoreError
        ):  # another finds them without us, and compares them with the records
            self._shared.release(self._given_back)

    def take(self, call_sid: str, scopes: Sequence[Scope]) -> Refusal | None:
        """See `Places`."""
        while call_sid in self._being_told:
            self._told.wait()
        if self._own.scopes_of(call_sid) is not None:
            return None
        self._given_back.discard(call_sid)  # the store gives back first what the call had
        if self._is_away:
            return self._own.take(call_sid, scopes)
        self._asking[call_sid] = False
        try:
            refusal = self._shared.take(self._name, call_sid, scopes)
        except StoreError as error:
            self._lose(error)
            return self._own.take(
                call_sid, scopes
            )  # should the store have counted it all the same: `_compare`
        except BaseException:
            self._asking[call_sid] = True  # killed, and nobody will know whether the store has counted it
            raise
        else:
            if refusal is None:
                self._own.restore(call_sid, [scope.name for scope in scopes])
            return refusal
        finally:
            if self._asking.pop(call_sid, False):
                self.release(call_sid)

    def restore(self, call_sid: str, scopes: Sequence[str]) -> None:
        """See `Places`. The store is told in the background; a call that another one holds there stays that one's."""
        self._given_back.discard(call_sid)
        self._own.restore(call_sid, scopes)
        self._differs = True
        self._woken.set()

    def release(self, call_sid: str) -> None:
        """See `Places`."""
        if call_sid in self._asking:
            self._asking[call_sid] = True
        self._own.release(call_sid)
        self._given_back.add(call_sid)
        self._woken.set()
        if self._is_away:
            self._freed()

    def in_use(self, scope: str) -> int:
        """See `Places`. While the store is away, those of this process."""
        if not self._is_away:
            try:
                return self._shared.in_use(scope)
            except StoreError as error:
                self._lose(error)
        return self._own.in_use(scope)

    @property
    def holders(self) -> int:
        """See `Places`."""
        return self._own.holders

    def _run(self) -> None:
        compare_at = self._clock()
        while True:
            try:
                self._tell()
                if self._differs or self._is_away or self._clock() >= compare_at:
                    self._compare()
                    compare_at = self._clock() + COMPARE_SECONDS
            except StoreError as error:
                self._lose(error)
                gevent.sleep(AGAIN_SECONDS)
                continue
            if not self._given_back and not self._differs:
                self._woken.wait(COMPARE_SECONDS)
            self._woken.clear()

    def _tell(self) -> None:
        """Give back in the store what was given back here."""
        if not self._given_back:
            return
        self._being_told, self._given_back = self._given_back, set()
        self._told.clear()
        try:
            self._shared.release(self._being_told)
        except BaseException:
            if len(self._given_back) < _MOST_KEPT:
                self._given_back |= self._being_told
            raise
        finally:
            self._being_told = set()
            self._told.set()
        self._freed()

    def _compare(self) -> None:
        """Have the store count for us what we hold, and nothing else."""
        was_away, self._differs = self._is_away, False
        held = self._own.calls
        there = self._shared.calls_of(self._name)
        missing: dict[str, Sequence[str]] = {}
        for call_sid in held - there:
            record, scopes = self._record_of(call_sid), self._own.scopes_of(call_sid)
            if record is not None and record.status.is_final:
                self._own.release(call_sid)  # another wrote its end, and gave its place back
            elif scopes is not None:
                missing[call_sid] = scopes
        if missing:  # one that ends meanwhile is given back by the next `_tell`, which comes after this
            for call_sid in self._shared.restore(self._name, missing):
                self._own.release(call_sid)
        self._given_back |= there - self._own.calls - self._asking.keys()
        if was_away:  # lost meanwhile, it is asked again
            self._is_away = False
            self._differs = True  # what was taken while we compared is not there yet
            log.info("calls are counted in the store again")

    def _lose(self, error: StoreError) -> None:
        if not self._is_away:
            self._is_away = True
            said = "the store does not count calls; each control plane counts its own"
            log.warning(said, extra={"reason": str(error)})
        self._woken.set()


def make_places(store: Store, name: str, nodes: Sequence[str], clock: Callable[[], float]) -> Places:
    """What counts calls: together with the store's other users where the store can count, alone where not."""
    shared = store.shared_places()
    if shared is None:
        return Limits(clock)
    return SharedLimits(shared, name, store.call, clock, ForgottenPlaces(shared, store, name, nodes))
