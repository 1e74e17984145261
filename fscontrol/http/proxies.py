"""Where a request comes from, and whether over TLS, when proxies stand in between: `X-Forwarded-For` and `-Proto`,
believed only as far as it is earned.

Owns: reading the header from its end, where the nearest proxy wrote, for as long as it was one of the trusted that
wrote there. Refuses: to believe anybody else; without trusted proxies the header says nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fscontrol.model.networks import Network, plain_address, plain_network

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def client_address(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """Who asks: the last address in `peer` and the header, from the near end, that is no trusted proxy's; pure.

    What is no address ends the walk: the proxy that wrote it down is then the furthest that is known.
    """
    known = peer
    for hop in (peer, *(part.strip() for part in reversed(forwarded.split(",")))):
        address = plain_address(_without_port(hop))
        if address is None:
            return known
        known = str(address)
        if not _is_one_of(known, trusted):
            return known
    return known


def _is_one_of(peer: str, networks: Sequence[Network]) -> bool:
    address = plain_address(peer)
    return address is not None and any(
        address.version == network.version and address in network for network in networks
    )


def _without_port(hop: str) -> str:
    """Some proxies write `192.0.2.1:4711` and `[2001:db8::1]:4711`."""
    if hop.startswith("["):
        return hop.partition("]")[0][1:]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def behind_proxies(app: Wsgi, proxies: Sequence[str]) -> Wsgi:
    """`app`, whose REMOTE_ADDR and scheme are the client's own; `proxies` are the CIDRs that may say them."""
    trusted = [plain_network(ipaddress.ip_network(cidr, strict=False)) for cidr in proxies]

    def through(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        forwarded = environ.get("HTTP_X_FORWARDED_FOR", "")
        peer = environ.get("REMOTE_ADDR", "")
        if environ.get("HTTP_X_FORWARDED_PROTO", "").strip().lower() == "https" and _is_one_of(peer, trusted):
            environ["wsgi.url_scheme"] = "https"
        environ["REMOTE_ADDR"] = client_address(peer, forwarded, trusted)
        return app(environ, start_response)

    return through
