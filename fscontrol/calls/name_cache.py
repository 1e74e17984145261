"""What is known of the names trunks are reached by, for how long, and what is to be asked next; pure.

Owns: the TTLs (clamped), asking again before an answer runs out, and keeping the last answer while DNS fails. Refuses:
to ask (`sources.py` does) and to know a clock; the time is passed in.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

from fscontrol.calls.admission import Question
from fscontrol.model.networks import Network

SHORTEST_TTL = 30.0
LONGEST_TTL = 3600.0
RETRY_SECONDS = 30.0
ASK_AGAIN_AT = 0.8
"""The part of a TTL after which it is asked again, so that there is always an answer that counts."""


def clamped(ttl: float) -> float:
    """A TTL within what is sensible here: zones say 0, and zones say a week."""
    return min(LONGEST_TTL, max(SHORTEST_TTL, ttl))


@dataclass(slots=True)
class _Entry:
    networks: tuple[Network, ...] = ()
    due: float | None = None
    """When it is to be asked; None while it is being asked."""
    asked: bool = False
    users: set[str] = field(default_factory=set)


class NameCache:
    """Answers by question. Each question has users; one that nobody uses is forgotten."""

    def __init__(self) -> None:
        self._entries: dict[Question, _Entry] = {}
        self._queue: list[tuple[float, str, str, Question]] = []
        self._by_user: dict[str, frozenset[Question]] = {}
        self._never_asked = 0

    @property
    def complete(self) -> bool:
        """Whether every question was answered, or failed, at least once."""
        return self._never_asked == 0

    def use(self, user: str, questions: Iterable[Question]) -> None:
        """From now on `user` needs these and no others. New ones are due at once, before all others."""
        new, old = frozenset(questions), self._by_user.get(user, frozenset())
        for question in new - old:
            if question not in self._entries:
                self._entries[question] = _Entry()
                self._never_asked += 1
                self._plan(question, 0.0)
            self._entries[question].users.add(user)
        for question in old - new:
            entry = self._entries[question]
            entry.users.discard(user)
            if not entry.users:
                self._never_asked -= not entry.asked
                del self._entries[question]
        if new:
            self._by_user[user] = new
        else:
            self._by_user.pop(user, None)

    def networks(self, question: Question) -> tuple[Network, ...]:
        """The last answer; nothing when there was none yet."""
        entry = self._entries.get(question)
        return entry.networks if entry else ()

    def take_due(self, now: float) -> Question | None:
        """The next question to ask now, or None. It is not given again before it is answered or failed."""
        while self._queue and self._queue[0][0] <= now:
            due, _name, _kind, question = heapq.heappop(self._queue)
            entry = self._entries.get(question)
            if entry is not None and entry.due == due:
                entry.due = None
                return question
        return None

    def next_due(self) -> float | None:
        """When there may be something to ask."""
        return self._queue[0][0] if self._queue else None

    def answered(
        self, question: Question, networks: tuple[Network, ...], ttl: float, now: float
    ) -> frozenset[str]:
        """Take an answer; the users it is news to."""
        entry = self._entries.get(question)
        if entry is None:
            return frozenset()
        self._was_asked(entry)
        self._plan(question, now + clamped(ttl) * ASK_AGAIN_AT)
        if set(entry.networks) == set(networks):
            return frozenset()
        entry.networks = networks
        return frozenset(entry.users)

    def failed(self, question: Question, now: float) -> bool:
        """Nobody answered: what was known stays, and it is asked again soon. Whether nothing is known at all."""
        entry = self._entries.get(question)
        if entry is None:
            return False
        self._was_asked(entry)
        self._plan(question, now + RETRY_SECONDS)
        return not entry.networks

    def _was_asked(self, entry: _Entry) -> None:
        self._never_asked -= not entry.asked
        entry.asked = True

    def _plan(self, question: Question, due: float) -> None:
        self._entries[question].due = due
        heapq.heappush(self._queue, (due, question.name, question.kind, question))
