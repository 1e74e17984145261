"""A world to do harm to: all the parts, what was done to them, and what must be true of them whatever was done.

Owns: carrying out a plan's steps, following what was acknowledged, and the questions asked in the end, of FreeSWITCH
itself where it knows. Refuses: to decide what happens; that is `plan.py`.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import gevent
import requests
import urllib3
from gevent.lock import BoundedSemaphore

from fscontrol.esl import commands
from fscontrol.sofia.deliver import GatewayFiles, organization_file
from fscontrol.sofia.tree import GATEWAY_DIRECTORY, PROFILE
from tests.chaos import callers
from tests.chaos.model import CallsAllowed, History, gateway_names, unbound_moments
from tests.chaos.outbox_process import open_store
from tests.chaos.parts import ControlPlane, Link, RedisServer, healthy
from tests.chaos.plan import (
    ORGANIZATIONS,
    Action,
    Call,
    Document,
    HangUp,
    Kill,
    KillGateway,
    Part,
    Push,
    Spoil,
    SpoilFile,
    Start,
    source_of,
)
from tests.chaos.witness import Witness
from tests.switches import StandInSwitch, Switch
from tests.waiting import eventually

_STORED = re.compile(r"Stored|Deleted|Synced")
_GARBAGE = {Spoil.EMPTY: "", Spoil.GARBAGE: "<include><gateway name='x'"}


@dataclass(slots=True)
class Placed:
    """A call of ours. `life` is that of the FreeSWITCH it was placed to; `caller` is its number, and its name here."""

    caller: str
    organization: int
    life: int
    allowed: CallsAllowed
    line: callers.Line
    in_an_outage: bool = False
    """The store was away while it was decided: a record may wait for it in a process that was killed."""
    is_parked: bool = False
    was_hung_up: bool = False

    @property
    def accepted(self) -> bool:
        return self.line.status == 200


class Fleet:
    """One node, one control plane, its store, the link between them, and everybody who calls and pushes."""

    def __init__(
        self, switch: Switch, link: Link, store: RedisServer | None, store_url: str, control: ControlPlane
    ) -> None:
        self.switch, self.link, self.control = switch, link, control
        self.redis = store
        self.freeswitch = Witness(switch.config.esl_port)
        self.histories = {key: History() for key in ORGANIZATIONS}
        self.calls: list[Placed] = []
        self.generations: dict[int, int] = {}
        self.lost_bindings: list[str] = []
        self._store_url = store_url
        self._work: list[gevent.Greenlet[..., object]] = []
        self._turns = {key: BoundedSemaphore() for key in ORGANIZATIONS}
        self._life = self._callers = self._outages = 0
        self._floors_of_life: dict[int, int] = dict.fromkeys(ORGANIZATIONS, 0)
        self._killed_by_hand: dict[int, set[str]] = defaultdict(set)
        self._switch_is_up = True

    def do(self, action: Action) -> None:
        """One step. Pushes and calls go on in the background; their troubles come up in `finish`."""
        match action:
            case Push(organization, document):
                self._work.append(gevent.spawn(self.push, organization, document))
            case Call(organization, number):
                self._work.append(gevent.spawn(self.call, organization, number))
            case HangUp(which):
                if established := self.established:
                    self.hang_up(established[int(which * len(established))])
            case Kill(part, hangs):
                self._kill(part, hangs=hangs)
            case Start(part, patiently):
                self._start(part, patiently=patiently)
            case SpoilFile(organization, how):
                self._spoil(organization, how)
            case KillGateway(which):
                self._kill_gateway(which)

    def finish(self) -> None:
        """Everything is brought back, and what is under way comes to its end."""
        self.link.mend()
        for part in (Part.REDIS, Part.SWITCH, Part.CONTROL):
            self._start(part, patiently=True)
        gevent.joinall(self._work, timeout=60)
        for greenlet in self._work:
            greenlet.get(block=False)
        self._work.clear()

    # --- pushes and calls

    def push(self, organization: int, document: Document | None) -> None:
        """Replace or delete an organisation, and note what came of it; one after the other for each."""
        history = self.histories[organization]
        with self._turns[organization]:
            place = history.sent(document)
            try:
                if document is None:
                    status, said = self.control.ask("DELETE", f"/api/organizations/{organization}")
                else:
                    status, said = self.control.ask("POST", "/api/sync-organization", document)
            except requests.ConnectionError as error:
                if isinstance(getattr(error.args[0], "reason", None), urllib3.exceptions.NewConnectionError):
                    history.states.pop(place)  # nobody heard of it
                return
            if document is None:
                if status == 404 or _STORED.match(str(said["message"])):
                    history.acknowledged(place)
                    self.generations.pop(organization, None)
            elif status in (200, 202, 502) and _STORED.match(str(said["message"])):
                history.acknowledged(place)
                self.generations[organization] = said["generation"]
            else:
                assert status >= 500, (status, said)

    def call(self, organization: int, number: str) -> Placed:
        """Place one and follow it to where it is parked."""
        self._callers += 1
        caller, life, outages = f"+1555700{self._callers:04}", self._life, self._outages
        history = self.histories[organization]
        floor, is_away = history.floor, self.redis is not None and not self.redis.is_running
        line = callers.place(self.switch, number, caller, source_of(organization))
        allowed = CallsAllowed(history.states[floor:], number)
        in_an_outage = is_away or outages != self._outages
        placed = Placed(caller, organization, life, allowed, line, in_an_outage)
        self.calls.append(placed)
        if placed.accepted:
            with contextlib.suppress(AssertionError):  # its control plane died before the hand-over
                eventually(lambda: life != self._life or self.freeswitch.parked().get(caller) == "park", 3)
                placed.is_parked = life == self._life
        return placed

    def hang_up(self, call: Placed) -> None:
        """Its caller goes."""
        call.was_hung_up = True
        call.line.hang_up()

    @property
    def established(self) -> list[Placed]:
        """The calls that must be there: parked once, not hung up by their callers, their FreeSWITCH never killed."""
        return [c for c in self.calls if c.is_parked and not c.was_hung_up and c.life == self._life]

    # --- what is done to the parts

    def _kill(self, part: Part, *, hangs: bool) -> None:
        match part:
            case Part.CONTROL:
                self.control.kill()
            case Part.REDIS if self.redis is not None:
                self._outages += 1
                self.redis.kill()
            case Part.LINK if hangs:
                self.link.stall()
            case Part.LINK:
                self.link.cut()
            case Part.SWITCH:
                self.note_bindings()
                self._life += 1
                self._switch_is_up = False
                self.switch.kill()

    def _start(self, part: Part, *, patiently: bool) -> None:
        match part:
            case Part.CONTROL:
                if not self.control.is_running:
                    self.control.start()
                if patiently:
                    healthy(self.control)
            case Part.REDIS if self.redis is not None and not self.redis.is_running:
                self.redis.start()
                eventually(self.redis.answers)
            case Part.LINK:
                self.link.mend()
            case Part.SWITCH if not self._switch_is_up:
                self._floors_of_life = {key: one.floor for key, one in self.histories.items()}
                self._killed_by_hand.clear()
                self.switch.start()
                self._switch_is_up = True
            case _:
                pass  # it is there

    def _spoil(self, organization: int, how: Spoil) -> None:
        file = self.switch.config_dir / GATEWAY_DIRECTORY / organization_file(str(organization))
        if not file.exists():
            return
        if how is Spoil.DELETE:
            file.unlink(missing_ok=True)
        else:
            file.write_text(_GARBAGE[how], "utf-8")

    def _kill_gateway(self, which: float) -> None:
        if names := sorted(self.freeswitch.loaded()):
            name = names[int(which * len(names))]
            organization, trunk, _ = name.split(".")
            self._killed_by_hand[int(organization)].add(trunk)
            self.freeswitch.ask(commands.kill_gateway(PROFILE, name))

    # --- what is so

    def dropped(self) -> list[str]:
        """Established calls that are not there."""
        before = self.established
        there = self.freeswitch.parked()
        after = self.established
        return [call.caller for call in before if call in after and call.caller not in there]

    def fingerprint_key(self) -> bytes:
        """The installation's key, from the store."""
        store = open_store(self._store_url)
        try:
            return store.fingerprint_key()
        finally:
            store.close()

    def explanations(self, key: bytes) -> dict[int, list[Document | None]]:
        """By organisation, which possible states explain exactly what FreeSWITCH has loaded and what is delivered."""
        loaded = self.freeswitch.loaded()
        files = GatewayFiles(self.switch.config_dir)
        found: dict[int, list[Document | None]] = {}
        for organization, history in self.histories.items():
            mine = frozenset(name for name in loaded if name.startswith(f"{organization}."))
            delivered = frozenset(files.gateway_names(str(organization)))
            found[organization] = [
                state for state in history.possible if gateway_names(state, key) == mine == delivered
            ]
        return found

    def strangers(self) -> list[str]:
        """Loaded gateways of nobody."""
        return [
            name for name in self.freeswitch.loaded() if name.split(".")[0] not in map(str, self.histories)
        ]

    def stored_and_applied(self, organization: int) -> int | None:
        """The generation that is both, by the control plane's word, 0 for none; None while they differ."""
        status, shown = self.control.ask("GET", f"/api/organizations/{organization}")
        if status == 404:
            return 0
        assert status == 200, shown
        (node,) = shown["nodes"]
        whole = node["status"] == "converged" and node["applied_generation"] == shown["generation"]
        return int(shown["generation"]) if whole else None

    def records(self) -> list[dict[str, Any]]:
        """All calls the control plane knows of."""
        status, page = self.control.ask("GET", "/api/calls?limit=200")
        assert (status, page["total"]) == (200, len(page["items"])), page
        return list(page["items"])

    def active(self) -> float:
        """How many calls the control plane believes to be in progress."""
        text = str(self.control.ask("GET", "/metrics")[1])
        (value,) = re.findall(r"^\w*calls_active (\S+)$", text, re.MULTILINE)
        return float(value)

    def note_bindings(self) -> None:
        """What the registrars saw in this life of FreeSWITCH; only the stand-in's log is by gateway."""
        if not isinstance(self.switch, StandInSwitch) or not self._switch_is_up:
            return
        kept = {
            key: history.kept_trunks(self._floors_of_life[key]) - self._killed_by_hand[key]
            for key, history in self.histories.items()
        }
        self.lost_bindings += unbound_moments(self.switch.stand_in.registers, kept)

    def close(self) -> None:
        """End the callers."""
        gevent.killall(self._work)
        for call in self.calls:
            call.line.close()
