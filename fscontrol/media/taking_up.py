"""After a node was lost, or came to be ours: which calls have ended unseen, and which want their stream again.

Owns: asking the node and telling the book and the drivers. Refuses: what only the node's holder does, for a node that
is another's; its own calls that are gone are left to that one (`calls/ended_elsewhere`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import gevent

from fscontrol.calls.book import CallBook
from fscontrol.calls.channel_state import channel_uuids
from fscontrol.calls.sharing import Sharing
from fscontrol.errors import EslError, StoreError
from fscontrol.esl import commands
from fscontrol.esl.client import NodeClient
from fscontrol.media.assistants import Assistants
from fscontrol.model.call import CallStatus
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0


class TakingUp:
    """`sharing` says which nodes we steer, and which calls living siblings look after; `take_up` finds answered
    outbound calls.
    """

    def __init__(
        self,
        book: CallBook,
        media: Assistants,
        sharing: Sharing,
        take_up: Callable[[NodeClient], None] = lambda _node: None,
    ) -> None:
        self._book = book
        self._media = media
        self._sharing = sharing
        self._is_ours = sharing.is_ours
        self._take_up = take_up

    def soon(self, node: NodeClient) -> None:
        """In the background, where the node is ours."""
        if self._is_ours(node.name):
            spawn(f"compare calls {node.name}", self._compare, node)

    def _compare(self, node: NodeClient) -> None:
        # Until it is done: what ended unseen would keep its place.
        while node.connected and self._is_ours(node.name) and not self._compared(node):
            gevent.sleep(AGAIN_SECONDS)

    def _compared(self, node: NodeClient) -> bool:
        asked_at = time.time()
        try:
            theirs = self._sharing.theirs()  # first: what ends while we ask, they write
            listed = node.request(commands.show_channels())
            self._book.compare_with_channels(
                node.name,
                listed,
                asked_at,
                lambda uuid: node.request(commands.channel_exists(uuid)).strip() == "true",
                node.lost_at,
                theirs,
            )
            self._take_up(node)
            known = {record.uuid for record in self._book.active} | set(theirs.values())
            for uuid in channel_uuids(listed) - known:
                self._media.unrecorded.look_at(node, uuid)
            for record in self._book.active:
                is_talking = record.node == node.name and record.status is CallStatus.IN_PROGRESS
                if is_talking and self._is_ours(node.name):
                    self._media.take_over(node, record.call_sid)
            self._media.end_finished()
        except (EslError, StoreError) as error:
            log.warning("calls not compared", extra={"node": node.name, "reason": str(error)})
            return False
        return True
