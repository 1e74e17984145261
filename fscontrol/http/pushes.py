"""The body of a push as a document, read once while it is repeated byte for byte.

Owns: keeping the documents read last. Refuses: to keep what was refused; each time it is told anew what is wrong.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from fscontrol.http import body
from fscontrol.provisioning import sync_document
from fscontrol.provisioning.sync_document import SyncDocument

MOST_ROWS = 10_000
"""Trunks and numbers of the documents that are kept, together; a document itself counts as one."""


class Pushes:
    """Reads pushes. A backend that repeats one, because a timer says so or it got no answer, sends the same bytes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, SyncDocument] = OrderedDict()
        self._rows = 0

    def read(self, raw: bytes) -> SyncDocument:
        """The document of a body; raises as `body.json_of` and `sync_document.parse` do."""
        digest = hashlib.blake2b(raw).digest()
        if (known := self._kept.get(digest)) is not None:
            self._kept.move_to_end(digest)
            return known
        document = sync_document.parse(body.json_of(raw))
        self._kept[digest] = document
        self._rows += _rows(document)
        while self._rows > MOST_ROWS:
            _, oldest = self._kept.popitem(last=False)
            self._rows -= _rows(oldest)
        return document


def _rows(document: SyncDocument) -> int:
    return 1 + len(document.organization.trunks) + len(document.organization.phone_numbers)
