"""What a run of chaos does, step by step; pure: one seed, one plan.

Owns: the documents that are pushed, and when which part dies and comes back. Refuses: to know what came of any of it;
that is for `model.py`. A document's assistants are in no other document, so that a call's record names the push that
routed it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

ORGANIZATIONS = (1, 2, 3, 4)
NUMBERS = tuple(f"+1555123000{n}" for n in range(1, 5))
"""Of all tenants at once: only the address a call comes from says whose number it is."""
_MOST_TRUNKS = 3
_PAUSES = (0.0, 0.0, 0.02, 0.1, 0.3)
Document = Mapping[str, Any]


class Part(StrEnum):
    """What can be down."""

    CONTROL = "control plane"
    SWITCH = "FreeSWITCH"
    REDIS = "Redis"
    LINK = "link"


class Spoil(StrEnum):
    """What somebody does to a rendered file by hand."""

    DELETE = "delete"
    EMPTY = "empty"
    GARBAGE = "garbage"


@dataclass(frozen=True, slots=True)
class Push:
    """A document for an organisation; None deletes it."""

    organization: int
    document: Document | None


@dataclass(frozen=True, slots=True)
class Call:
    """A call to one of an organisation's numbers, from its carrier's address."""

    organization: int
    number: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """The caller of some established call goes; `which` (0 to 1) says which."""

    which: float


@dataclass(frozen=True, slots=True)
class Kill:
    """A part dies. `hangs`: the link is not cut, but nothing gets through any more."""

    part: Part
    hangs: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """A part comes back. `patiently`: what follows waits until it serves."""

    part: Part
    patiently: bool = True


@dataclass(frozen=True, slots=True)
class SpoilFile:
    """An organisation's rendered gateways are spoiled."""

    organization: int
    how: Spoil


@dataclass(frozen=True, slots=True)
class KillGateway:
    """A loaded gateway is killed by hand; `which` (0 to 1) says which."""

    which: float


Action = Push | Call | HangUp | Kill | Start | SpoilFile | KillGateway


@dataclass(frozen=True, slots=True)
class Step:
    """An action, and how many seconds the world goes on before the next."""

    action: Action
    pause: float

    def __str__(self) -> str:
        match self.action:
            case Push(organization, None):
                return f"delete {organization}"
            case Push(organization, dict(document)):
                trunks = [f"{t['id']}@{t['gateway']}" for t in document["trunks"] if t["enabled"]]
                return f"push {organization}: {', '.join(trunks)}"
            case other:
                return str(other)


@dataclass(slots=True)
class Planner:
    """Draws plans. `secrets` are all passwords it ever gave out."""

    rng: random.Random
    carriers: Sequence[str]
    parts: Sequence[Part]
    spoils_files: bool
    secrets: list[str] = field(default_factory=list)
    _documents: dict[int, dict[str, Any]] = field(default_factory=dict)
    _down: list[Part] = field(default_factory=list)
    _assistants: int = 100

    def first(self, organization: int) -> Document:
        """The document an organisation begins with."""
        trunks = [self._trunk(organization, number) for number in range(2)]
        return self._document(organization, trunks)

    def steps(self, count: int) -> list[Step]:
        """So many steps; what is down at their end stays down."""
        return [Step(self._action(), self.rng.choice(_PAUSES)) for _ in range(count)]

    def _action(self) -> Action:
        if self._down and self.rng.random() < 0.45:
            part = self._down.pop(self.rng.randrange(len(self._down)))
            if part is Part.CONTROL and Part.REDIS in self._down:
                part = Part.REDIS  # a control plane refuses to start without its store
                self._down.remove(part)
                self._down.append(Part.CONTROL)
            return Start(part, patiently=self.rng.random() < 0.8)
        draws: list[tuple[int, Callable[[], Action]]] = [
            (30, self._push),
            (26, self._call),
            (9, lambda: HangUp(self.rng.random())),
            (22, self._kill),
            (5, lambda: KillGateway(self.rng.random())),
        ]
        if self.spoils_files:
            draws.append((9, self._spoil))
        return self.rng.choices([draw for _, draw in draws], [weight for weight, _ in draws])[0]()

    def _call(self) -> Call:
        return Call(self.rng.choice(ORGANIZATIONS), self.rng.choice(NUMBERS))

    def _spoil(self) -> SpoilFile:
        return SpoilFile(self.rng.choice(ORGANIZATIONS), self.rng.choice(list(Spoil)))

    def _kill(self) -> Action:
        up = [part for part in self.parts if part not in self._down]
        if not up:
            return self._push()
        part = self.rng.choice(up)
        self._down.append(part)
        return Kill(part, hangs=part is Part.LINK and self.rng.random() < 0.4)

    def _push(self) -> Push:
        organization = self.rng.choice(ORGANIZATIONS)
        if organization in self._documents and self.rng.random() < 0.12:
            del self._documents[organization]
            return Push(organization, None)
        trunks = [dict(trunk) for trunk in self._documents.get(organization, {"trunks": []})["trunks"]]
        for _ in range(self.rng.randint(0, 2)):
            self._change(organization, trunks)
        return Push(organization, self._document(organization, trunks))

    def _change(self, organization: int, trunks: list[dict[str, Any]]) -> None:
        free = [n for n in range(_MOST_TRUNKS) if f"t{n}" not in {trunk["id"] for trunk in trunks}]
        if free and (not trunks or self.rng.random() < 0.3):
            trunks.append(self._trunk(organization, self.rng.choice(free)))
            return
        trunk = self.rng.choice(trunks)
        match self.rng.choice(("remove", "password", "carrier", "disable", "register")):
            case "remove":
                trunks.remove(trunk)
            case "password":
                trunk["password"] = self._password()
            case "carrier":
                trunk["gateway"] = self.rng.choice(self.carriers)
            case "disable":
                trunk["enabled"] = not trunk["enabled"]
            case _:
                trunk["register"] = not trunk["register"]

    def _trunk(self, organization: int, number: int) -> dict[str, Any]:
        return {
            "id": f"t{number}",
            "name": f"t{number}",
            "gateway": self.rng.choice(self.carriers),
            "username": "9228",
            "password": self._password(),
            "register": self.rng.random() < 0.8,
            "enabled": True,
            "allowed_addresses": [f"{source_of(organization)}/32"],
        }

    def _password(self) -> str:
        self.secrets.append(f"trunk-canary-{self.rng.getrandbits(64):016x}")
        return self.secrets[-1]

    def _document(self, organization: int, trunks: list[dict[str, Any]]) -> Document:
        numbers = []
        for number, text in enumerate(self.rng.sample(NUMBERS, self.rng.randint(1, len(NUMBERS)))):
            self._assistants += 1
            numbers.append({"id": number, "phone_number": text, "assistant_id": self._assistants})
        document = {"organization_id": organization, "trunks": trunks, "phone_numbers": numbers}
        self._documents[organization] = document
        return document


def source_of(organization: int) -> str:
    """The address its calls come from, and no other tenant's."""
    return f"127.0.{100 + organization}.9"
