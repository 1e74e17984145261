"""What DNS says of a trunk's host: A, AAAA, and SRV where the address has no port.

Owns: the questions on the wire, their deadlines, and the bounds on what a zone may send. Refuses: to remember anything
(`name_cache.py`) and to block the hub: dnspython waits on gevent's sockets, which `monkey` patched before this was
imported, and the system's resolver runs in gevent's threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.name
import dns.resolver
from gevent import socket

from fscontrol.calls.admission import Question

QUESTION_SECONDS = 5.0
MOST_TARGETS = 20
MOST_ADDRESSES = 100
SYSTEM_TTL = 60.0
"""How long an answer of the system's resolver counts; it does not say."""
NOTHING_TTL = 60.0
_SERVICES = ("_sip._udp", "_sip._tcp", "_sips._tcp")
_NO_SUCH_NAME = (
    dns.resolver.NXDOMAIN,
    dns.resolver.YXDOMAIN,
    dns.name.LabelTooLong,
    dns.name.NameTooLong,
    dns.name.EmptyLabel,
    UnicodeError,
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The addresses of a name, and the seconds they count; none when there is no such name or record."""

    addresses: tuple[str, ...]
    ttl: float


class DnsResolver:
    """Asks the nameservers of the system, or those of the `resolver` given."""

    def __init__(self, resolver: dns.resolver.Resolver | None = None) -> None:
        self._resolver = resolver

    def __call__(self, question: Question) -> Resolved:
        """The answer. Raises `OSError` when a nameserver fails or says nothing in time."""
        if question.kind == "SRV":
            return self._services(question.name)
        try:
            resolved = self._addresses(question.name, question.kind)
        except OSError:
            # No nameserver at all is how a machine with an /etc/hosts alone looks.
            if question.kind == "A" and (found := _by_system(question.name)):
                return found
            raise
        # What DNS does not know may stand in /etc/hosts, or need the system's search list.
        if question.kind == "A" and not resolved.addresses:
            return _by_system(question.name) or resolved
        return resolved

    def _services(self, name: str) -> Resolved:
        targets: dict[str, None] = {}
        ttls: list[float] = []
        for service in _SERVICES:
            records, ttl = self._ask(f"{service}.{name}", "SRV")
            ttls.append(ttl)
            targets |= {str(record.target).rstrip("."): None for record in records[:MOST_TARGETS]}
        targets.pop("", None)  # a target of `.`: the service is decidedly not available (RFC 2782)
        found = [self._addresses(target, kind) for target in targets for kind in ("A", "AAAA")]
        addresses = dict.fromkeys(address for one in found for address in one.addresses)
        return Resolved(tuple(addresses)[:MOST_ADDRESSES], min([*ttls, *(one.ttl for one in found)]))

    def _addresses(self, name: str, kind: str) -> Resolved:
        records, ttl = self._ask(name, kind)
        return Resolved(tuple(str(record.address) for record in records[:MOST_ADDRESSES]), ttl)

    def _ask(self, name: str, kind: str) -> tuple[list[Any], float]:
        try:
            resolver = self._resolver or dns.resolver.get_default_resolver()
            answer = resolver.resolve(name, kind, lifetime=QUESTION_SECONDS, raise_on_no_answer=False)
        except _NO_SUCH_NAME:
            return [], NOTHING_TTL
        except dns.exception.DNSException as error:
            raise OSError(f"{kind} {name}: {error}") from None
        if answer.rrset is None:
            return [], NOTHING_TTL
        return list(answer.rrset), float(answer.rrset.ttl)


def _by_system(name: str) -> Resolved | None:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return None
    addresses = dict.fromkeys(str(info[4][0]) for info in found)
    return Resolved(tuple(addresses)[:MOST_ADDRESSES], SYSTEM_TTL)
