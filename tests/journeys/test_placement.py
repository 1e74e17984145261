"""One node registers each trunk: it moves when the node is drained, lost or joined by another; registrars prove it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from fscontrol.app import Application
from fscontrol.calls.transfer import outbound_gateways
from fscontrol.model.gateway import GatewayKey
from fscontrol.settings import NodeAddress, Settings
from fscontrol.simulator.carrier import Bindings, CarrierBehaviour
from tests import bridge, switches
from tests.bridge import Bridge, registering, trunk
from tests.contract.redis_server import redis_server
from tests.switches import StandInSwitch, Switch
from tests.waiting import eventually, free_port

LEASE = 2.0
LOST = 3.0
PATIENTLY = 120.0
TRUNKS = ("a", "e", "i", "b")


@dataclass(slots=True)
class Pair:
    """Two nodes with a tree each. The carriers of the first are those of both."""

    work: Path
    switches: dict[str, Switch]
    only_one: bool = False
    carriers: dict[str, str] = field(default_factory=dict)

    def settings(self, *names: str, **changes: object) -> Settings:
        first = self.switches["fs1"]
        nodes = tuple(
            NodeAddress(name=name, host="127.0.0.1", port=self.switches[name].config.esl_port)
            for name in names or self.switches
        )
        usual = {"nodes": nodes, "register_on": "one", "node_lost_seconds": LOST, "lease_seconds": LEASE}
        directory = self.work / "{node}" / "conf"
        return bridge.settings_for(first, self.work, config_dir=directory, **{**usual, **changes})

    def open_carriers(self, *trunks: str, behaviour: CarrierBehaviour = CarrierBehaviour.ACCEPT) -> None:
        for one in trunks:
            address = self.switches["fs1"].carrier(behaviour, only_one_binding=self.only_one)
            self.carriers[one] = address
            second = self.switches["fs2"]
            if isinstance(second, StandInSwitch):
                second.stand_in.carriers[address] = behaviour

    def trunks(self, *names: str) -> list[object]:
        return [registering(name, self.carriers[name]) for name in names]

    def bindings(self, trunk_id: str) -> list[frozenset[str]]:
        """The contacts bound at a trunk's carrier after each REGISTER it saw."""
        carrier = self.carriers[trunk_id]
        if not all(isinstance(switch, StandInSwitch) for switch in self.switches.values()):
            return [bound for _, _, _, bound in self.switches["fs1"].bindings(carrier)]
        sent = sorted(
            (one.time, number, one)
            for switch in self.switches.values()
            if isinstance(switch, StandInSwitch)
            for number, one in enumerate(switch.stand_in.registers)
            if one.address == carrier and one.status == 200
        )
        kept = Bindings(only_one=self.only_one)
        seen = []
        for time, _, one in sent:
            kept.take(carrier, one.contact, one.expires, time)
            seen.append(frozenset(kept.current(time).get(carrier, ())))
        return seen

    def never_unbound(self, *trunks: str) -> bool:
        """Whether since its first binding each of these carriers always had one."""
        for one in trunks or tuple(self.carriers):
            seen = self.bindings(one)
            first = next(number for number, bound in enumerate(seen) if bound)
            assert all(seen[first:]), f"the carrier of {one} had no binding: {seen[first:]}"
        return True

    def bound_at(self, trunk_id: str) -> set[str]:
        """The nodes that its carrier has bound now."""
        seen = self.bindings(trunk_id)
        ports = {f":{switch.config.sip_port};": name for name, switch in self.switches.items()}
        return (
            {name for port, name in ports.items() if any(port in contact for contact in seen[-1])}
            if seen
            else set()
        )


