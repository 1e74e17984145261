"""Outbound calls whose control plane died while it placed them: their leg is taken up once it is answered.

Owns: knowing who places a call and whether he lives (a lease in the store), and what becomes of a leg that nobody
follows. Refuses: to try another trunk for such a call; how its attempt went so far nobody knows any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent

from fscontrol.calls.announcing import Tell
from fscontrol.calls.book import CallBook
from fscontrol.calls.channel_state import is_answered
from fscontrol.calls.legs import Legs
from fscontrol.calls.wishes import Wishes
from fscontrol.errors import CommandRefused, EslError, FscontrolError, NotFound, StoreError
from fscontrol.esl import call_commands, commands, originate
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.esl.holders import is_dead_neighbour
from fscontrol.esl.nodes import Nodes
from fscontrol.model.call import CALL_SID_VARIABLE, CallRecord, CallStatus, Step
from fscontrol.model.outbound import AttemptOutcome
from fscontrol.store.base import Store
from fscontrol.telemetry.greenlets import spawn
from fscontrol.telemetry.outages import Outage

log = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
_RENEWALS = 3


class Orphans:
    """`name` is this control plane's; `is_placing` says whether it places a call now, `is_ours` whether it
    steers a node; `found` is told of a node that has some.
    """

    def __init__(
        self,
        name: str,
        book: CallBook,
        store: Store,
        nodes: Nodes,
        legs: Legs,
        is_ours: Callable[[str], bool],
        is_placing: Callable[[str], bool],
        found: Callable[[NodeClient], None],
        clock: Callable[[], float],
        wishes: Wishes,
    ) -> None:
        self._name = name
        self._book = book
        self._store = store
        self._nodes = nodes
        self._legs = legs
        self._is_ours = is_ours
        self._is_placing = is_placing
        self._found = found
        self._clock = clock
        self._failing = Outage()
        self._failing_of = {node.name: Outage() for node in nodes}
        self._wishes = wishes
        self._greenlet: gevent.Greenlet[..., object] | None = None

    def start(self) -> None:
        """Show that we live, and look after those that do not."""
        self._keep()
        self._greenlet = spawn("calls without their control plane", self._run)

    def stop(self) -> None:
        """Legs that ring stay; the next control plane takes them up."""
        if self._greenlet is not None:
            self._greenlet.kill(timeout=2)
        try:
            self._store.release_lease(_lease(self._name), self._name)
        except StoreError as error:
            log.warning("a lease is not given back", extra={"reason": str(error)})

    def is_placed(self, record: CallRecord) -> bool:
        """Whether somebody alive is placing it. Raises `StoreError`."""
        if not record.is_being_placed:
            return False
        if record.placed_by == self._name:
            return self._is_placing(record.call_sid)
        return lives(self._store, record.placed_by)

    def follow(self, node: NodeClient) -> None:
        """Take the events of a node that concern them."""
        node.on_event("CHANNEL_ANSWER", lambda event: self._answered(node, event))
        node.on_event("CHANNEL_PARK", lambda event: self._answered(node, event))
        node.on_event("CHANNEL_PARK", lambda event: self._limit(node, event))

    def take_up(self, node: NodeClient) -> None:
        """After a restart or a node's absence: those that were answered unseen. Raises `EslError`, `StoreError`."""
        for record in self._store.unfinished_calls(node.name):
            if (
                not record.uuid
                or not record.is_being_placed
                or self._is_placing(record.call_sid)
                or self.is_placed(record)
            ):
                continue
            try:
                if self._wishes.among([record.call_sid]):
                    node.request(commands.kill_channel(record.uuid, "ORIGINATOR_CANCEL"))
                elif is_answered(node.request(call_commands.channel(record.uuid))):
                    self._mark(record)
            except CommandRefused:
                continue  # gone this moment: its hang-up is on its way

    def _answered(self, node: NodeClient, event: Event) -> None:
        call_sid = event.variable(CALL_SID_VARIABLE)
        if (
            call_sid
            and event.get("Call-Direction") == "outbound"
            and event.get("Answer-State") == "answered"
            and event.get("Unique-ID") not in self._legs
            and self._is_ours(node.name)
        ):
            spawn(f"answered {call_sid}", self._look, node, call_sid, event.get("Unique-ID"))

    def _look(self, node: NodeClient, call_sid: str, uuid: str) -> None:
        try:
            record = self._book.get(call_sid)
            if record.status.is_final and any(attempt.uuid == uuid for attempt in record.attempts):
                # We gave it up while its node was away: nobody is to talk to an empty line.
                node.request(commands.kill_channel(uuid))
            elif record.is_being_placed and not self.is_placed(record):
                if self._wishes.among([call_sid]):
                    node.request(commands.kill_channel(uuid))
                else:
                    self._mark(record)
        except NotFound:
            log.warning("an outbound leg is not in the book", extra={"call_sid": call_sid})
        except FscontrolError as error:
            log.warning("an answered leg is not seen to", extra={"call_sid": call_sid, "reason": str(error)})

    def _mark(self, record: CallRecord) -> None:
        now = self._clock()
        attempts = record.attempts
        if attempts:
            changes = {"outcome": AttemptOutcome.ANSWERED, "sip_status": 200}
            attempts = (*attempts[:-1], attempts[-1].model_copy(update=changes))
        step = Step(at=round(now - record.started_at, 6), step="answer", decision="taken up again")
        changed = {
            "status": CallStatus.IN_PROGRESS, "sip_status": 200, "answered_at": now, "attempts": attempts,
            "steps": (*record.steps, step),
        }  # fmt: skip
        self._book.put(record.model_copy(update=changed), Tell.STATUS)
        log.info("an outbound call is taken up", extra={"call_sid": record.call_sid})

    def _limit(self, node: NodeClient, event: Event) -> None:
        """Its longest length, set anew: the parking extension has cancelled what was scheduled."""
        call_sid = event.variable(CALL_SID_VARIABLE)
        if call_sid and event.get("Call-Direction") == "outbound" and self._is_ours(node.name):
            spawn(f"limit {call_sid}", self._schedule, node, call_sid, event.get("Unique-ID"))

    def _schedule(self, node: NodeClient, call_sid: str, uuid: str) -> None:
        try:
            record = self._book.get(call_sid)
            longest = self._longest(record)
            if longest is not None:
                left = longest - (self._clock() - (record.answered_at or self._clock()))
                node.request(originate.schedule_hangup(uuid, round(left)))
        except (NotFound, EslError, StoreError) as error:
            log.warning("a call has no end", extra={"call_sid": call_sid, "reason": str(error)})

    def _longest(self, record: CallRecord) -> int | None:
        if record.asked is not None and record.asked.max_call_seconds is not None:
            return record.asked.max_call_seconds
        organization = self._store.organization(record.organization_key or "")
        trunks = organization.trunks if organization else ()
        return next((trunk.max_call_seconds for trunk in trunks if trunk.id == record.trunk_id), None)

    def _run(self) -> None:
        while True:
            gevent.sleep(LEASE_SECONDS / _RENEWALS)
            self._keep()
            for node in self._nodes.reachable:
                if self._is_ours(node.name):
                    self._seek(node)

    def _keep(self) -> None:
        try:
            self._store.acquire_lease(_lease(self._name), self._name, LEASE_SECONDS)
        except StoreError as error:
            if self._failing.begins():
                log.warning("others may take us for dead", extra={"reason": str(error)})
        else:
            if self._failing.ends():
                log.info("others know again that we live")

    def _seek(self, node: NodeClient) -> None:
        try:
            waiting = [record for record in self._store.unfinished_calls(node.name) if record.is_being_placed]
            if any(not self.is_placed(record) for record in waiting):
                self._found(node)
        except StoreError as error:
            if self._failing_of[node.name].begins():
                log.warning("calls are not looked after", extra={"node": node.name, "reason": str(error)})
        else:
            if self._failing_of[node.name].ends():
                log.info("calls are looked after again", extra={"node": node.name})


def lives(store: Store, name: str) -> bool:
    """Whether the control plane of that name does, by the lease it keeps. Raises `StoreError`."""
    return not is_dead_neighbour(name) and store.lease(_lease(name)) is not None


def _lease(name: str) -> str:
    return f"places:{name}"
