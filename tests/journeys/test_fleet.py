"""Two control planes on one Redis, two nodes: one acts on a node at a time, and the other goes on when it dies."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from fscontrol.app import Application
from fscontrol.settings import NodeAddress
from fscontrol.simulator.carrier import CarrierBehaviour
from fscontrol.simulator.server import StandIn
from tests import bridge, switches
from tests.bridge import Bridge, registering, trunk
from tests.contract.redis_server import redis_server
from tests.invites import invite
from tests.journeys.test_commands import Serving
from tests.switches import PASSWORD, StandInSwitch
from tests.waiting import eventually, free_port

LEASE = 3.0
CARRIER = "127.0.0.1:5101"
NUMBER = {"id": 1, "phone_number": "+15551230001", "assistant_id": 123}
_MUTATIONS = ("startgw", "killgw", "reloadacl", " register ")


@dataclass(slots=True)
class Fleet:
    """`first` is a process and steers both nodes; `second` is here and waits its turn."""

    first: Serving
    second: Application
    nodes: dict[str, StandIn]
    switch: StandInSwitch

    @property
    def door(self) -> Bridge:
        """The second's."""
        return Bridge(self.switch, self.second)

    def second_holds(self) -> bool:
        return all(lease.held for lease in self.second.leases)

    def mutations(self, node: str) -> list[tuple[bool, str]]:
        """Whether it was the second, and what it sent, of all that changed a node."""
        mine = {link.sock.getsockname()[1] for link in self.second.nodes[node]._links}
        return [
            (port in mine, line)
            for port, line in self.nodes[node].commands_by_port
            if any(word in line for word in _MUTATIONS)
        ]


def body(registering_trunks: int) -> dict[str, Any]:
    """An organisation with so many trunks that register, and one that does not."""
    trunks = [registering(f"t{n}", CARRIER) for n in range(registering_trunks)]
    pbx = trunk("pbx", "127.0.0.1:5099", register=False)
    return {"organization_id": 7, "trunks": [*trunks, pbx], "phone_numbers": [NUMBER]}


def statuses(answer: dict[str, Any]) -> set[str]:
    return {node["status"] for node in answer["nodes"]}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    key = Fernet.generate_key().decode()
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(redis_server(tmp_path))
        switch = stack.enter_context(switches.running("stand-in", tmp_path / "switch"))
        assert isinstance(switch, StandInSwitch)
        second_node = stack.enter_context(StandIn(switch.config_dir, PASSWORD, node_name="fs2"))
        nodes = {"fs1": switch.stand_in, "fs2": second_node}
        for node in nodes.values():
            node.carriers[CARRIER] = CarrierBehaviour.ACCEPT
        addresses = tuple(
            NodeAddress(name=name, host="127.0.0.1", port=node.esl_port) for name, node in nodes.items()
        )
        first = Serving(
            tmp_path,
            FSCONTROL_NODES=",".join(f"{a.name}=127.0.0.1:{a.port}" for a in addresses),
            FSCONTROL_ESL_PASSWORD=PASSWORD.get_secret_value(),
            FSCONTROL_CONFIG_DIR=str(switch.config_dir),
            FSCONTROL_CALL_SOCKET=f"127.0.0.1:{switch.call_socket_port}",
            FSCONTROL_STORE_URL=url,
            FSCONTROL_SECRET_KEY=key,
            FSCONTROL_LEASE_SECONDS=str(LEASE),
        )
        stack.callback(first.kill)
        settings = bridge.settings_for(
            switch, tmp_path, nodes=addresses, store_url=url, secret_key=SecretStr(key), lease_seconds=LEASE
        )
        other_socket = settings.call_socket.model_copy(update={"port": free_port()})
        eventually(lambda: all("fscontrol_lease" in node.global_variables for node in nodes.values()))
        running = bridge.running_application(settings.with_(call_socket=other_socket))
        yield Fleet(first, stack.enter_context(running), nodes, switch)


def test_a_push_to_either_is_applied_by_the_holder(fleet: Fleet) -> None:
    holder = fleet.second.store.lease("node:fs1")
    status, answer = fleet.door.sync(body(1))
    assert (status, statuses(answer)) == (200, {"converged"}), answer
    for name, node in fleet.nodes.items():
        assert len(node.gateway_names()) == 2
        assert {second for second, _ in fleet.mutations(name)} == {False}
    status, answer = fleet.first.ask("POST", "/api/sync-organization", body(2))
    assert status == 200, answer
    assert fleet.door.ask("DELETE", "/api/organizations/7", force="true")[0] == 200
    assert [node.gateway_names() for node in fleet.nodes.values()] == [[], []]
    assert fleet.second.store.lease("node:fs1") == holder
    assert not any(lease.held for lease in fleet.second.leases)


