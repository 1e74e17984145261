"""The outbox as an operator reads it: who is to be told, and a dead letter; pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import quote

from fscontrol.model.message import BACKEND, OutboxMessage, organization_of
from fscontrol.web.call_rows import call_path

ROWS = 50
MOST_DESTINATIONS = 100
"""Shown on the page, the oldest first."""
_LONGEST_BODY = 4_000


@dataclass(frozen=True, slots=True)
class LetterShown:
    """A dead letter; `body` is indented, and cut where it is longer than anybody reads."""

    letter: OutboxMessage
    body: str

    @property
    def key(self) -> str:
        """What no other has."""
        return self.letter.idempotency_key

    @property
    def call(self) -> str:
        """The page of the call it tells of."""
        return call_path(self.letter.call_sid)

    @property
    def resend(self) -> str:
        """Where its call's are sent again."""
        return f"/outbox/{quote(self.letter.call_sid, safe='')}/resend"

    @property
    def destination(self) -> str:
        """Who did not take it."""
        return destination_in_words(self.letter.destination)


def letter_shown(letter: OutboxMessage, body: str) -> LetterShown:
    """`body` as it may be shown."""
    try:
        text = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        text = body
    return LetterShown(letter, text if len(text) <= _LONGEST_BODY else f"{text[:_LONGEST_BODY]}…")


def destination_in_words(destination: str) -> str:
    """Whoever is to be told."""
    return (
        "the backend" if destination == BACKEND else f"webhook of organisation {organization_of(destination)}"
    )


def address(start: int) -> str:
    """Where the dead letters from there on stand."""
    return f"/outbox?from={start}" if start else "/outbox"