@pytest.fixture(params=[False, True], ids=["many-bindings", "one-binding"])
def only_one(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@contextlib.contextmanager
def two_nodes(kind: str, work: Path, *, only_one: bool = False) -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        running = {n: stack.enter_context(switches.running(kind, work / n, node=n)) for n in ("fs1", "fs2")}
        yield Pair(work, running, only_one)


def on(node: str, *trunks: str) -> dict[str, set[str]]:
    return {one: {node} for one in trunks}


def nodes(running: Bridge) -> dict[str, dict[str, Any]]:
    return {shown["node"]: shown for shown in running.ask("GET", "/api/nodes")[1]["items"]}


def owners(running: Bridge) -> dict[str, set[str]]:
    """The nodes on which each trunk is registered, as we show it."""
    found: dict[str, set[str]] = {}
    for shown in running.ask("GET", "/api/gateways")[1]["items"]:
        if shown["state"] == "REGED":
            found.setdefault(shown["trunk_id"], set()).add(shown["node"])
    return found


def gateways_on(running: Bridge, node: str) -> set[str]:
    items = running.ask("GET", "/api/gateways")[1]["items"]
    return {shown["trunk_id"] for shown in items if shown["node"] == node}


def is_settled(running: Bridge) -> bool:
    (first, *others) = running.ask("GET", "/api/organizations/7")[1]["nodes"]
    return all(node["status"] == "converged" for node in (first, *others))


def placed(running: Bridge) -> dict[str, set[str]]:
    """Where the trunks belong while both nodes are there; some on each."""
    fleet = running.application.fleet
    assert fleet is not None
    homes = {t: set(fleet.placement.homes(GatewayKey("7", t))) for t in TRUNKS}
    assert {"fs1"} in homes.values()
    assert {"fs2"} in homes.values()
    return homes


def push(running: Bridge, pair: Pair, *names: str, **query: str) -> tuple[int, dict[str, Any]]:
    pbx = trunk("pbx", "127.0.0.1:5099", register=False)
    body = {"organization_id": 7, "trunks": [*pair.trunks(*names), pbx]}
    return running.sync(body, wait="30", **query)


@pytest.mark.parametrize("kind", switches.BOTH)
def test_draining_moves_each_registration_without_a_moment_between(
    tmp_path: Path, kind: str, *, only_one: bool
) -> None:
    with (
        two_nodes(kind, tmp_path, only_one=only_one) as pair,
        bridge.running_application(pair.settings()) as application,
    ):
        running = Bridge(pair.switches["fs1"], application)
        pair.open_carriers(*TRUNKS)
        home = placed(running)
        status, answer = push(running, pair, *TRUNKS)
        assert status == 200, answer
        assert {node["status"] for node in answer["nodes"]} == {"converged"}
        for node in answer["nodes"]:  # what another node owns is not missing here
            mine = {t for t in TRUNKS if home[t] == {node["node"]}}
            assert {g["trunk_id"] for g in node["gateways"]} == {*mine, "pbx"}, "and PBXs are on all"
            # A node that is new is passed over by itself, and may have them from that.
            assert {g["action"] for g in node["gateways"]} <= {"created", "unchanged"}, answer
        eventually(lambda: owners(running) == home)
        assert {t: pair.bound_at(t) for t in TRUNKS} == home

        status, answer = running.ask("POST", "/api/nodes/fs1/drain")
        assert (status, "registrations move" in answer["message"]) == (200, True), answer
        all_on_second = on("fs2", *TRUNKS)
        eventually(
            lambda: owners(running) == all_on_second and gateways_on(running, "fs1") == {"pbx"}, PATIENTLY
        )
        eventually(lambda: nodes(running)["fs1"]["state"] == "drained")
        assert {n: shown["registrations"] for n, shown in nodes(running).items()} == {"fs1": 0, "fs2": 4}
        eventually(lambda: {t: pair.bound_at(t) for t in TRUNKS} == all_on_second)
        assert pair.never_unbound()
        eventually(lambda: is_settled(running))
        stored = application.store.organization("7")
        applied, key = application.store.applied("7"), application.store.fingerprint_key()
        assert stored is not None
        ways = {
            n: len(outbound_gateways(stored, applied.get(n), key, registers_on_one=True))
            for n in ("fs1", "fs2")
        }
        assert ways == {"fs1": 1, "fs2": 5}, "a call on the drained node goes out by what is there"

        assert running.ask("POST", "/api/nodes/fs1/undrain")[0] == 200
        eventually(lambda: owners(running) == home and is_settled(running), PATIENTLY)
        eventually(lambda: {t: pair.bound_at(t) for t in TRUNKS} == home)
        assert pair.never_unbound()
        assert [shown["to_move"] for shown in nodes(running).values()] == [0, 0]


@pytest.mark.parametrize("kind", switches.BOTH)
def test_the_trunks_of_a_node_that_died_move_and_come_back(
    tmp_path: Path, kind: str, *, only_one: bool
) -> None:
    with (
        two_nodes(kind, tmp_path, only_one=only_one) as pair,
        bridge.running_application(pair.settings()) as application,
    ):
        running = Bridge(pair.switches["fs1"], application)
        pair.open_carriers(*TRUNKS)
        home = placed(running)
        assert push(running, pair, *TRUNKS)[0] == 200
        eventually(lambda: owners(running) == home)
        pair.switches["fs1"].kill()
        eventually(lambda: owners(running) == on("fs2", *TRUNKS), PATIENTLY)
        pair.switches["fs1"].start()
        eventually(lambda: owners(running) == home and is_settled(running), PATIENTLY)
        eventually(lambda: all("fs2" in pair.bound_at(t) for t in TRUNKS if home[t] == {"fs2"}))
        eventually(lambda: all("fs1" in pair.bound_at(t) for t in TRUNKS if home[t] == {"fs1"}))
        assert pair.never_unbound()


@pytest.mark.parametrize("kind", switches.BOTH)
def test_a_node_added_takes_its_share_and_leaves_the_rest_alone(
    tmp_path: Path, kind: str, *, only_one: bool
) -> None:
    with two_nodes(kind, tmp_path, only_one=only_one) as pair:
        pair.open_carriers(*TRUNKS)
        with bridge.running_application(pair.settings("fs1")) as application:
            running = Bridge(pair.switches["fs1"], application)
            assert push(running, pair, *TRUNKS)[0] == 200
            eventually(lambda: owners(running) == on("fs1", *TRUNKS))
        before = {t: len(pair.bindings(t)) for t in TRUNKS}
        with bridge.running_application(pair.settings()) as application:
            running = Bridge(pair.switches["fs1"], application)
            home = placed(running)
            eventually(lambda: owners(running) == home and is_settled(running), PATIENTLY)
            eventually(lambda: {t: pair.bound_at(t) for t in TRUNKS} == home)
            assert pair.never_unbound()
            stayed = [t for t in TRUNKS if home[t] == {"fs1"}]
            assert {t: len(pair.bindings(t)) for t in stayed} == {t: before[t] for t in stayed}


def stand_in(pair: Pair, node: str) -> StandInSwitch:
    switch = pair.switches[node]
    assert isinstance(switch, StandInSwitch)
    return switch


def test_what_the_carrier_refuses_there_stays_here(tmp_path: Path) -> None:
    with (
        two_nodes("stand-in", tmp_path) as pair,
        bridge.running_application(pair.settings(register_seconds=0.5)) as application,
    ):
        running = Bridge(pair.switches["fs1"], application)
        pair.open_carriers(*TRUNKS)
        home = placed(running)
        refused = next(t for t in TRUNKS if home[t] == {"fs1"})
        silent = next(t for t in TRUNKS if home[t] == {"fs1"} and t != refused)
        other = stand_in(pair, "fs2").stand_in.carriers
        other.silence_seconds = 2.0
        other[pair.carriers[refused]] = CarrierBehaviour.FORBIDDEN
        other[pair.carriers[silent]] = CarrierBehaviour.SILENT
        assert push(running, pair, *TRUNKS)[0] == 200
        eventually(lambda: owners(running) == home)
        running.ask("POST", "/api/nodes/fs1/drain")
        eventually(lambda: gateways_on(running, "fs1") == {refused, silent, "pbx"})

        def told() -> bool:
            (first, _) = running.ask("GET", "/api/organizations/7")[1]["nodes"]
            return (
                first["status"] == "refused" and "403" in first["detail"] and "stays here" in first["detail"]
            )

        eventually(told)
        assert (nodes(running)["fs1"]["state"], nodes(running)["fs1"]["to_move"]) == ("draining", 2)
        assert owners(running)[refused] == owners(running)[silent] == {"fs1"}
        status, answer = push(running, pair, *TRUNKS)
        here = {g["trunk_id"]: g for n in answer["nodes"] if n["node"] == "fs1" for g in n["gateways"]}
        assert (status, here[refused]["action"], here[refused]["loaded"]) == (502, "unchanged", True)
        other[pair.carriers[refused]] = CarrierBehaviour.ACCEPT
        other[pair.carriers[silent]] = CarrierBehaviour.ACCEPT
        for name in [n for n, shown in running.gateways().items() if shown["trunk_id"] in (refused, silent)]:
            running.ask("POST", f"/api/gateways/{name}/register")
        eventually(lambda: nodes(running)["fs1"]["state"] == "drained", PATIENTLY)
        assert pair.never_unbound()


def test_while_no_node_may_have_them_nothing_moves(tmp_path: Path) -> None:
    with (
        two_nodes("stand-in", tmp_path) as pair,
        bridge.running_application(pair.settings()) as application,
    ):
        running = Bridge(pair.switches["fs1"], application)
        pair.open_carriers(*TRUNKS)
        placed(running)
        assert push(running, pair, *TRUNKS[:3])[0] == 200
        running.ask("POST", "/api/nodes/fs1/drain")
        on_second = on("fs2", *TRUNKS[:3])
        eventually(lambda: owners(running) == on_second and is_settled(running))
        running.ask("POST", "/api/nodes/fs2/drain")
        fleet = application.fleet
        eventually(lambda: fleet is not None and not fleet.placement.placeable)
        status, answer = push(running, pair, *TRUNKS)
        assert status == 200, answer
        eventually(lambda: len(owners(running)) == 4)
        assert {t: owners(running)[t] for t in TRUNKS[:3]} == on_second
        assert len(owners(running)[TRUNKS[3]]) == 1, "a new one is somewhere all the same"


def test_two_control_planes_with_a_node_each_move_a_registration(tmp_path: Path, *, only_one: bool) -> None:
    with contextlib.ExitStack() as stack:
        pair = stack.enter_context(two_nodes("stand-in", tmp_path, only_one=only_one))
        pair.open_carriers(*TRUNKS)
        shared = {
            "store_url": stack.enter_context(redis_server(tmp_path)),
            "secret_key": SecretStr(Fernet.generate_key().decode()),
        }

        def control_plane() -> Application:
            settings = pair.settings(**shared)
            socket = settings.call_socket.model_copy(update={"port": free_port()})
            return stack.enter_context(bridge.running_application(settings.with_(call_socket=socket)))

        first = control_plane()
        eventually(lambda: all(lease.held for lease in first.leases))
        second = control_plane()
        first.leases["fs2"].stop()  # given back, and not taken again
        eventually(lambda: second.leases["fs2"].held)
        assert first.leases["fs1"].held
        running = Bridge(pair.switches["fs1"], second)
        home = placed(running)
        assert push(running, pair, *TRUNKS)[0] == 200
        eventually(lambda: owners(running) == home)
        for drained in ("fs1", "fs2"):
            other = {"fs1": "fs2", "fs2": "fs1"}[drained]
            assert running.ask("POST", f"/api/nodes/{drained}/drain")[0] == 200
            eventually(lambda: gateways_on(running, drained) == {"pbx"}, PATIENTLY)  # noqa: B023
            eventually(lambda: owners(running) == on(other, *TRUNKS))  # noqa: B023
            assert running.ask("POST", f"/api/nodes/{drained}/undrain")[0] == 200
            eventually(lambda: owners(running) == home and is_settled(running), PATIENTLY)
        assert first.leases["fs1"].held
        assert second.leases["fs2"].held
        assert pair.never_unbound()


def test_an_old_one_that_refreshed_waits_until_the_owner_registered_again(tmp_path: Path) -> None:
    """With one binding, the last REGISTER has it: the un-REGISTER of the old node's would take it away."""
    with (
        two_nodes("stand-in", tmp_path, only_one=True) as pair,
        bridge.running_application(pair.settings(reconcile_seconds=1.0)) as application,
    ):
        running = Bridge(pair.switches["fs1"], application)
        pair.open_carriers(*TRUNKS)
        home = placed(running)
        moved = next(t for t in TRUNKS if home[t] == {"fs1"})
        other = stand_in(pair, "fs2").stand_in.carriers
        other[pair.carriers[moved]] = CarrierBehaviour.UNAVAILABLE
        assert push(running, pair, *TRUNKS)[0] == 200
        eventually(lambda: owners(running) == home)
        running.ask("POST", "/api/nodes/fs1/drain")
        eventually(lambda: gateways_on(running, "fs1") == {moved, "pbx"})
        (name,) = {n for n, shown in running.gateways().items() if shown["trunk_id"] == moved}
        other[pair.carriers[moved]] = CarrierBehaviour.ACCEPT
        # Both at once: whichever is last has the binding.
        running.ask("POST", f"/api/gateways/{name}/register")
        eventually(lambda: nodes(running)["fs1"]["state"] == "drained", PATIENTLY)
        eventually(lambda: pair.bound_at(moved) == {"fs2"})
        assert pair.never_unbound()


def test_a_node_is_filled_in_batches_and_others_do_not_wait(tmp_path: Path) -> None:
    with bridge.running("stand-in", tmp_path, batch_gateways=5, apply_timeout_seconds=0.5) as running:
        assert isinstance(running.switch, StandInSwitch)
        stand = running.switch.stand_in
        stand.carriers["127.0.0.1:5190"] = CarrierBehaviour.SILENT
        many = [registering(f"t{n:02d}", "127.0.0.1:5190") for n in range(23)]
        status, answer = running.sync({"organization_id": "many", "trunks": many})
        (node,) = answer["nodes"]
        assert (status, node["status"]) == (202, "pending"), answer
        assert "of 23 started" in node["detail"]
        assert len(stand.gateway_names()) < 23
        few = [registering("x", running.switch.carrier(CarrierBehaviour.ACCEPT))]
        status, answer = running.sync({"organization_id": "few", "trunks": few})
        assert status == 200, answer
        assert len(stand.gateway_names()) < 23, "a small push does not wait for all the batches"
        eventually(lambda: len(stand.gateway_names()) == 24, PATIENTLY)
        starts = [command.rpartition(" ")[2] for command in stand.commands if " startgw " in command]
        assert starts.count("_all_") == 4
        assert len(starts) == 4 + 3 + 1, "the last three of them, and the few, one by one"
        eventually(
            lambda: running.ask("GET", "/api/organizations/many")[1]["nodes"][0]["status"] == "converged"
        )
