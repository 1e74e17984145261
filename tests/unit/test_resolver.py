"""DNS on the wire: a nameserver of the test's on loopback, with zones, failures and silence."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import gevent
import pytest
from gevent import socket

from fscontrol.calls import resolver
from fscontrol.calls.admission import Question
from fscontrol.calls.resolver import MOST_ADDRESSES, MOST_TARGETS, NOTHING_TTL, DnsResolver, Resolved


class Nameserver:
    """Answers over UDP from `zone`; names in `broken` get SERVFAIL, those in `silent` nothing."""

    def __init__(self) -> None:
        self.zone: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self.broken: set[str] = set()
        self.silent: set[str] = set()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.greenlet = gevent.spawn(self._serve)

    def has(self, name: str, kind: str, *records: str, ttl: int = 300) -> None:
        self.zone[name + ".", kind] = (ttl, list(records))

    def _serve(self) -> None:
        while True:
            data, sender = self.socket.recvfrom(4096)
            query = dns.message.from_wire(data)
            name, kind = str(query.question[0].name), dns.rdatatype.to_text(query.question[0].rdtype)
            if name in self.silent:
                continue
            answer = dns.message.make_response(query)
            found = self.zone.get((name, kind))
            if name in self.broken:
                answer.set_rcode(dns.rcode.SERVFAIL)
            elif found:
                answer.answer.append(dns.rrset.from_text(name, found[0], "IN", kind, *found[1]))
            elif not any(known == name for known, _ in self.zone):
                answer.set_rcode(dns.rcode.NXDOMAIN)
            self.socket.sendto(answer.to_wire(max_size=65_535), sender)


@pytest.fixture
def nameserver() -> Iterator[Nameserver]:
    server = Nameserver()
    yield server
    server.greenlet.kill()
    server.socket.close()


@pytest.fixture
def ask(nameserver: Nameserver, monkeypatch: pytest.MonkeyPatch) -> DnsResolver:
    monkeypatch.setattr(resolver, "QUESTION_SECONDS", 0.5)
    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    inner = dns.resolver.Resolver(configure=False)
    inner.nameservers = ["127.0.0.1"]
    inner.port = nameserver.socket.getsockname()[1]
    return DnsResolver(inner)


def nobody(*_arguments: object, **_options: object) -> list[object]:
    raise OSError("Name or service not known")


def test_addresses_and_their_ttl(nameserver: Nameserver, ask: DnsResolver) -> None:
    nameserver.has("sip.example.com", "A", "192.0.2.1", "192.0.2.2", ttl=77)
    nameserver.has("sip.example.com", "AAAA", "2001:db8::1", ttl=99)
    found = ask(Question("sip.example.com", "A"))
    assert (sorted(found.addresses), found.ttl) == (["192.0.2.1", "192.0.2.2"], 77.0)
    assert ask(Question("sip.example.com", "AAAA")) == Resolved(("2001:db8::1",), 99.0)


def test_an_alias_is_followed(nameserver: Nameserver, ask: DnsResolver) -> None:
    nameserver.has("sip.example.com", "A", "192.0.2.1")
    nameserver.has("alias.example.com", "CNAME", "sip.example.com.")
    # A stub resolver is given the whole chain or asks on; ours answers the alias alone.
    assert ask(Question("alias.example.com", "A")).addresses == ()


def test_srv_of_all_three_services_with_their_targets(nameserver: Nameserver, ask: DnsResolver) -> None:
    nameserver.has(
        "_sip._udp.example.com", "SRV", "1 1 5060 a.example.com.", "2 1 5060 b.example.com.", ttl=40
    )
    nameserver.has("_sip._tcp.example.com", "SRV", "1 1 5060 a.example.com.")
    nameserver.has("_sips._tcp.example.com", "SRV", "1 1 5061 c.example.com.")
    nameserver.has("a.example.com", "A", "192.0.2.1")
    nameserver.has("b.example.com", "AAAA", "2001:db8::2", ttl=200)
    nameserver.has("c.example.com", "A", "192.0.2.3")
    found = ask(Question("example.com", "SRV"))
    assert sorted(found.addresses) == ["192.0.2.1", "192.0.2.3", "2001:db8::2"]
    assert found.ttl == 40.0


def test_a_service_that_is_decidedly_not_there(nameserver: Nameserver, ask: DnsResolver) -> None:
    nameserver.has("_sip._udp.example.com", "SRV", "0 0 0 .")
    assert ask(Question("example.com", "SRV")).addresses == ()


@pytest.mark.parametrize("kind", ["A", "AAAA", "SRV"])
def test_no_such_name_is_an_answer(ask: DnsResolver, kind: str) -> None:
    assert ask(Question("nowhere.example.com", kind)) == Resolved((), NOTHING_TTL)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["x" * 64 + ".example.com", ".".join(["a" * 60] * 5), "a..b"])
def test_a_name_that_cannot_be_is_an_answer(ask: DnsResolver, name: str) -> None:
    assert ask(Question(name, "A")).addresses == ()


@pytest.mark.parametrize("kind", ["A", "AAAA", "SRV"])
def test_a_failing_or_silent_nameserver_is_none(nameserver: Nameserver, ask: DnsResolver, kind: str) -> None:
    for names in (nameserver.broken, nameserver.silent):
        names |= {"down.example.com.", "_sip._tcp.down.example.com."}
        with pytest.raises(OSError, match="down"):
            ask(Question("down.example.com", kind))  # type: ignore[arg-type]
        names.clear()


def test_a_target_that_does_not_resolve_leaves_the_whole_answer_open(
    nameserver: Nameserver, ask: DnsResolver
) -> None:
    nameserver.has("_sip._udp.example.com", "SRV", "1 1 5060 a.example.com.", "2 1 5060 b.example.com.")
    nameserver.has("a.example.com", "A", "192.0.2.1")
    nameserver.broken.add("b.example.com.")
    with pytest.raises(OSError, match=r"b\.example"):
        ask(Question("example.com", "SRV"))


def test_what_dns_does_not_know_may_stand_in_the_hosts_file(
    nameserver: Nameserver, ask: DnsResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = {"pbx": [(0, 0, 0, "", ("192.0.2.5", 0)), (0, 0, 0, "", ("2001:db8::5", 0, 0, 0))]}
    monkeypatch.setattr(socket, "getaddrinfo", lambda name, *_a, **_k: hosts.get(name) or nobody())
    assert ask(Question("pbx", "A")).addresses == ("192.0.2.5", "2001:db8::5")
    assert ask(Question("pbx", "AAAA")).addresses == ()
    nameserver.silent.add("pbx.")
    assert ask(Question("pbx", "A")).addresses == ("192.0.2.5", "2001:db8::5")


def test_a_zone_may_not_flood_us(nameserver: Nameserver, ask: DnsResolver) -> None:
    nameserver.has("big.example.com", "A", *(f"10.0.{n // 250}.{n % 250}" for n in range(500)))
    targets = [f"1 1 5060 t{n}.example.com." for n in range(60)]
    nameserver.has("_sip._udp.big.example.com", "SRV", *targets)
    for n in range(60):
        nameserver.has(f"t{n}.example.com", "A", f"192.0.2.{n}")
    assert len(ask(Question("big.example.com", "A")).addresses) == MOST_ADDRESSES
    assert len(ask(Question("big.example.com", "SRV")).addresses) == MOST_TARGETS


def test_nobody_else_waits_meanwhile(nameserver: Nameserver, ask: DnsResolver) -> None:
    """The hub goes on: other greenlets run while twenty questions wait for a nameserver that says nothing."""
    nameserver.silent.add("silent.example.com.")
    asking = [gevent.spawn(ask, Question("silent.example.com", "AAAA")) for _ in range(20)]
    turns = 0
    while not all(greenlet.ready() for greenlet in asking):
        gevent.sleep(0.001)
        turns += 1
    assert turns > 50
    assert all(isinstance(greenlet.exception, OSError) for greenlet in asking)


def test_without_a_nameserver_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> dns.resolver.Resolver:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver, "get_default_resolver", missing)
    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(OSError, match="example"):
        DnsResolver()(Question("sip.example.com", "A"))


_FIRST_QUESTION = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from gevent import socket
from fscontrol.calls import asking
from fscontrol.calls.admission import Question

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))

def serve():
    while True:
        query, sender = server.recvfrom(4096)
        record = bytes.fromhex("c00c 0001 0001 0000003c 0004 c0000207")
        server.sendto(query[:2] + bytes.fromhex("8180 0001 0001 0000 0000") + query[12:] + record, sender)

def go_on():
    global turns
    while True:
        turns += 1
        gevent.sleep(0.001)

assert "dns.resolver" not in sys.modules
turns = 0
others = gevent.spawn(go_on)
asking._resolver()
others.kill()
import dns.resolver
ours = dns.resolver.default_resolver = dns.resolver.Resolver(configure=False)
ours.nameservers, ours.port = ["127.0.0.1"], server.getsockname()[1]
gevent.spawn(serve)
print(turns > 10, *asking.ask_dns(Question("carrier.example.com", "A")).addresses)
"""


def test_the_first_question_brings_the_library_while_others_go_on(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    ran = subprocess.run(
        [sys.executable, "-c", _FIRST_QUESTION],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.stdout.split(), ran.stderr) == (["True", "192.0.2.7"], "")
