"""Which alarms are to be raised and which are over; pure: every look is given the troubles and the time.

trouble appears → lasts for its patience → raised, once → gone for the debounce → over, once. A raised alarm whose
trouble is of another kind for as long is changed, and stays one. What nobody here can judge now (its node is lost, or
another control plane steers it) stays as it is.

Owns: patience, debounce, and telling many of a group as one. Refuses: to take a change for done; whoever keeps alarms
says so (`know`), so that of several control planes one tells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fscontrol.model.alarm import Alarm, AlarmEvent, AlarmKind, Trouble

MOST_SINGLE = 20
"""More of one group than this are one alarm, until they are no more than half as many."""
MOST_RAISED = 1_000
"""At once. More would be read by nobody."""


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """What is to become of an alarm: `before` and `after` as in a compare-and-set, None for none."""

    event: AlarmEvent
    before: Alarm | None
    after: Alarm | None

    @property
    def alarm(self) -> Alarm:
        """The alarm that is told of."""
        told = self.after or self.before
        if told is None:
            raise ValueError("a change of nothing")
        return told


class Alarms:
    """The raised ones, and what may become one. `debounce` is seconds without trouble before one is over."""

    def __init__(
        self, debounce: float, most_single: int = MOST_SINGLE, most_raised: int = MOST_RAISED
    ) -> None:
        self._debounce = debounce
        self._most_single = most_single
        self._most_raised = most_raised
        self._raised: dict[str, Alarm] = {}
        self._since: dict[str, tuple[AlarmKind, float]] = {}
        self._gone: dict[str, float] = {}

    @property
    def raised(self) -> list[Alarm]:
        """The alarms known to be raised, oldest first."""
        return sorted(self._raised.values(), key=lambda alarm: alarm.raised_at)

    def know(self, alarms: Iterable[Alarm]) -> None:
        """These are raised, and no others."""
        self._raised = {alarm.subject: alarm for alarm in alarms}

    def took(self, change: AlarmChange) -> None:
        """A change was made."""
        subject = change.alarm.subject
        self._gone.pop(subject, None)
        self._since.pop(subject, None)
        if change.after is None:
            self._raised.pop(subject, None)
        else:
            self._raised[subject] = change.after

    def look(
        self, troubles: Iterable[Trouble], may_judge: Callable[[Alarm], bool], now: float, at: float
    ) -> list[AlarmChange]:
        """What is to be changed. `now` counts seconds and never goes back; `at` is seconds since the epoch."""
        seen, held = self._grouped({trouble.subject: trouble for trouble in troubles})
        self._since = {
            subject: known
            for subject, known in self._since.items()
            if subject in seen and subject not in held
        }
        worse = [found for trouble in seen.values() if (found := self._worse(trouble, now, at))]
        room = max(0, self._most_raised - len(self._raised))
        new = [change for change in worse if change.before is None][:room]
        changes = [*new, *(change for change in worse if change.before is not None)]
        over = {
            subject
            for subject, alarm in self._raised.items()
            if subject not in seen and subject not in held and may_judge(alarm)
        }
        self._gone = {subject: self._gone.get(subject, now) for subject in over}
        changes += [
            AlarmChange(AlarmEvent.RECOVERED, alarm, None)
            for subject, since in self._gone.items()
            if now - since >= self._debounce and (alarm := self._raised[subject])
        ]
        return changes

    def _worse(self, trouble: Trouble, now: float, at: float) -> AlarmChange | None:
        before = self._raised.get(trouble.subject)
        if before is not None and before.kind is trouble.kind:
            self._since.pop(trouble.subject, None)
            return None
        kind, since = self._since.get(trouble.subject, (trouble.kind, now))
        if before is not None and kind is not trouble.kind:
            since = now  # not told yet, it would be the same trouble; told, it has to prove itself anew
        self._since[trouble.subject] = (trouble.kind, since)
        if now - since < trouble.patience:
            return None
        after = Alarm(
            subject=trouble.subject,
            kind=trouble.kind,
            detail=trouble.detail,
            raised_at=before.raised_at if before else at,
            node=trouble.node,
            gateway=trouble.gateway,
            organization=trouble.organization,
            trunk_id=trouble.trunk_id,
            sequence=before.sequence + 1 if before else 1,
        )
        return AlarmChange(AlarmEvent.CHANGED if before else AlarmEvent.RAISED, before, after)

    def _grouped(self, seen: dict[str, Trouble]) -> tuple[dict[str, Trouble], set[str]]:
        """The troubles as they are told, and the subjects that a group's alarm stands for."""
        sizes = Counter(trouble.group for trouble in seen.values() if trouble.group)
        many = {
            group
            for group, size in sizes.items()
            if size > (self._most_single // 2 if group in self._raised else self._most_single)
        }
        if not many:
            return seen, set()
        told, held = {}, set()
        details = {
            group: _detail_of([trouble for trouble in seen.values() if trouble.group == group])
            for group in many
        }
        for subject, trouble in seen.items():
            if trouble.group not in many:
                told[subject] = trouble
                continue
            held.add(subject)
            if trouble.group not in told:
                detail = details[trouble.group]
                told[trouble.group] = Trouble(
                    trouble.group, trouble.as_group, detail, trouble.patience, trouble.node
                )
        return told, held


def _detail_of(group: list[Trouble]) -> str:
    """How many there are, and what most of them have in common: that tells a carrier's trouble from the node's."""
    answer, have_it = Counter(trouble.detail for trouble in group).most_common(1)[0]
    said = f"{len(group)} at once, {have_it} of them: {answer}"
    places = Counter(trouble.where for trouble in group if trouble.where)
    if not places:
        return said
    place, are_there = places.most_common(1)[0]
    return f"{said}; {are_there} at {place}; different addresses: {len(places)}"
