"""Keeping the table of source addresses true while organisations and DNS change.

Owns: turning trunks into the networks their calls may come from, resolving names off the hub, and keeping the last
good answer when DNS fails. Refuses: "all addresses"; a trunk whose name does not resolve owns none.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Iterable

import gevent
from gevent.event import Event as Flag

from fscontrol.calls.admission import Network, SourceTable, TrunkSource
from fscontrol.calls.called_number import NumberRules
from fscontrol.calls.limits import Scope
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk, split_host_port
from fscontrol.store.base import Store
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

Resolve = Callable[[str], Iterable[str]]
"""A host name to its addresses; raises OSError when it does not resolve."""

_MOST_NAMES = 20_000


class TrunkSources:
    """`table` is always the newest; it is replaced whole, never changed."""

    def __init__(self, store: Store, resolve: Resolve, seconds: float) -> None:
        self.table = SourceTable(())
        self._store = store
        self._resolve = resolve
        self._seconds = seconds
        self._organizations: dict[str, list[tuple[TrunkSource, tuple[str, ...], tuple[Network, ...]]]] = {}
        self._resolved: dict[str, tuple[Network, ...]] = {}
        self._unresolved = Flag()
        self._greenlet: gevent.Greenlet[..., object] | None = None

    def start(self) -> None:
        """Load every organisation, then keep names resolved in the background."""
        self.reload()
        self._greenlet = spawn("resolve trunk addresses", self._run)

    def stop(self) -> None:
        """End the background work."""
        if self._greenlet is not None:
            self._greenlet.kill(timeout=2)

    def reload(self) -> None:
        """Read everything from the store anew."""
        keys = self._store.organization_keys()
        self._organizations = {
            key: self._entries(organization)
            for key in keys
            if (organization := self._store.organization(key))
        }
        self._rebuild()

    def refresh(self, key: str) -> None:
        """One organisation changed. Literal addresses count at once, names as soon as they are resolved."""
        organization = self._store.organization(key)
        if organization is None:
            self._organizations.pop(key, None)
        else:
            self._organizations[key] = self._entries(organization)
        self._rebuild()

    def _entries(
        self, organization: Organization
    ) -> list[tuple[TrunkSource, tuple[str, ...], tuple[Network, ...]]]:
        return [
            (_source(organization, trunk), *_names_and_networks(trunk))
            for trunk in organization.enabled_trunks
        ]

    def _rebuild(self) -> None:
        entries = [entry for entries in self._organizations.values() for entry in entries]
        self.table = SourceTable(
            (source, [*networks, *(network for name in names for network in self._resolved.get(name, ()))])
            for source, names, networks in entries
        )
        if any(name not in self._resolved for _, names, _ in entries for name in names):
            self._unresolved.set()

    def _run(self) -> None:
        while True:
            self._unresolved.wait(self._seconds)
            self._unresolved.clear()
            try:
                self.reload()
                self._resolve_all()
            except Exception:
                log.exception("trunk addresses not refreshed; the last ones stay")

    def _resolve_all(self) -> None:
        names = {
            name for entries in self._organizations.values() for _, names, _ in entries for name in names
        }
        changed = False
        for name in sorted(names)[:_MOST_NAMES]:
            try:
                found = tuple(ipaddress.ip_network(address) for address in self._resolve(name))
            except OSError as error:
                # Kept when DNS fails: a resolver's outage must not refuse a carrier's calls.
                if name not in self._resolved:
                    log.warning("a trunk's host does not resolve", extra={"host": name, "reason": str(error)})
                    self._resolved[name] = ()
                continue
            changed = changed or self._resolved.get(name) != found
            self._resolved[name] = found
        for name in self._resolved.keys() - names:
            del self._resolved[name]
        if changed:
            self._rebuild()


def _source(organization: Organization, trunk: Trunk) -> TrunkSource:
    scopes = (
        Scope(f"trunk:{organization.key}/{trunk.id}", trunk.channel_limit, trunk.calls_per_second),
        Scope(f"organization:{organization.key}", organization.channel_limit, organization.calls_per_second),
    )
    return TrunkSource(
        organization.key,
        organization.id,
        trunk.id,
        trunk.inbound_enabled,
        NumberRules(trunk.default_country, trunk.tech_prefix),
        trunk.default_assistant_id,
        scopes,
        trunk.media_ip_cidrs,
    )


def _names_and_networks(trunk: Trunk) -> tuple[tuple[str, ...], tuple[Network, ...]]:
    """Names still to resolve and networks known. `allowed_addresses`, where given, replace the gateway's own."""
    if trunk.allowed_addresses:
        return (), tuple(ipaddress.ip_network(address) for address in trunk.allowed_addresses)
    names: list[str] = []
    networks: list[Network] = []
    for address in (*trunk.addresses(), *filter(None, (trunk.outbound_proxy,))):
        host = split_host_port(address)[0].strip("[]")
        try:
            networks.append(ipaddress.ip_network(host))
        except ValueError:
            names.append(host)
    return tuple(dict.fromkeys(names)), tuple(dict.fromkeys(networks))
