"""Keeping the table of source addresses true: pushes, DNS in the background, registrars, readings that overtake."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent.event import Event as Flag

from fscontrol.calls.admission import Question
from fscontrol.calls.name_cache import LONGEST_TTL, RETRY_SECONDS
from fscontrol.calls.registrars import LONGEST_BINDING, Registrars
from fscontrol.calls.resolver import Resolved
from fscontrol.calls.sources import QUESTIONS_AT_ONCE, TrunkSources
from fscontrol.errors import StoreError
from fscontrol.model.assistant_media import AssistantMedia
from fscontrol.model.gateway import gateways_of
from fscontrol.model.networks import Network
from fscontrol.model.organization import Organization
from fscontrol.store.base import NodeResult
from tests.unit.test_admission import gateway_event, net
from tests.waiting import eventually

KEY = b"k" * 32
NAME = "sip.example.com"


class Shelf:
    """The part of a store that is read here. `gate` holds a reading back after it was made."""

    def __init__(self) -> None:
        self.stored: dict[str, Organization] = {}
        self.gate: Flag | None = None
        self.read: list[str] = []
        self.fails = False
        self.results: list[NodeResult] = []
        self.in_force: dict[str, Organization] = {}

    def fingerprint_key(self) -> bytes:
        return KEY

    def organization_keys(self) -> list[str]:
        if self.fails:
            raise StoreError("gone")
        return sorted(self.stored)

    def organization(self, key: str) -> Organization | None:
        found = self.stored.get(key)
        self.read.append(key)
        if self.gate is not None:
            self.gate.wait()
        return found

    def node_results(self, _key: str) -> list[NodeResult]:
        return self.results

    def applied(self, key: str) -> dict[str, Organization]:
        return {"fs1": self.in_force[key]} if key in self.in_force else {}

    def put(self, key: str, *trunks: dict[str, object]) -> None:
        self.stored[key] = Organization.model_validate(
            {
                "id": key,
                "trunks": [{"id": f"t{n}", "name": f"t{n}", **trunk} for n, trunk in enumerate(trunks)],
            }
        )


class Dns:
    """A zone of the test's, and what was asked of it."""

    def __init__(self) -> None:
        self.zone: dict[tuple[str, str], Resolved] = {}
        self.asked: list[Question] = []
        self.error: Exception | None = None
        self.gate: Flag | None = None
        self.at_once = 0
        self.most_at_once = 0

    def __call__(self, question: Question) -> Resolved:
        self.asked.append(question)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.gate is not None:
                self.gate.wait()
        finally:
            self.at_once -= 1
        if self.error is not None:
            raise self.error
        return self.zone.get((question.kind, question.name), Resolved((), 300))

    def says(self, *addresses: str, kind: str = "A", name: str = NAME, ttl: float = 60) -> None:
        self.zone[kind, name] = Resolved(addresses, ttl)