def test_the_other_takes_over_from_one_that_was_killed(fleet: Fleet) -> None:
    heard = fleet.second.bus.listen(lambda _key: True)
    assert fleet.door.sync(body(1))[0] == 200
    told: list[tuple[str, str]] = []  # by the first, which steers the nodes
    while {(node, "REGED") for node in fleet.nodes} - set(told):
        happening = heard.next(10)
        assert happening is not None, told
        if happening.kind == "gateway":
            told.append((happening.what["node"], happening.what["state"]))
    assert len(told) == len(set(told)), "each once, though both follow both nodes"
    call = fleet.nodes["fs1"].place_call(invite("+15551230001").encode())
    assert call.wait_final(15) == 200
    eventually(lambda: fleet.door.last_call()["status"] == "in-progress")
    fleet.first.kill()
    status, answer = fleet.door.sync(body(2))  # waits, and is applied once the node is the second's
    assert (status, statuses(answer)) == (200, {"converged"}), answer
    assert fleet.second_holds()
    for name, node in fleet.nodes.items():
        assert len(node.gateway_names()) == 3
        who = [second for second, _ in fleet.mutations(name)]
        assert who == sorted(who), "one after the other, never both"
        assert who[-1]
        assert node.global_variables["fscontrol_lease"] == "2"
    assert call.state == "answered", "the call went on"
    call.hangup()
    record = eventually(lambda: (last := fleet.door.last_call())["ended_at"] and last)
    assert (record["status"], record["hangup_cause"]) == ("completed", "NORMAL_CLEARING")


def test_one_that_was_frozen_does_not_act_when_it_wakes(fleet: Fleet) -> None:
    assert fleet.door.sync(body(1))[0] == 200
    fleet.first.process.send_signal(signal.SIGSTOP)
    try:
        assert fleet.door.sync(body(2))[0] == 200
        before = {name: len(fleet.mutations(name)) for name in fleet.nodes}
    finally:
        fleet.first.process.send_signal(signal.SIGCONT)
    status, answer = fleet.first.ask("POST", "/api/sync-organization", body(3))
    assert (status, statuses(answer)) == (200, {"converged"}), answer
    for name in fleet.nodes:
        since = fleet.mutations(name)[before[name] :]
        assert since
        assert all(second for second, _ in since), since
    assert fleet.second_holds()


def test_a_holder_that_stops_gives_its_nodes_back(fleet: Fleet) -> None:
    assert fleet.first.stop() == 0
    assert fleet.second.store.lease("node:fs1") is None or fleet.second_holds()
    eventually(fleet.second_holds)


def test_a_drained_node_takes_no_new_calls_and_ends_in_peace(fleet: Fleet) -> None:
    def state() -> tuple[str, int]:
        (shown,) = (n for n in fleet.door.ask("GET", "/api/nodes")[1]["items"] if n["node"] == "fs1")
        return shown["state"], shown["calls"]

    def is_refused() -> bool:
        probe = fleet.nodes["fs1"].place_call(invite("+15551230001").encode())
        status = probe.wait_final(15)
        probe.hangup()
        return status == 503

    assert fleet.door.sync(body(1))[0] == 200
    call = fleet.nodes["fs1"].place_call(invite("+15551230001").encode())
    assert call.wait_final(15) == 200
    # To the one that does not decide its calls: that one hears of it.
    status, answer = fleet.door.ask("POST", "/api/nodes/fs1/drain")
    assert (status, answer["node"]["state"]) == (200, "draining"), answer
    assert "registrations stay" in answer["message"]
    eventually(is_refused)
    refused = eventually(lambda: (last := fleet.door.last_call())["reason"] == "draining" and last)
    assert refused["sip_status"] == 503
    assert (call.state, state()[0]) == ("answered", "draining")
    call.hangup()
    eventually(lambda: state() == ("drained", 0))
    assert len(fleet.nodes["fs1"].gateway_names()) == 2, "they stay"
    assert fleet.first.ask("POST", "/api/nodes/fs1/undrain")[0] == 200
    assert state() == ("active", 0)
    again = fleet.nodes["fs1"].place_call(invite("+15551230001").encode())
    assert again.wait_final(15) == 200
    again.hangup()
    assert fleet.door.ask("POST", "/api/nodes/fs9/drain")[0] == 404
