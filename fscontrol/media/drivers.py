"""Parked calls to their assistants: each by the driver that its organisation or the settings chose.

Owns: which parked call is ours to serve, its choice, and whether a driver's module is there. Refuses: a start with a
driver that a node lacks; serving a call twice; serving one again whose assistant was lost before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping

from fscontrol.calls.book import CallBook
from fscontrol.calls.channel_state import DRIVER_VARIABLE, TRANSFER_VARIABLE, read_channel
from fscontrol.calls.on_channel import NUMBERS_VARIABLE, numbers_of
from fscontrol.errors import ConfigurationError, EslError, FscontrolError, NotFound, StoreError
from fscontrol.esl import call_commands, commands
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.esl.nodes import Nodes
from fscontrol.media.choice import Choice, MediaDefaults, choose
from fscontrol.media.driving import Lost, MediaDriver, Note
from fscontrol.model.assistant_media import AssistantMedia, Driver, WhenLost
from fscontrol.model.call import CALL_SID_VARIABLE, CallRecord
from fscontrol.model.worker import WORKER_VARIABLE
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

LOST = "assistant_lost"


class Drivers:
    """`said` finds what an organisation says of its assistants; `lost` is told of calls that lose theirs.

    `unrecorded` is told of parked calls of ours (node, channel, call_sid) that the book does not know yet. `worker`:
    our name, where we have siblings.
    """

    def __init__(
        self,
        by_name: Mapping[Driver, MediaDriver],
        nodes: Nodes,
        book: CallBook,
        said: Callable[[CallRecord], AssistantMedia | None],
        defaults: MediaDefaults,
        lost: Lost,
        note: Note,
        unrecorded: Callable[[NodeClient, str, str], None] = lambda _node, _uuid, _call_sid: None,
        worker: str = "",
    ) -> None:
        self._note = note
        self._unrecorded = unrecorded
        self._worker = worker
        self._drivers = by_name
        self._nodes = nodes
        self._book = book
        self._said = said
        self._defaults = defaults
        self._lost = lost
        self._lacking: dict[str, frozenset[Driver]] = {}

    def require_default(self, seconds: float) -> None:
        """Wait for the nodes, `seconds` for each, and raise `ConfigurationError` if one lacks the settings' driver."""
        driver = self._defaults.driver
        if driver.module is None:
            return
        for node in self._nodes:
            if not node.wait_connected(seconds):
                log.warning("a node cannot be asked for its modules yet", extra={"node": node.name})
        if lacking := self.nodes_without(driver):
            raise ConfigurationError(
                [
                    f"FSCONTROL_MEDIA_DRIVER={driver} needs {driver.module}, which {', '.join(sorted(lacking))} does"
                    " not have; install it there, or use FSCONTROL_MEDIA_DRIVER=relay, which needs no module"
                ]
            )

    def nodes_without(self, driver: Driver) -> Collection[str]:
        """The reachable nodes that lack a driver's module; asked of them now."""
        if driver.module is None:
            return ()
        return [node.name for node in self._nodes.reachable if not _has_module(node, driver.module)]

    def parked(self, node: NodeClient, event: Event) -> None:
        """CHANNEL_PARK: a call of ours in progress gets its assistant."""
        call_sid = event.variable(CALL_SID_VARIABLE) or ""
        try:
            record = self._in_progress(call_sid)
        except (NotFound, StoreError):
            # Decided elsewhere, or by one that is gone, while the store is away: the record comes, or is made anew.
            self._unrecorded(node, event.get("Unique-ID"), call_sid)
            return
        if record is None:
            return
        if numbers := event.variable(NUMBERS_VARIABLE):
            # Taken up after a restart with numbers masked in the store: the channel has them whole.
            record = record.model_copy(update=numbers_of(numbers))
        driver_left = event.variable(DRIVER_VARIABLE) and event.variable(TRANSFER_VARIABLE) != "true"
        spawn(f"assistant {call_sid}", self._serve, node, record, bool(driver_left))

    def take_over(self, node: NodeClient, call_sid: str) -> None:
        """After a restart: a call that streams to a process that is gone is parked anew, and so taken up.

        One that lost its assistant while its node could not be told of it is helped now.
        """
        try:
            record = self._in_progress(call_sid)
            if record is None:
                return
            channel = read_channel(node.request(call_commands.channel(record.uuid)))
            if self._worker:
                node.request(call_commands.set_channel_variable(record.uuid, WORKER_VARIABLE, self._worker))
            if channel.is_transferred or channel.driver or channel.application != "park":
                return  # it talks to somebody else, its driver does not need us, or something is played to it
            if channel.is_held:
                return  # `unheld` comes for it
            if record.reason:
                choice = choose(record, self._said(record), self._defaults)
                self._lost(
                    record, record.reason, "its node was away", choice.when_lost if choice else WhenLost()
                )
                return
            node.request(commands.park_again(record.uuid))
            self._note(call_sid, "taken up again", "")
        except FscontrolError as error:
            log.warning("a call could not be taken up", extra={"call_sid": call_sid, "reason": str(error)})

    def unheld(self, node: NodeClient, event: Event, *, is_carried: bool) -> None:
        """CHANNEL_UNHOLD: a call that was on hold when we were restarted gets its stream now."""
        call_sid = event.variable(CALL_SID_VARIABLE) or ""
        if call_sid and not is_carried:
            spawn(f"unheld {call_sid}", self.take_over, node, call_sid)

    def _in_progress(self, call_sid: str) -> CallRecord | None:
        if not call_sid:
            return None
        record = self._book.get(call_sid)
        return None if record.status.is_final else record

    def _serve(self, node: NodeClient, record: CallRecord, driver_left: bool) -> None:
        choice: Choice | None = None
        try:
            choice = choose(record, self._said(record), self._defaults)
            if choice is None:
                return  # nobody to talk to: it waits to be steered
            if driver_left:
                self._lost(record, LOST, f"the {choice.driver} driver gave the call back", choice.when_lost)
            elif record.reason:
                self._lost(record, record.reason, "the call came back", choice.when_lost)
            else:
                if choice.driver is not Driver.RELAY:
                    node.request(
                        call_commands.set_channel_variable(record.uuid, DRIVER_VARIABLE, choice.driver.value)
                    )
                self._drivers[choice.driver].begin(node, record, choice)
        except FscontrolError as error:
            extra = {"call_sid": record.call_sid, "error": error.id, "reason": str(error)}
            log.warning("no assistant for a call", extra=extra)
            self._lost(record, LOST, str(error), choice.when_lost if choice else self._defaults.when_lost)


def _has_module(node: NodeClient, module: str) -> bool:
    try:
        return node.request(commands.module_exists(module)).strip() == "true"
    except EslError as error:
        log.warning(
            "a node did not say whether it has a module", extra={"node": node.name, "reason": str(error)}
        )
        return True