class Clock:
    """Time the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class World:
    """Sources on a shelf, a zone and a clock."""

    def __init__(self) -> None:
        self.shelf, self.dns, self.clock = Shelf(), Dns(), Clock()
        self.sources = TrunkSources(self.shelf, self.dns, 3600, self.clock)  # type: ignore[arg-type]
        self.told = 0
        self.sources.on_change(self._count)

    def _count(self) -> None:
        self.told += 1

    def push(self, key: str, *trunks: dict[str, object]) -> None:
        self.shelf.put(key, *trunks)
        self.sources.refresh(key)

    def owners(self, ip: str) -> list[str]:
        return [source.organization for source in self.sources.table.owners(ip)]

    def trunks(self, ip: str) -> list[str]:
        return sorted(f"{found.organization}/{found.trunk_id}" for found in self.sources.table.owners(ip))

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.sources._woken.set()  # the nap it is in was measured before the clock moved

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        self.sources.start()
        try:
            yield
        finally:
            self.sources.stop()


@pytest.fixture
def world() -> World:
    return World()


def test_a_literal_address_counts_at_once_and_until_the_trunk_goes(world: World) -> None:
    world.push("7", {"gateway": "192.0.2.1"})
    assert (world.owners("192.0.2.1"), world.told) == (["7"], 1)
    world.push("7", {"gateway": "192.0.2.1"}, {"gateway": "192.0.2.2", "enabled": False})
    assert (world.owners("192.0.2.2"), world.told) == ([], 1)
    world.push("7", {"gateway": "192.0.2.1", "inbound_enabled": False})
    assert world.told == 1, "the networks are the same"
    assert not world.sources.table.owners("192.0.2.1")[0].inbound_enabled
    del world.shelf.stored["7"]
    world.sources.refresh("7")
    assert (world.owners("192.0.2.1"), world.told) == ([], 2)


def test_names_count_as_soon_as_they_are_resolved(world: World) -> None:
    world.dns.says("192.0.2.1", "192.0.2.2")
    world.dns.says("2001:db8::1", kind="AAAA")
    world.dns.says("192.0.2.3", kind="SRV")
    world.shelf.put("7", {"gateway": NAME})
    with world.running():
        eventually(lambda: world.sources.complete)
        for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"):
            assert world.owners(ip) == ["7"]
        world.push("8", {"gateway": "other.example.com:5060"})
        assert not world.sources.complete
        eventually(lambda: world.sources.complete)
    assert sorted(question.name for question in world.dns.asked) == ["other.example.com"] * 2 + [NAME] * 3


def test_it_is_told_when_the_names_are_complete(world: World) -> None:
    seen: list[bool] = []
    world.sources.on_change(lambda: seen.append(world.sources.complete))
    world.dns.gate = Flag()
    world.shelf.put("7", {"gateway": NAME})
    with world.running():
        assert not world.sources.complete
        world.dns.gate.set()
        eventually(lambda: seen[-1:] == [True])


def test_an_address_that_moves_is_followed_before_its_ttl_ends(world: World) -> None:
    world.dns.says("192.0.2.1", ttl=60)
    world.shelf.put("7", {"gateway": NAME + ":5060"})
    with world.running():
        eventually(lambda: world.owners("192.0.2.1"))
        world.dns.says("192.0.2.9", ttl=60)
        world.pass_time(50)
        eventually(lambda: world.owners("192.0.2.9"))
        assert world.owners("192.0.2.1") == []


@pytest.mark.parametrize("error", [OSError("SERVFAIL"), ValueError("a bug in the resolver")])
def test_what_was_resolved_stays_while_dns_fails(world: World, error: Exception) -> None:
    world.dns.says("192.0.2.1", ttl=1e9)
    world.shelf.put("7", {"gateway": NAME + ":5060"})
    with world.running():
        eventually(lambda: world.owners("192.0.2.1"))
        world.dns.error = error
        for _ in range(3):
            asked = len(world.dns.asked)
            world.pass_time(LONGEST_TTL + RETRY_SECONDS)
            eventually(lambda asked=asked: len(world.dns.asked) == asked + 2)  # type: ignore[misc]
            assert world.owners("192.0.2.1") == ["7"]
        world.dns.error = None
        world.dns.says()
        world.pass_time(RETRY_SECONDS)
        eventually(lambda: world.owners("192.0.2.1") == [])


def test_a_name_that_never_resolves_owns_nothing_and_holds_up_nothing(world: World) -> None:
    world.dns.error = OSError("no answer")
    world.shelf.put("7", {"gateway": NAME})
    with world.running():
        eventually(lambda: world.sources.complete)
        assert list(world.sources.networks()) == []


def test_one_organisations_change_asks_for_nothing_of_the_others(world: World) -> None:
    for index in range(300):
        world.shelf.put(str(index), {"gateway": f"h{index}.example.com:5060"})
    with world.running():
        eventually(lambda: world.sources.complete)
        asked, read = len(world.dns.asked), len(world.shelf.read)
        assert asked == 600
        world.push("7", {"gateway": "new.example.com:5060"})
        eventually(lambda: world.sources.complete)
        assert {question.name for question in world.dns.asked[asked:]} == {"new.example.com"}
        assert world.shelf.read[read:] == ["7"]


def test_no_more_questions_at_once_than_a_resolver_bears(world: World) -> None:
    world.dns.gate = Flag()
    trunks: list[dict[str, object]] = [{"gateway": f"h{index}.example.com:5060"} for index in range(40)]
    world.shelf.put("7", *trunks)
    with world.running():
        eventually(lambda: world.dns.at_once == QUESTIONS_AT_ONCE)
        gevent.idle()
        world.dns.gate.set()
        eventually(lambda: world.sources.complete)
    assert (world.dns.most_at_once, len(world.dns.asked)) == (QUESTIONS_AT_ONCE, 80)


REGISTERING: dict[str, object] = {"username": "u", "password": "p", "register": True}


def gateway_of(world: World, key: str) -> str:
    return gateways_of(world.shelf.stored[key], KEY)[0].name


def test_the_registrar_that_answered_is_trusted_while_the_binding_lasts(world: World) -> None:
    world.push("7", {"gateway": "192.0.2.1", **REGISTERING})
    gateway = gateway_of(world, "7")
    world.sources.take_gateway_event("fs1", gateway_event(gateway, "REGED", "198.51.100.7"))
    assert (world.owners("198.51.100.7"), world.owners("192.0.2.1")) == (["7"], ["7"])
    assert net("198.51.100.7")[0] in set(world.sources.networks())
    told = world.told
    world.sources.take_gateway_event("fs1", gateway_event(gateway, "FAILED", "198.51.100.7"))
    assert (world.owners("198.51.100.7"), world.owners("192.0.2.1")) == ([], ["7"])
    assert world.told == told + 1


def test_a_registration_costs_its_trunk_and_not_its_organisation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunks = 40
    world.push("7", *({"gateway": f"192.0.2.{n}", **REGISTERING} for n in range(trunks)))
    asked: list[str] = []
    real = Registrars.networks

    def counting(registrars: Registrars, gateway: str) -> tuple[Network, ...]:
        asked.append(gateway)
        return real(registrars, gateway)

    monkeypatch.setattr(Registrars, "networks", counting)
    for gateway in gateways_of(world.shelf.stored["7"], KEY):
        world.sources.take_gateway_event("fs1", gateway_event(gateway.name, "REGED", "198.51.100.7"))
    assert len(asked) < 5 * trunks, "each registration worked out every trunk of the organisation anew"
    assert len(world.sources.table.owners("198.51.100.7")) == trunks


def test_a_name_that_two_organisations_use_is_news_to_all_their_trunks(world: World) -> None:
    world.dns.says("192.0.2.1")
    world.push("7", {"gateway": NAME}, {"gateway": NAME})
    world.push("8", {"gateway": "192.0.2.9"}, {"gateway": NAME})
    with world.running():
        eventually(lambda: world.trunks("192.0.2.1") == ["7/t0", "7/t1", "8/t1"])
        world.push("7", {"gateway": NAME})
        world.dns.says("192.0.2.2")
        world.pass_time(LONGEST_TTL)
        eventually(lambda: world.trunks("192.0.2.2") == ["7/t0", "8/t1"])
        assert world.trunks("192.0.2.1") == []


def test_a_binding_known_before_its_trunk_counts_once_the_trunk_is_read(world: World) -> None:
    """Another replica took the push; its gateway registers here before we have read the store."""
    world.shelf.put("7", {"gateway": "192.0.2.1", **REGISTERING})
    world.sources.take_gateway_event("fs1", gateway_event(gateway_of(world, "7"), "REGED", "198.51.100.7"))
    assert world.owners("198.51.100.7") == []
    world.sources.reload()
    assert world.owners("198.51.100.7") == ["7"]


@pytest.mark.parametrize(
    "fields", [{"register": False}, {**REGISTERING, "allowed_addresses": ["192.0.2.0/24"]}]
)
def test_no_registrar_counts_for_a_trunk_without_registration_or_with_a_list(
    world: World, fields: dict[str, object]
) -> None:
    world.push("7", {"gateway": "192.0.2.1", **fields})
    world.sources.take_gateway_event("fs1", gateway_event(gateway_of(world, "7"), "REGED", "198.51.100.7"))
    assert world.owners("198.51.100.7") == []


def test_somebody_elses_gateway_lets_nobody_in(world: World) -> None:
    world.push("7", {"gateway": "192.0.2.1", **REGISTERING})
    world.sources.take_gateway_event("fs1", gateway_event("made.by.hand", "REGED", "198.51.100.7"))
    assert list(world.sources.networks()) == list(net("192.0.2.1"))


def test_a_binding_nobody_hears_of_ends_some_day(world: World) -> None:
    world.sources = TrunkSources(world.shelf, world.dns, 0.01, world.clock)  # type: ignore[arg-type]
    world.shelf.put("7", {"gateway": "192.0.2.1", **REGISTERING})
    with world.running():
        world.sources.take_gateway_event(
            "fs1", gateway_event(gateway_of(world, "7"), "REGED", "198.51.100.7")
        )
        assert world.owners("198.51.100.7") == ["7"]
        world.clock.now += LONGEST_BINDING
        eventually(lambda: world.owners("198.51.100.7") == [])


def test_what_another_process_stored_is_read_in_time_and_a_failing_store_loses_nothing(world: World) -> None:
    world.sources = TrunkSources(world.shelf, world.dns, 0.01, world.clock)  # type: ignore[arg-type]
    with world.running():
        world.shelf.put("7", {"gateway": "192.0.2.1"})
        eventually(lambda: world.owners("192.0.2.1"))
        world.shelf.fails = True
        read = len(world.shelf.read)
        gevent.sleep(0.03)
        assert world.owners("192.0.2.1")
        world.shelf.fails = False
        del world.shelf.stored["7"]
        eventually(lambda: not world.owners("192.0.2.1"))
        assert len(world.shelf.read) > read


@pytest.mark.parametrize("newer", [{"gateway": "192.0.2.2"}, None], ids=["changed", "deleted"])
def test_a_reading_that_was_overtaken_changes_nothing(world: World, newer: dict[str, object] | None) -> None:
    """A periodic reading made before a push and finished after it must not bring the old addresses back."""
    world.push("7", {"gateway": "192.0.2.1"})
    world.shelf.gate = gate = Flag()
    slow = gevent.spawn(world.sources.refresh, "7")
    eventually(lambda: len(world.shelf.read) == 2)
    world.shelf.gate = None
    if newer is None:
        del world.shelf.stored["7"]
        world.sources.refresh("7")
    else:
        world.push("7", newer)
    gate.set()
    slow.join()
    assert world.owners("192.0.2.1") == []
    assert world.owners("192.0.2.2") == (["7"] if newer else [])


def test_a_listener_is_told_after_the_table_is_new(world: World) -> None:
    seen: list[list[str]] = []
    look: Callable[[], None] = lambda: seen.append(world.owners("192.0.2.1"))  # noqa: E731
    world.sources.on_change(look)
    world.push("7", {"gateway": "192.0.2.1"})
    assert seen == [["7"]]


def old_and_new(world: World, **new: object) -> str:
    """A trunk that moved to another host, its old form in force on a node; the old gateway's name."""
    world.shelf.put("7", {"gateway": "192.0.2.1", **REGISTERING})
    old = gateway_of(world, "7")
    world.shelf.in_force["7"] = world.shelf.stored["7"]
    world.shelf.results = [NodeResult(node="fs1", generation=1, status="refused", applied_generation=-1)]
    world.push("7", {"gateway": "192.0.2.2", **REGISTERING, **new})
    return old


