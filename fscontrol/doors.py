"""Which HTTP doors there are and what each is given: the second half of the composition root (`app.py`).

Owns: the list. Refuses: making anything; all that a door needs is the application's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flask import Flask

from fscontrol.calls.batch_orders import BatchOrders
from fscontrol.calls.ordering import Ordering
from fscontrol.http import (
    alarms,
    api_keys,
    audit,
    audit_page,
    batch,
    call_pages,
    calls,
    control,
    documentation,
    events,
    explain,
    explain_page,
    freeswitch,
    gateway_pages,
    gateways,
    livekit,
    node_pages,
    nodes,
    observe,
    organizations,
    outbox,
    outbox_page,
    overview_page,
    pages,
    phone_numbers,
    sip_trunks,
    sync,
    trunk_rpc,
    trunks,
    webhooks,
)
from fscontrol.http.auth import Recognise, bridge_key, first_of, look_again_by
from fscontrol.http.known_keys import KnownKeys
from fscontrol.http.limits import Allowed, RateLimits
from fscontrol.http.server import make_app
from fscontrol.http.sessions import Sessions, bridge_digest
from fscontrol.provisioning.rpc_trunk import Binding
from fscontrol.settings import Settings
from fscontrol.sofia.nudge import Nudger

if TYPE_CHECKING:
    from fscontrol.app import Application


def http_app(house: Application) -> Flask:
    """The HTTP application over all doors."""
    settings, store, registrations = house.settings, house.store, house.registrations
    timeout = settings.apply_timeout_seconds
    known_keys = KnownKeys(house.keys)
    ways: list[Recognise] = [bridge_key(settings.api_key), known_keys, *by_tokens(settings)]
    binding = Binding(settings.sip_ip, settings.sip_port, settings.rtp_ports, settings.external_ip)
    states = trunks.TrunkStates(house.watch.breakers, house.watch.tally)
    ordering = Ordering(store, house.outgoing.calls)
    batches = BatchOrders(store, house.outgoing.batches.look, house.outgoing.calls.new_call_sid)
    nudger = Nudger(house.nodes, store, registrations)
    board = gateways.GatewayDesk(
        store, registrations, nudger, house.watch.breakers.of, house.sources.trunk_of
    )
    desk = nodes.NodeDesk(house.nodes, house.leases, house.draining, store, registrations, house.fleet)
    doors = [
        sync.door(house.organizations, house.reconciler, registrations, house.wall.settle, timeout),
        organizations.door(
            house.organizations, store, house.reconciler, registrations, house.nodes, timeout, states
        ),
        gateways.door(board),
        trunks.door(store, house.organizations, states),
        observe.door(store, house.book, house.nodes, house.workers.figures),
        nodes.door(desk),
        alarms.door(store),
        explain.door(house.ways),
        control.door(store, house.book, house.controls.control, house.controls.transfer),
        calls.door(ordering),
        batch.door(store, batches, ordering, mask=settings.mask_numbers),
        events.door(house.bus),
        sip_trunks.door(house.trunks, states.is_tripped),
        phone_numbers.door(house.numbers),
        documentation.door(),
        audit.door(store),
        webhooks.door(house.organizations),
        outbox.door(store, house.outbox.wake, mask=settings.mask_numbers),
        api_keys.door(house.keys, known_keys.forget),
        trunk_rpc.door(house.trunks, states, binding),
        livekit.door(house.trunks, house.numbers),
        pages.door(),
        overview_page.door(board, house.book, desk),
        gateway_pages.door(board),
        node_pages.door(desk),
        call_pages.door(store, house.book, house.nodes, house.controls.control),
        explain_page.door(house.ways),
        outbox_page.door(store, house.outbox.wake, mask=settings.mask_numbers),
        audit_page.door(store),
    ]
    if house.served:
        doors.append(freeswitch.door(house.served, settings.xml_curl_password))
    limits = RateLimits(Allowed.by(settings))
    recognise = first_of(*ways)
    sessions = Sessions(
        store.fingerprint_key(),
        house.keys.digest,
        (known_keys.of_digest, bridge_digest(settings.api_key, house.keys.digest)),
        settings.session_seconds,
    )
    app = make_app(
        doors, limits.guarded(recognise), settings.max_body_bytes, settings.trusted_proxies, sessions
    )
    look_again_by(app, recognise)
    house.workers.install(app)
    limits.install(app)
    return app


def by_tokens(settings: Settings) -> Iterator[Recognise]:
    """The way of tokens, if any are taken. PyJWT knows keys and certificates of all kinds, which is 2 MB."""
    if settings.jwt_secret.get_secret_value() or settings.jwt_jwks_file is not None:
        from fscontrol.http.tokens import tokens_of

        yield tokens_of(settings)
