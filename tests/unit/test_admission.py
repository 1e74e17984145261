"""Who may call, the pure parts: a trunk's own addresses, the table of them, names and their TTLs, registrars."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscontrol.calls.admission import (
    Question,
    SourceTable,
    TrunkSource,
    networks_of,
    own_addresses,
)
from fscontrol.calls.name_cache import (
    ASK_AGAIN_AT,
    LONGEST_TTL,
    RETRY_SECONDS,
    SHORTEST_TTL,
    NameCache,
)
from fscontrol.calls.registrars import LONGEST_BINDING, Registrars
from fscontrol.esl.event import Event
from fscontrol.esl.frames import FrameReader
from fscontrol.model.networks import Network
from fscontrol.model.trunk import Trunk

NOBODY = "0.0.0.0"  # noqa: S104  (the unspecified address is what is tested)


def net(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


def trunk(identifier: str = "t", gateway: str = "192.0.2.1", **fields: object) -> Trunk:
    return Trunk.model_validate({"id": identifier, "name": identifier, "gateway": gateway, **fields})


def source(organization: str, trunk_id: str = "t") -> TrunkSource:
    return TrunkSource(organization, organization, trunk_id)


class TestOwnAddresses:
    """What a trunk says its addresses are."""

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"gateway": "192.0.2.1"}, net("192.0.2.1/32")),
            ({"gateway": "192.0.2.1:5080"}, net("192.0.2.1/32")),
            ({"gateway": "[2001:db8::1]:5060"}, net("2001:db8::1/128")),
            ({"gateway": "[::ffff:192.0.2.1]"}, net("192.0.2.1/32")),
            ({"gateway": "192.0.2.1", "outbound_proxy": "192.0.2.2"}, net("192.0.2.1", "192.0.2.2")),
            (
                {"gateway": "192.0.2.1", "gateways": [{"gateway": "192.0.2.3"}, {"gateway": "192.0.2.1"}]},
                net("192.0.2.3", "192.0.2.1"),
            ),
            # What is allowed by name replaces everything else.
            (
                {"gateway": "192.0.2.1", "outbound_proxy": "h", "allowed_addresses": ["198.51.100.0/24"]},
                net("198.51.100.0/24"),
            ),
            ({"gateway": "h", "allowed_addresses": ["::ffff:198.51.100.0/120"]}, net("198.51.100.0/24")),
            # Never everybody, in any spelling, and never nobody in particular.
            ({"gateway": NOBODY}, ()),
            ({"gateway": "[::]"}, ()),
            ({"gateway": "h", "allowed_addresses": ["::ffff:0:0/96", "0.0.0.0/32"]}, ()),
        ],
    )
    def test_networks(self, fields: dict[str, object], expected: tuple[Network, ...]) -> None:
        assert own_addresses(trunk(**{"gateway": "x", **fields})).networks == expected  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"gateway": "sip.example.com"}, "A AAAA SRV sip.example.com"),
            ({"gateway": "sip.example.com:5060"}, "A AAAA sip.example.com"),
            (
                {"gateway": "192.0.2.1", "outbound_proxy": "proxy.example.com:5080"},
                "A AAAA proxy.example.com",
            ),
            ({"gateway": "sip.example.com", "allowed_addresses": ["192.0.2.0/24"]}, ""),
        ],
    )
    def test_questions(self, fields: dict[str, object], expected: str) -> None:
        *kinds, name = expected.split() or [""]
        questions = own_addresses(trunk(**fields)).questions  # type: ignore[arg-type]
        assert [(question.kind, question.name) for question in questions] == [(kind, name) for kind in kinds]

    def test_a_registrar_counts_only_where_the_trunk_registers_and_names_no_addresses(self) -> None:
        registering = {"username": "u", "password": "p", "register": True}
        assert own_addresses(trunk(**registering)).registrar  # type: ignore[arg-type]
        assert not own_addresses(trunk()).registrar
        assert not own_addresses(trunk(**registering, allowed_addresses=["192.0.2.9"])).registrar  # type: ignore[arg-type]

    @pytest.mark.parametrize("text", ["", "x", NOBODY, "::", "1.2.3", "256.0.0.1", "١.2.3.4"])
    def test_what_is_no_address_owns_nothing(self, text: str) -> None:
        assert networks_of([text]) == ()


class TestSourceTable:
    """Which trunks own an address."""

    TABLE = SourceTable(
        [
            (source("a"), net("192.0.2.1", "198.51.100.0/24")),
            (source("b"), net("192.0.2.1", "198.51.100.128/25", "2001:db8::/32")),
            (source("b", "second"), net("::ffff:203.0.113.7/128")),
        ]
    )

    @pytest.mark.parametrize(
        ("ip", "expected"),
        [
            ("192.0.2.1", ["a/t", "b/t"]),
            ("::ffff:192.0.2.1", ["a/t", "b/t"]),
            ("192.0.2.2", []),
            ("198.51.100.1", ["a/t"]),
            ("198.51.100.200", ["b/t", "a/t"]),
            ("2001:db8::5", ["b/t"]),
            ("[2001:db8::5]", ["b/t"]),
            ("2001:db8::5%eth0", ["b/t"]),
            ("2001:db9::5", []),
            ("203.0.113.7", ["b/second"]),
            ("::ffff:203.0.113.7", ["b/second"]),
            ("", []),
            ("192.0.2.1, 198.51.100.1", []),
            ("192.0.2.1\n", []),
            ("192.0.2.01", []),
            ("0xC0000201", []),
            ("3221225985", []),
        ],
    )
    def test_owners(self, ip: str, expected: list[str]) -> None:
        assert [f"{s.organization}/{s.trunk_id}" for s in self.TABLE.owners(ip)] == expected

    def test_replacing_one_organisation_touches_no_other(self) -> None:
        table = SourceTable([(source("a"), net("192.0.2.1")), (source("b"), net("192.0.2.1"))])
        assert table.replace("a", [(source("a"), net("192.0.2.9"))])
        assert [s.organization for s in table.owners("192.0.2.1")] == ["b"]
        assert [s.organization for s in table.owners("192.0.2.9")] == ["a"]
        assert table.replace("a", [])
        assert set(table.networks()) == set(net("192.0.2.1"))

    def test_one_trunk_moves_and_keeps_its_place(self) -> None:
        listed = [(source("a", "first"), ()), (source("a", "second"), net("192.0.2.1"))]
        table = SourceTable([*listed, (source("b"), net("192.0.2.7"))])
        assert not table.move("a", "first", net("192.0.2.1")), "the network was in the table before"
        assert [s.trunk_id for s in table.owners("192.0.2.1")] == ["first", "second"]
        assert table.move("a", "first", net("192.0.2.9"))
        assert [s.trunk_id for s in table.owners("192.0.2.1")] == ["second"]
        assert not table.move("a", "first", net("::ffff:192.0.2.9/128")), "the same in another spelling"
        assert not table.move("a", "third", net("192.0.2.7")), "no such trunk"
        assert not table.move("c", "first", net("192.0.2.7")), "no such organisation"
        assert table.replace("a", [])
        assert set(table.networks()) == set(net("192.0.2.7"))

    @pytest.mark.parametrize(
        ("before", "after", "news"),
        [
            (net("192.0.2.1"), net("192.0.2.1"), False),
            (net("192.0.2.1", "192.0.2.2"), net("192.0.2.2", "192.0.2.1"), False),
            (net("192.0.2.1"), net("192.0.2.7"), False),  # both are somebody else's as well
            (net("192.0.2.1"), (), False),
            (net("192.0.2.3"), (), True),
            ((), net("192.0.2.3"), True),
            (net("192.0.2.1"), net("192.0.2.0/24"), True),
        ],
    )
    def test_it_says_whether_the_networks_are_others(
        self, before: tuple[Network, ...], after: tuple[Network, ...], news: bool
    ) -> None:
        table = SourceTable([(source("other"), net("192.0.2.1", "192.0.2.7")), (source("a"), before)])
        was = set(table.networks())
        assert table.replace("a", [(source("a"), after)] if after else []) is news
        assert (set(table.networks()) != was) is news

    @given(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.lists(st.integers(0, 7).map(lambda n: f"192.0.2.{n}/32"))),
            max_size=12,
        )
    )
    def test_after_any_changes_it_is_what_it_would_be_built_anew(
        self, changes: list[tuple[str, list[str]]]
    ) -> None:
        table, last = SourceTable(), {}
        for organization, networks in changes:
            last[organization] = [(source(organization), net(*networks))]
            table.replace(organization, last[organization])
        anew = SourceTable(pair for owned in last.values() for pair in owned)
        assert set(table.networks()) == set(anew.networks())
        for host in range(8):
            ip = f"192.0.2.{host}"
            assert set(table.owners(ip)) == set(anew.owners(ip))
            assert {s.organization for s in table.owners(ip)} == {
                organization for organization, owned in last.items() if net(ip)[0] in owned[0][1]
            }


A, AAAA, SRV = (Question("sip.example.com", kind) for kind in ("A", "AAAA", "SRV"))


class TestNameCache:
    """What is known of names."""

    def test_a_new_question_is_due_at_once_and_asked_once(self) -> None:
        cache = NameCache()
        cache.use("7", [A])
        cache.use("8", [A])
        assert (cache.take_due(0.0), cache.take_due(1e9)) == (A, None)
        assert not cache.complete
        assert cache.answered(A, net("192.0.2.1"), 60, 100.0) == {"7", "8"}
        assert cache.complete

    @pytest.mark.parametrize(
        ("ttl", "counts"), [(0, SHORTEST_TTL), (60, 60.0), (604_800, LONGEST_TTL), (-5, SHORTEST_TTL)]
    )
    def test_it_is_asked_again_before_the_answer_runs_out(self, ttl: float, counts: float) -> None:
        cache = NameCache()
        cache.use("7", [A])
        cache.take_due(0.0)
        cache.answered(A, net("192.0.2.1"), ttl, 1000.0)
        due = 1000.0 + counts * ASK_AGAIN_AT
        assert cache.next_due() == due < 1000.0 + counts
        assert cache.take_due(due - 0.001) is None
        assert cache.take_due(due) == A

    def test_the_last_answer_stays_while_dns_fails(self) -> None:
        cache = NameCache()
        cache.use("7", [A])
        cache.take_due(0.0)
        cache.answered(A, net("192.0.2.1"), 60, 0.0)
        now = 60.0
        for _ in range(100):
            assert cache.take_due(now) == A
            assert not cache.failed(A, now), "something is known"
            assert cache.take_due(now + RETRY_SECONDS - 1) is None
            now += RETRY_SECONDS
        assert cache.networks(A) == net("192.0.2.1")

    def test_an_answer_of_none_is_an_answer(self) -> None:
        cache = NameCache()
        cache.use("7", [A])
        cache.take_due(0.0)
        cache.answered(A, net("192.0.2.1"), 60, 0.0)
        cache.take_due(60.0)
        assert cache.answered(A, (), 60, 60.0) == {"7"}
        assert cache.networks(A) == ()

    def test_the_same_answer_is_no_news(self) -> None:
        cache = NameCache()
        cache.use("7", [A])
        cache.take_due(0.0)
        assert cache.answered(A, net("192.0.2.1", "192.0.2.2"), 60, 0.0)
        cache.take_due(60.0)
        assert not cache.answered(A, net("192.0.2.2", "192.0.2.1"), 60, 60.0)

    def test_what_nobody_uses_is_forgotten_even_while_it_is_asked(self) -> None:
        cache = NameCache()
        cache.use("7", [A, SRV])
        assert cache.take_due(0.0) == A
        cache.use("7", [])
        assert cache.complete
        assert cache.answered(A, net("192.0.2.1"), 60, 0.0) == frozenset()
        assert not cache.failed(SRV, 0.0)
        assert (cache.networks(A), cache.take_due(1e9)) == ((), None)

    def test_a_change_of_one_user_asks_only_what_is_new(self) -> None:
        cache = NameCache()
        for index in range(5000):
            cache.use(str(index), [Question(f"h{index}", "A")])
        while question := cache.take_due(0.0):
            cache.answered(question, net("192.0.2.1"), 3600, 0.0)
        cache.use("7", [Question("new", "A")])
        assert cache.take_due(1.0) == Question("new", "A")
        assert cache.take_due(1.0) is None

    def test_the_never_asked_come_before_the_overdue(self) -> None:
        cache = NameCache()
        cache.use("7", [A])
        cache.take_due(0.0)
        cache.answered(A, (), 30, 0.0)
        cache.use("8", [AAAA])
        assert [cache.take_due(1e6), cache.take_due(1e6)] == [AAAA, A]


def gateway_event(name: str, state: str, ip: str = "", *, subclass: str = "sofia::gateway_state") -> Event:
    lines = ["Event-Name: CUSTOM", f"Event-Subclass: {subclass}", f"Gateway: {name}", f"State: {state}"]
    return Event(plain="\n".join([*lines, *([f"Register-Network-IP: {ip}"] if ip else [])]).encode())


class TestRegistrars:
    """Where registrars answered from."""

    def test_the_captured_events(self, captures: Path) -> None:
        registrars, reader = Registrars(), FrameReader()
        reader.receive_data((captures / "gateways" / "events.json").read_bytes())
        ever: dict[str, set[Network]] = {}
        while (frame := reader.next_frame()) is not None:
            event = Event.of_frame(frame)
            registrars.take_event("fs1", event, 0.0)
            ever.setdefault(event.get("Gateway"), set()).update(registrars.networks(event.get("Gateway")))
        # Those that answered with a refusal have an address in their events as well.
        assert {gateway for gateway, networks in ever.items() if networks} == {"org7.registered"}
        assert ever["org7.registered"] == set(net("127.0.0.1"))
        assert registrars.networks("org7.registered") == (), "it was killed at the end"

    def test_a_healthy_refresh_keeps_it(self) -> None:
        registrars = Registrars()
        assert registrars.take_event("fs1", gateway_event("g", "REGED", "192.0.2.1"), 0.0)
        for state in ("UNREGED", "TRYING", "REGISTER", "REGED"):
            assert not registrars.take_event("fs1", gateway_event("g", state, "192.0.2.1"), 1.0)
        assert registrars.networks("g") == net("192.0.2.1")

    @pytest.mark.parametrize(
        "state", ["FAILED", "FAIL_WAIT", "TIMEOUT", "EXPIRED", "UNREGISTER", "DOWN", "NOREG"]
    )
    def test_the_end_of_a_binding_ends_it(self, state: str) -> None:
        registrars = Registrars()
        registrars.take_event("fs1", gateway_event("g", "REGED", "192.0.2.1"), 0.0)
        assert registrars.take_event("fs1", gateway_event("g", state, "192.0.2.1"), 1.0)
        assert registrars.networks("g") == ()

    def test_a_deleted_gateway_has_none(self) -> None:
        registrars = Registrars()
        registrars.take_event("fs1", gateway_event("g", "REGED", "192.0.2.1"), 0.0)
        assert registrars.take_event("fs1", gateway_event("g", "", subclass="sofia::gateway_delete"), 1.0)
        assert registrars.networks("g") == ()

    def test_another_node_keeps_its_own(self) -> None:
        registrars = Registrars()
        for node in ("fs1", "fs2"):
            registrars.take_event(node, gateway_event("g", "REGED", "192.0.2.1"), 0.0)
        registrars.take_event("fs1", gateway_event("g", "FAILED"), 1.0)
        assert registrars.networks("g") == net("192.0.2.1")

    def test_a_binding_nobody_hears_of_ends_some_day(self) -> None:
        registrars = Registrars()
        registrars.take_event("fs1", gateway_event("g", "REGED", "192.0.2.1"), 0.0)
        assert registrars.expire(LONGEST_BINDING - 1) == []
        assert registrars.expire(LONGEST_BINDING) == ["g"]
        assert registrars.networks("g") == ()

    @pytest.mark.parametrize("ip", ["", "nonsense", NOBODY, "::"])
    def test_an_address_that_is_none_adds_nobody(self, ip: str) -> None:
        registrars = Registrars()
        assert not registrars.take_event("fs1", gateway_event("g", "REGED", ip), 0.0)
        assert registrars.networks("g") == ()