def test_an_old_form_of_a_trunk_counts_while_its_gateways_stand_in(world: World) -> None:
    old = old_and_new(world)
    world.sources.take_gateway_event("fs1", gateway_event(old, "REGED", "198.51.100.7"))
    everything = ("192.0.2.1", "192.0.2.2", "198.51.100.7")
    assert [world.owners(ip) for ip in everything] == [["7"]] * 3
    world.shelf.results = [NodeResult(node="fs1", generation=0, status="converged", applied_generation=0)]
    world.sources.applied("7")
    assert [world.owners(ip) for ip in everything] == [[], ["7"], []]
    read = len(world.shelf.read)
    world.sources.applied("7")
    assert len(world.shelf.read) == read, "nothing stands in any more"


def test_an_old_form_does_not_widen_what_a_trunk_says_itself(world: World) -> None:
    old = old_and_new(world, allowed_addresses=["203.0.113.5"])
    world.sources.take_gateway_event("fs1", gateway_event(old, "REGED", "198.51.100.7"))
    assert [world.owners(ip) for ip in ("192.0.2.1", "198.51.100.7", "203.0.113.5")] == [[], [], ["7"]]


def test_what_an_organization_says_for_all_reaches_trunks_that_did_not_change() -> None:
    world = World()
    world.push("7", {"gateway": "192.0.2.1"})
    (before,) = world.sources.table.owners("192.0.2.1")
    world.shelf.stored["7"] = world.shelf.stored["7"].model_copy(
        update={"channel_limit": 3, "media": AssistantMedia(stream_url="wss://a.example.com/x")}
    )
    world.sources.refresh("7")
    (owner,) = world.sources.table.owners("192.0.2.1")
    assert owner != before
    assert 3 in [scope.channel_limit for scope in owner.scopes]
    assert (media := world.sources.media_for("7", "t0")) is not None
    assert media.stream_url == "wss://a.example.com/x"
    world.push("7", {"gateway": "192.0.2.1", "ai_websocket_url": "wss://out.example.com/x"})
    assert (outbound := world.sources.media_for("7", "t0", "outbound")) is not None
    assert outbound.stream_url == "wss://out.example.com/x"
