"""The composition root: the one module that knows all the others, and the order in which they start and stop.

Start: store, then what reads it, then the call socket (a call must find us as soon as FreeSWITCH can place one), then
the nodes, then HTTP. Stop: the reverse; calls in progress are FreeSWITCH's and go on.
"""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from flask import Flask

from fscontrol.backend import messages
from fscontrol.backend.client import BackendClient
from fscontrol.backend.outbox import Outbox
from fscontrol.calls.book import Announcer, CallBook
from fscontrol.calls.controls import make_controls
from fscontrol.calls.finding import WayFinder
from fscontrol.calls.identity import call_sid
from fscontrol.calls.inbound import InboundCalls, Prewarm
from fscontrol.calls.limits import Limits
from fscontrol.calls.resolver import DnsResolver
from fscontrol.calls.sources import TrunkSources
from fscontrol.errors import ConfigurationError, EslError
from fscontrol.esl import commands
from fscontrol.esl.call_socket import CallSocketServer
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.esl.nodes import Nodes
from fscontrol.http import control, explain, observe, organizations, outbox, sync
from fscontrol.http.server import HttpServer, make_app
from fscontrol.media.relay import Relay, RelaySettings
from fscontrol.media.stream import Deadlines
from fscontrol.model.call import CallStatus
from fscontrol.provisioning.organizations import Organizations
from fscontrol.settings import Settings
from fscontrol.sofia.acl import CallerWall
from fscontrol.sofia.deliver import GatewayFiles
from fscontrol.sofia.reconcile import Reconciler
from fscontrol.sofia.registrations import Registrations
from fscontrol.sofia.tree import PROFILE
from fscontrol.store.base import Store
from fscontrol.store.opening import open_store
from fscontrol.telemetry.greenlets import spawn
from fscontrol.telemetry.logs import conceal

log = logging.getLogger(__name__)


def make_backend(settings: Settings) -> BackendClient | None:
    """The backend's client; None when no backend is set, and then nothing is queued for it either."""
    if not settings.backend_url:
        return None
    return BackendClient(settings.backend_url, settings.backend_key, settings.backend_secret)


def make_outbox(
    settings: Settings, store: Store, backend: BackendClient, random_number: Callable[[], float]
) -> Outbox:
    """The outbox to that backend."""
    return Outbox(
        store,
        backend,
        clock=time.time,
        random=random_number,
        deadline_seconds=settings.backend_timeout_seconds,
        max_age_seconds=settings.outbox_max_age_seconds,
    )


def make_prewarm(settings: Settings, backend: BackendClient) -> Prewarm:
    """How calls ask the backend before they are answered."""
    return Prewarm(backend.prewarm, settings.prewarm_timeout_seconds, settings.prewarm_policy)


