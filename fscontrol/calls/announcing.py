"""Who is to hear of a change in the book, and who makes the messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Flag, auto

from fscontrol.calls.routing import Reason
from fscontrol.model.call import CallRecord
from fscontrol.model.message import OutboxMessage


class Tell(Flag):
    """What is to be heard about a change of a record."""

    NOTHING = 0
    INCOMING = auto()
    STATUS = auto()


def tell_of_end(record: CallRecord) -> Tell:
    """What those who watch hear of an end that nobody else is told of; strangers' would drown what they watch for."""
    return Tell.NOTHING if record.reason == Reason.UNKNOWN_SOURCE else Tell.STATUS


Maker = Callable[[CallRecord, float], OutboxMessage]


@dataclass(frozen=True, slots=True)
class Announcer:
    """Makes the messages; `wake` is called once they are stored. `incoming` and `status` None: there is no backend."""

    incoming: Maker | None
    status: Maker | None
    wake: Callable[[], None]
    webhooks: Callable[[CallRecord, float], Sequence[OutboxMessage]] = lambda _record, _now: ()

    def announce(self, record: CallRecord, tell: Tell, now: float) -> tuple[CallRecord, list[OutboxMessage]]:
        """The messages about a record's newest state, and the record that counts them."""
        messages: list[OutboxMessage] = []
        numbered = record
        for wanted, make in ((Tell.INCOMING, self.incoming), (Tell.STATUS, self.status)):
            if wanted in tell and make is not None:
                if messages:
                    numbered = record.model_copy(update={"sequence": messages[-1].sequence})
                messages.append(make(numbered, now))
        if Tell.STATUS in tell:
            # Numbered for themselves, from where the record stood: their key is another.
            messages += self.webhooks(record, now)
        if not messages:
            return record, messages
        counted = max(message.sequence for message in messages)
        return record.model_copy(update={"sequence": counted}), messages
