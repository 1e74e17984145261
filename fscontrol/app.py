"""The composition root: the one module that knows all the others, and the order in which they start and stop.

Start: store, then what reads it, then the call socket (a call must find us as soon as FreeSWITCH can place one), then
the nodes, then HTTP. Stop: the reverse; calls in progress are FreeSWITCH's and go on.
"""

from __future__ import annotations

import logging
import random
import secrets
import time

import gevent

from fscontrol.alarming import make_alarming
from fscontrol.calls.asking import ask_dns
from fscontrol.calls.book import CallBook
from fscontrol.calls.controls import make_controls
from fscontrol.calls.draining import Draining
from fscontrol.calls.ended_elsewhere import EndsOfCalls
from fscontrol.calls.finding import WayFinder
from fscontrol.calls.gating import make_watch
from fscontrol.calls.identity import call_sid
from fscontrol.calls.inbound import InboundCalls
from fscontrol.calls.masking import masked
from fscontrol.calls.on_channel import carried
from fscontrol.calls.outgoing import make_outgoing
from fscontrol.calls.shared_limits import make_places
from fscontrol.calls.sources import TrunkSources
from fscontrol.calls.steered import Steered, patience_of
from fscontrol.calls.telling import make_telling, prewarm_of
from fscontrol.doors import http_app
from fscontrol.errors import ConfigurationError
from fscontrol.esl.call_socket import CallSocketServer
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.esl.holders import holder_name
from fscontrol.esl.lease import Leases
from fscontrol.esl.nodes import Nodes
from fscontrol.following import follow
from fscontrol.http.happenings import Happenings
from fscontrol.http.server import HttpServer
from fscontrol.measuring import each_of, measure
from fscontrol.media.assistants import make_media
from fscontrol.media.taking_up import TakingUp
from fscontrol.model.worker import WorkerPlace
from fscontrol.provisioning.elsewhere import Elsewhere
from fscontrol.provisioning.keeping import make_provisioning
from fscontrol.settings import Settings
from fscontrol.sofia import served
from fscontrol.sofia.acl import CallerWall
from fscontrol.sofia.reconcile import make_fleet, make_reconciler
from fscontrol.sofia.registrations import Registrations
from fscontrol.sofia.removed_nodes import keep_forgetting
from fscontrol.sofia.tree import PROFILE
from fscontrol.store.opening import open_bus, open_store
from fscontrol.telemetry import tracing
from fscontrol.telemetry.greenlets import spawn
from fscontrol.telemetry.logs import conceal
from fscontrol.telemetry.metrics import Metrics
from fscontrol.workers import Workers

log = logging.getLogger(__name__)