class Application:
    """One control plane. Build it with safe settings (`settings.require_safe`), `start` it, `stop` it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        _conceal_secrets(settings)
        rng = random.SystemRandom()
        self.store = open_store(settings)
        self.registrations = Registrations(time.time)
        self.nodes = Nodes(
            NodeClient(address, settings.esl_password, settings.esl_timeout_seconds, rng.random)
            for address in settings.nodes
        )
        self.reconciler = Reconciler(
            self.nodes,
            self.store,
            GatewayFiles(settings.config_dir),
            self.registrations,
            settings.reconcile_seconds,
            rng.random,
        )
        self.sources = TrunkSources(self.store, DnsResolver(), settings.reconcile_seconds)
        self.limits = Limits(time.monotonic)
        self.ways = WayFinder(self.store, self.sources)
        self.backend = make_backend(settings)
        self.outbox = make_outbox(settings, self.store, self.backend, rng.random) if self.backend else None
        announcer = Announcer(messages.incoming, messages.status, self.outbox.wake) if self.outbox else None
        self.book = CallBook(self.store, self.limits, announcer, time.time, mask=settings.mask_numbers)
        self.relay = Relay(_relay_settings(settings), self.book) if settings.stream_url else None
        self.controls = make_controls(settings, self.store, self.book, self.nodes, PROFILE, self._has_stream)
        self.organizations = Organizations(self.store, self._organization_changed)
        inbound = InboundCalls(
            self.ways,
            self.limits,
            self.book,
            make_prewarm(settings, self.backend) if self.backend else None,
            self.controls.rules,
            clock=time.time,
            new_call_sid=lambda: call_sid(time.time(), secrets.token_bytes(8)),
            node_of=self._node_of,
        )
        self.call_socket = CallSocketServer(
            settings.call_socket.host,
            settings.call_socket.port,
            inbound.decide,
            settings.decision_timeout_seconds,
            settings.max_calls_deciding,
        )
        self.wall = CallerWall(
            self.nodes,
            settings.config_dir,
            self.sources.networks,
            lambda: self.sources.complete,
            enabled=settings.caller_wall == "on",
        )
        self.sources.on_change(self.wall.wake)
        self.http = HttpServer(settings.http.host, settings.http.port, self._http_app())
        for node in self.nodes:
            self._follow(node)

    def start(self) -> None:
        """Bind and begin. Raises `ConfigurationError` when an address is taken."""
        self.sources.start()
        if self.outbox:
            self.outbox.start()
        self.book.start()
        _bind("FSCONTROL_CALL_SOCKET", str(self.settings.call_socket), self.call_socket)
        self.wall.start()
        self.reconciler.start()
        if self.relay:
            self.relay.start()
        self.nodes.start()
        _bind("FSCONTROL_HTTP", str(self.settings.http), self.http)
        log.info(
            "serving", extra={"http": str(self.settings.http), "call_socket": str(self.settings.call_socket)}
        )

    def stop(self) -> None:
        """Stop taking work, finish what is under way, release everything."""
        self.http.stop()
        self.call_socket.stop()
        if self.relay:
            self.relay.stop()  # the calls stay parked in FreeSWITCH
        self.reconciler.stop()
        self.wall.stop()
        self.nodes.stop()
        self.sources.stop()
        self.book.stop()
        if self.outbox:
            self.outbox.stop()  # after the book, which may have had something to tell
        if self.backend:
            self.backend.close()
        self.store.close()
        log.info("stopped")

    def _http_app(self) -> Flask:
        timeout = self.settings.apply_timeout_seconds
        doors = [
            sync.door(self.organizations, self.reconciler, self.registrations, self.wall.settle, timeout),
            organizations.door(
                self.organizations, self.store, self.reconciler, self.registrations, self.nodes, timeout
            ),
            observe.door(self.store, self.registrations, self.book, self.nodes),
            explain.door(self.ways),
            control.door(self.controls.control, self.controls.transfer),
            outbox.door(self.store, self._wake_outbox, mask=self.settings.mask_numbers),
        ]
        return make_app(doors, self.settings.api_key, self.settings.max_body_bytes)

    def _has_stream(self, call_sid: str) -> bool:
        return self.relay is not None and self.relay.carries(call_sid)

    def _wake_outbox(self) -> None:
        if self.outbox:
            self.outbox.wake()

    def _organization_changed(self, key: str) -> None:
        self.sources.refresh(key)
        self.reconciler.wake(key)

    def _follow(self, node: NodeClient) -> None:
        for name in ("sofia::gateway_state", "sofia::gateway_delete"):
            node.on_event(name, lambda event, node=node.name: self.registrations.take_event(node, event))  # type: ignore[misc]
            node.on_event(name, lambda event, node=node.name: self.sources.take_gateway_event(node, event))  # type: ignore[misc]
        node.on_event("CHANNEL_HANGUP_COMPLETE", self.book.hung_up)
        self.controls.follow(node)
        if relay := self.relay:
            node.on_event("CHANNEL_PARK", lambda event: relay.parked(node, event))
            node.on_event("CHANNEL_UNPARK", relay.unparked)
            node.on_event("CHANNEL_HANGUP_COMPLETE", relay.hung_up)
            node.on_event("DTMF", relay.dtmf)
        node.on_down(lambda: self.registrations.lost(node.name))
        node.on_up(lambda: self._compare_calls_soon(node))

    def _compare_calls_soon(self, node: NodeClient) -> None:
        spawn(f"compare calls {node.name}", self._compare_calls, node)

    def _compare_calls(self, node: NodeClient) -> None:
        asked_at = time.time()
        try:
            listed = node.request(commands.show_channels())
            self.book.compare_with_channels(
                node.name,
                listed,
                asked_at,
                lambda uuid: node.request(commands.channel_exists(uuid)).strip() == "true",
            )
            for record in self.book.active:
                if self.relay and record.node == node.name and record.status is CallStatus.IN_PROGRESS:
                    self.relay.take_over(node, record.call_sid)
        except EslError as error:
            log.warning("calls not compared", extra={"node": node.name, "reason": str(error)})

    def _node_of(self, call: Event) -> str:
        """The node a call came from: by its switchname, which the rendered tree sets to the node's name."""
        switchname = call.get("FreeSWITCH-Switchname")
        names = [node.name for node in self.nodes]
        return switchname if switchname in names or len(names) > 1 else names[0]


def _relay_settings(settings: Settings) -> RelaySettings:
    deadlines = Deadlines(settings.stream_first_audio_seconds, settings.stream_idle_seconds)
    return RelaySettings(settings.stream_url, settings.stream_key, settings.stream_open_seconds, deadlines)


def _conceal_secrets(settings: Settings) -> None:
    given = (settings.api_key, settings.esl_password, settings.secret_key)
    for secret in (*given, settings.backend_key, settings.backend_secret, settings.stream_key):
        conceal(secret.get_secret_value())
    for url in (settings.store_url, settings.backend_url):
        conceal(unquote(urlsplit(url).password or ""))


def _bind(setting: str, address: str, server: CallSocketServer | HttpServer) -> None:
    try:
        server.start()
    except OSError as error:
        raise ConfigurationError(
            [f"{setting}={address} cannot be bound: {error.strerror or error}"]
        ) from None
