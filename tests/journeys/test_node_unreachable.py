"""FreeSWITCH reaches the call socket, nobody reaches FreeSWITCH: a call is refused, never answered and silent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from gevent import socket
from gevent.server import StreamServer
from pydantic import SecretStr

from fscontrol.app import Application
from fscontrol.esl.lease import lease_name
from fscontrol.settings import NodeAddress
from tests import bridge, switches
from tests.bridge import Bridge, trunk
from tests.invites import invite
from tests.switches import StandInSwitch
from tests.waiting import eventually, free_port

BODY = {
    "organization_id": 7,
    "trunks": [trunk("pbx", "127.0.0.1:5099", register=False)],
    "phone_numbers": [{"id": 1, "phone_number": "+15551230001", "assistant_id": 123}],
}


@contextlib.contextmanager
def started(kind: str, work: Path, **changes: object) -> Iterator[Bridge]:
    """A bridge whose node is not waited for."""
    with switches.running(kind, work / "switch") as switch:
        application = Application(bridge.settings_for(switch, work, **changes))
        application.start()
        try:
            running = Bridge(switch, application)
            status, answer = running.sync(BODY)
            assert status == 202, answer
            yield running
        finally:
            application.stop()


@contextlib.contextmanager
def way_to(port: int, listen: int) -> Iterator[None]:
    """A connection for each that comes, to `port`."""

    def carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def accept(sock: socket.socket, _peer: object) -> None:
        with contextlib.closing(socket.create_connection(("127.0.0.1", port))) as there:
            gevent.joinall([gevent.spawn(carry, sock, there), gevent.spawn(carry, there, sock)])

    server = StreamServer(("127.0.0.1", listen), accept)
    server.start()
    try:
        yield
    finally:
        server.stop(timeout=0)


@pytest.mark.parametrize("kind", switches.BOTH)
def test_with_a_wrong_password_a_call_is_refused_before_it_rings(kind: str, tmp_path: Path) -> None:
    with started(kind, tmp_path, esl_password=SecretStr("not-the-password")) as running:
        assert running.switch.call(invite("+15551230001")) == 503
        call = running.last_call()
        assert (call["reason"], call["sip_status"], call["answered_at"]) == ("node_unreachable", 503, None)
        assert [step["step"] for step in call["steps"]] == ["admission", "route", "node", "refusal"]
        assert running.switch.call(invite("+15550000000")) == 404, "what is refused anyway is not waited for"


def test_a_call_waits_for_a_node_that_is_reached_in_a_moment(tmp_path: Path) -> None:
    gone = free_port()
    nodes = (NodeAddress(name="fs1", host="127.0.0.1", port=gone),)
    with started("stand-in", tmp_path, nodes=nodes, decision_timeout_seconds=30) as running:
        assert isinstance(running.switch, StandInSwitch)
        call = running.switch.stand_in.place_call(invite("+15551230001").encode())
        eventually(lambda: running.application.call_socket.deciding == 1)
        with way_to(running.switch.config.esl_port, gone):
            assert call.wait_final(15) == 200
            assert running.application.nodes["fs1"].connected
            call.hangup()


def test_where_another_control_plane_holds_the_node_the_call_is_its(tmp_path: Path) -> None:
    with started("stand-in", tmp_path, esl_password=SecretStr("not-the-password")) as running:
        store = running.application.store
        store.acquire_lease(lease_name("fs1"), running.application.name, 30)
        assert running.switch.call(invite("+15551230001")) == 503, "our own lease outlives the link"
        store.release_lease(lease_name("fs1"), running.application.name)
        store.acquire_lease(lease_name("fs1"), "another", 30)
        assert running.switch.call(invite("+15551230001")) == 200