class Application:
    """One control plane. Build it with safe settings (`settings.require_safe`), `start` it, `stop` it.

    `place`: as a worker.
    """

    def __init__(self, settings: Settings, place: WorkerPlace | None = None) -> None:
        self.settings = settings
        for secret in settings.secrets():
            conceal(secret)
        rng = random.SystemRandom()
        self.store = open_store(settings)
        self.registrations = Registrations(time.time)
        self.nodes = Nodes(
            NodeClient(address, settings.esl_password, settings.esl_timeout_seconds, rng.random)
            for address in settings.nodes
        )
        self.name = holder_name(place.name if place else "")
        self.leases = Leases(self.nodes, self.store, self.name, settings.lease_seconds)
        self.workers = Workers(self, place)
        sharing = self.workers.sharing
        self.served = {name: served.ServedGateways() for name in settings.xml_curl_nodes}
        for node in self.nodes:
            served.follow(node, over_http=node.name in self.served)  # before the reconciler's first pass
        self.fleet = make_fleet(settings, self.store, self.name)
        self.reconciler = make_reconciler(
            settings, self.nodes, self.leases, self.store, self.served, self.registrations, rng.random, self.fleet,
        )  # fmt: skip
        self.sources = TrunkSources(self.store, ask_dns, settings.reconcile_seconds)
        self.reconciler.on_applied(self.sources.applied)
        self.limits = make_places(self.store, self.name, [node.name for node in self.nodes], time.monotonic)
        self.draining = Draining(self.store)
        self.ways = WayFinder(self.store, self.sources, self.draining.__contains__)
        self.telling = make_telling(settings, self.store, rng.random)
        self.backend, self.outbox = self.telling.backend, self.telling.outbox
        self.metrics = Metrics()
        self.bus = open_bus(settings)
        self.watch = make_watch(settings, self.store, self.bus, self.metrics, self.limits.in_use)
        self.alarming = make_alarming(self)
        self.happenings = Happenings(
            self.bus,
            self.registrations,
            self.store,
            self.is_ours if self.bus.wire else None,
            mask=settings.mask_numbers,
        )
        self.book = CallBook(
            self.store,
            self.limits,
            self.telling.announcer,
            time.time,
            mask=settings.mask_numbers,
            ended=each_of(
                self.metrics.call_ended,
                self.watch.tally.call_ended,
                lambda record: self.outgoing.batches.call_ended(record),  # noqa: PLW0108  (made below)
                lambda record: tracing.call_ended(masked(record) if settings.mask_numbers else record),
            ),
            changed=each_of(self.metrics.call_changed, self.happenings.call_changed),
            is_placed=lambda record: self.outgoing.orphans.is_placed(record),  # noqa: PLW0108  (made below)
        )
        self.controls = make_controls(
            settings,
            self.store,
            self.book,
            self.nodes,
            PROFILE,
            lambda call_sid: self.media.relay.carries(call_sid),  # noqa: PLW0108  (made below: each needs the other)
            lambda call_sid: self.outgoing.calls.cancel(call_sid),  # noqa: PLW0108
        )
        self.media = make_media(
            settings, self.nodes, self.book, self.limits, sharing, self.sources, self.controls.lost,
            self.controls.note_stream, PROFILE,
        )  # fmt: skip
        self.ends = EndsOfCalls(self.book, self.store, self.limits, sharing.serves)
        self._greenlets: list[gevent.Greenlet[..., object]] = []
        prewarm = prewarm_of(settings, self.backend, self.metrics)

        def new_call_sid() -> str:
            return call_sid(time.time(), secrets.token_bytes(8))

        self.outgoing = make_outgoing(
            settings, self.name, self.store, self.book, self.nodes, self.limits, self.draining,
            self.registrations.of, self.watch.breakers, prewarm, is_ours=self.is_ours,
            take_over=lambda node, sid: self.media.take_over(self.nodes[node], sid),
            found=lambda node: self.taking_up.soon(node),  # noqa: PLW0108
            new_call_sid=new_call_sid, random=rng.random, worker=sharing.me,
        )  # fmt: skip
        self.taking_up = TakingUp(self.book, self.media, sharing, self.outgoing.orphans.take_up)
        self.elsewhere = Elsewhere(self.store, self.name, self._organization_changed, self.workers.noted)
        kept = make_provisioning(
            settings, self.store, self._organization_taken, self.media.drivers.nodes_without
        )
        self.organizations, self.trunks = kept.organizations, kept.trunks
        self.numbers, self.keys = kept.numbers, kept.keys
        inbound = InboundCalls(
            self.ways,
            self.limits,
            self.book,
            prewarm,
            self.controls.rules,
            Steered(self.nodes, self.store, self._is_us, patience_of(settings)),
            clock=time.time,
            new_call_sid=new_call_sid,
            node_of=self._node_of,
            carried=lambda record: carried(record, sharing.me, masked=self.book.masks),
        )
        self.call_socket = CallSocketServer(
            settings.call_socket.host,
            settings.call_socket.port,
            inbound.decide,
            settings.decision_timeout_seconds,
            settings.max_calls_deciding,
            self.workers.call_socket,
        )
        self.wall = CallerWall(
            self.nodes,
            settings.config_dir_of,
            self.sources.networks,
            lambda: self.sources.complete,
            enabled=settings.caller_wall == "on",
            is_ours=self.is_ours,
        )
        self.sources.on_change(self.wall.wake)
        self.http = HttpServer(
            settings.http.host, settings.http.port, http_app(self), listener=self.workers.http
        )
        for node in self.nodes:
            follow(self, node)
        measure(self)

    def start(self) -> None:
        """Bind and begin. Raises `ConfigurationError` when an address is taken."""
        tracing.start(self.settings.otlp_endpoint)
        self.bus.start()
        self.workers.start()
        self.sources.start()
        self.outbox.start()
        self.draining.start()
        self.book.start()
        _bind("FSCONTROL_CALL_SOCKET", str(self.settings.call_socket), self.call_socket)
        self.wall.start()
        self.reconciler.start()
        kept = (self.store, [node.name for node in self.nodes], self.settings.lease_seconds)
        self._greenlets.append(spawn("forget removed nodes", keep_forgetting, *kept))
        self.elsewhere.start()
        self.media.start()
        self.leases.start()
        self.watch.start()
        self.outgoing.start()
        self.nodes.start()
        self.alarming.start()
        self.media.drivers.require_default(self.settings.esl_timeout_seconds)
        _bind("FSCONTROL_HTTP", str(self.settings.http), self.http)
        addresses = {"http": str(self.settings.http), "call_socket": str(self.settings.call_socket)}
        log.info("serving", extra=addresses)

    def stop(self) -> None:
        """Stop taking work, finish what is under way, release everything."""
        for node in (each for each in self.nodes if each.name in self.served):
            served.release(node)  # FreeSWITCH asks us something at each reload: while we answer
        self.http.stop()
        self.workers.stop()
        self.alarming.stop()
        self.call_socket.stop()
        self.media.stop()  # the calls stay parked in FreeSWITCH
        gevent.killall(self._greenlets, timeout=1)
        self.reconciler.stop()
        self.wall.stop()
        self.elsewhere.stop()
        self.outgoing.stop()
        self.leases.stop()
        self.nodes.stop()
        self.sources.stop()
        self.draining.stop()
        self.book.stop()
        self.watch.stop()
        self.bus.stop()
        self.outbox.stop()  # after the book, which may have had something to tell
        if self.backend:
            self.backend.close()
        self.store.close()
        tracing.stop()
        log.info("stopped")

    def is_ours(self, node: str) -> bool:
        """Whether this control plane steers the node."""
        return self.leases[node].held

    def _is_us(self, holder: str) -> bool:
        return holder == self.name or self.workers.is_kin(holder)

    def _organization_taken(self, key: str) -> None:
        # First: once woken, nothing may come between this and the order the door waits for.
        self.elsewhere.tell(key)
        self._organization_changed(key)

    def _organization_changed(self, key: str) -> None:
        self.telling.webhooks.forget(key)
        self.sources.refresh(key)
        self.reconciler.wake(key)

    def _node_of(self, call: Event) -> str:
        """The node a call came from: by its switchname, which the rendered tree sets to the node's name."""
        switchname = call.get("FreeSWITCH-Switchname")
        names = [node.name for node in self.nodes]
        return switchname if switchname in names or len(names) > 1 else names[0]


def _bind(setting: str, address: str, server: CallSocketServer | HttpServer) -> None:
    try:
        server.start()
    except OSError as error:
        why = f"{setting}={address} cannot be bound: {error.strerror or error}"
        raise ConfigurationError([why]) from None
