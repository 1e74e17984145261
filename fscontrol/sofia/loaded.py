"""What is loaded on one node, asked for no more dearly than the question needs.

Owns: when the whole state is asked for (`sofia xmlstatus gateway`: 1 kB and 29 lines a gateway, a third of a second of
our time at 5,000), when the names will do (`gwlist`: 20 bytes each) and when one gateway's own state; and keeping the
board of registrations by all three. Refuses: to trust events alone; every look asks FreeSWITCH for all names, what was
started is asked for by name (`look_for`), and so is what a replacement hinges on (`look_closely`).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from fscontrol.errors import CommandRefused
from fscontrol.esl import commands
from fscontrol.esl.client import NodeClient
from fscontrol.model.registration import GatewayState, Registration
from fscontrol.sofia.registrations import Registrations
from fscontrol.sofia.status import parse_gateway, parse_gateways
from fscontrol.sofia.tree import PROFILE
from fscontrol.telemetry.threads import on_a_thread

log = logging.getLogger(__name__)

WHOLE_SECONDS = 30.0
"""For so long events and names keep true what FreeSWITCH said of all states; a reconcile pass comes less often."""
MOST_ASKED_ALONE = 32
"""From so many gateways on whose state is not known, asking for all is cheaper than for each."""
_LARGE_ANSWER = 100_000
_NAME = re.compile(r"[\w.\-]+")
_NO_ANSWER = "-ERR no reply"
"""How the Event Socket shows that a command wrote nothing: no gateway is up, or none is down."""

Loaded = dict[str, Registration]
"""The gateways of our profile on a node, by name, and how they register."""


class LoadedGateways:
    """The gateways of our profile on one node, with their states as FreeSWITCH or its events said last."""

    def __init__(
        self, client: NodeClient, registrations: Registrations, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._registrations = registrations
        self._clock = clock
        self._known: frozenset[str] = frozenset()
        self._lists: dict[str, frozenset[str]] = {}
        self._whole_until: float | None = None
        client.on_up(self.forget)  # nothing is replayed: what was said before the connection was lost is old

    def look(self) -> Loaded:
        """What is loaded now, those marked for deletion included until they are gone. Raises as `request` does."""
        if self._whole_until is None or self._clock() >= self._whole_until:
            return self._ask_for_everything()
        names = self._ask_for_names()
        # New, or told of by events alone; or on neither list, as one that changed from DOWN to UP between the two is:
        # ask before it is taken for gone.
        unclear = (names ^ self._known) | names.difference(self._board())
        if len(unclear) > MOST_ASKED_ALONE:
            return self._ask_for_everything()
        names |= {name for name in unclear if self._ask_for_one(name)}
        if gone := self._known - names:
            self._registrations.take_gone(self._client.name, gone)
        self._known = names
        return self._as_known()

    def look_closely(self, names: Collection[str], loaded: Loaded) -> Loaded:
        """What is `loaded` by a look just taken, with what FreeSWITCH itself says now of these. Raises as `look`."""
        asked = loaded.keys() & set(names)
        if len(asked) > MOST_ASKED_ALONE:
            return self._ask_for_everything()
        closer = dict(loaded)
        for name in asked:
            if self._ask_for_one(name):
                closer[name] = self._board().get(name) or self._unknown(name)
            else:  # on its way out, whoever sent it: nothing may be built on it
                closer[name] = replace(loaded[name], state=GatewayState.UNREGISTER, refreshing=False)
        return closer

    def look_for(self, names: Collection[str]) -> Loaded:
        """What was loaded at the last look, and those of these, started since, that are there now.

        Whether the others are is not asked again: one that went meanwhile is told of, and wakes another pass. Raises
        as `look`.
        """
        if self._whole_until is None or len(names) > MOST_ASKED_ALONE:
            return self.look()
        self._known |= {name for name in names if self._ask_for_one(name)}
        return self._as_known()

    def forget(self) -> None:
        self._whole_until = None

    def _as_known(self) -> Loaded:
        """What is loaded, with the states of the board."""
        board = self._board()
        if board.keys() == self._known:
            return dict(board)
        return {name: board.get(name) or self._unknown(name) for name in self._known}

    def _board(self) -> Mapping[str, Registration]:
        return self._registrations.board(self._client.name)

    def _unknown(self, name: str) -> Registration:
        now = self._registrations.now()
        return Registration(self._client.name, name, GatewayState.UNKNOWN, "", now)

    def _ask_for_one(self, name: str) -> bool:
        """Have the board learn its state; False when FreeSWITCH denies it, as it does from the mark for deletion on."""
        asked_at = self._registrations.now()
        status = parse_gateway(self._client.request(commands.one_gateway(name)))
        if status is None or status.profile != PROFILE:
            return False
        self._registrations.take_status(self._client.name, status, asked_at)
        return True

    def _ask_for_everything(self) -> Loaded:
        started_at, asked_at = self._clock(), self._registrations.now()
        answer = self._client.request(commands.all_gateways())
        if len(answer) > _LARGE_ANSWER:
            gateways = on_a_thread(lambda: parse_gateways(answer))
        else:
            gateways = parse_gateways(answer)
        mine = [status for status in gateways.values() if status.profile == PROFILE]
        loaded = self._registrations.take_snapshot(self._client.name, mine, asked_at)
        self._known = frozenset(loaded)
        self._whole_until = started_at + WHOLE_SECONDS
        return loaded

    def _ask_for_names(self) -> frozenset[str]:
        # Up before down: a gateway that is being deleted goes from UP to DOWN, and its name must not be missed.
        lists = self._list(up=True), self._list(up=False)
        # FreeSWITCH repeats itself word for word while nothing comes or goes
        self._lists = {text: self._lists.get(text) or self._names_in(text) for text in lists}
        return self._lists[lists[0]] | self._lists[lists[1]]

    def _names_in(self, text: str) -> frozenset[str]:
        """The names of a list, each followed by a blank; those not known yet must be ones."""
        names = frozenset(text.split(" ")) - {""}
        if unheard := [name for name in names - self._known if not _NAME.fullmatch(name)]:
            raise CommandRefused(f"no list of gateways but {text[:80]!r}, for {unheard[0][:80]!r} is no name")
        return names

    def _list(self, *, up: bool) -> str:
        try:
            return self._client.request(commands.gateway_names(PROFILE, up=up))
        except CommandRefused as error:
            if _NO_ANSWER in str(error):
                return ""
            raise
