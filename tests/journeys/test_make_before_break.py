"""A changed trunk's new gateway takes over only once its carrier took it; the registrar's own log is the proof."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from fscontrol.calls.transfer import outbound_gateways
from fscontrol.esl import commands
from fscontrol.simulator.carrier import CarrierBehaviour
from fscontrol.sofia.deliver import organization_file
from fscontrol.sofia.tree import GATEWAY_DIRECTORY, PROFILE
from tests import bridge, switches
from tests.bridge import Bridge, registering, trunk
from tests.invites import invite
from tests.journeys.test_commands import Serving
from tests.switches import StandInSwitch, Switch
from tests.waiting import eventually

HURRY = 0.5
"""Seconds a carrier may take where the test is about one that takes longer."""


@pytest.fixture(scope="module", params=switches.BOTH)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with bridge.running(request.param, tmp_path_factory.mktemp("bridge")) as running:
        yield running


@pytest.fixture(params=[False, True], ids=["many-bindings", "one-binding"])
def only_one(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def push(running: Bridge, organization: str, *trunks: object, **query: str) -> tuple[int, dict[str, Any]]:
    return running.sync({"organization_id": organization, "trunks": list(trunks)}, **query)


def only_gateway(answer: dict[str, Any]) -> dict[str, Any]:
    (node,) = answer["nodes"]
    (gateway,) = node["gateways"]
    assert isinstance(gateway, dict)
    return gateway


def of_organization(running: Bridge, organization: str) -> dict[str, str]:
    """The states of an organisation's gateways, by name."""
    return {
        name: shown["state"]
        for name, shown in running.gateways().items()
        if shown["organization"] == organization
    }


def outbound(running: Bridge, organization: str) -> list[str]:
    """The gateways its calls would go out by."""
    store = running.application.store
    stored = store.organization(organization)
    assert stored is not None
    return outbound_gateways(stored, store.applied(organization).get("fs1"), store.fingerprint_key())


def shown(running: Bridge, organization: str) -> dict[str, Any]:
    (node,) = running.ask("GET", f"/api/organizations/{organization}")[1]["nodes"]
    assert isinstance(node, dict)
    return node


def file_of(switch: Switch, organization: str) -> Path:
    return switch.config_dir / GATEWAY_DIRECTORY / organization_file(organization)


def bound_in_the_end(switch: Switch, carrier: str) -> frozenset[str]:
    """What the carrier has bound now, after a proof that since the first binding it never had none."""
    seen = switch.bindings(carrier)
    first = next(number for number, (_, _, _, bound) in enumerate(seen) if bound)
    assert all(bound for _, _, _, bound in seen[first:]), f"the carrier had no binding: {seen[first:]}"
    return seen[-1][3]


def is_of(contact: str, gateway: str) -> bool:
    return f"gw+{gateway}@" in contact


def register_now(running: Bridge, gateway: str) -> None:
    """As an operator would; FreeSWITCH tries again by itself, but only after half a minute."""
    node = next(iter(running.application.nodes))
    assert node.request(commands.register_gateway(PROFILE, gateway)).startswith("+OK")


@pytest.mark.parametrize("behaviour", [CarrierBehaviour.ACCEPT, CarrierBehaviour.CHALLENGE])
def test_an_accepted_change_never_leaves_the_carrier_without_a_binding(
    both: Bridge, behaviour: CarrierBehaviour, *, only_one: bool
) -> None:
    organization = f"change-{behaviour.value}-{only_one}"
    carrier = both.switch.carrier(behaviour, only_one_binding=only_one)
    old = only_gateway(push(both, organization, registering("t", carrier), wait="30")[1])
    assert old["state"] == "REGED"
    status, answer = push(both, organization, registering("t", carrier, expire_seconds=1800))
    new = only_gateway(answer)
    assert (status, new["action"], new["loaded"], new["state"]) == (200, "replaced", True, "REGED")
    assert new["gateway"] != old["gateway"]
    assert of_organization(both, organization) == {new["gateway"]: "REGED"}
    assert outbound(both, organization) == [new["gateway"]]
    (contact,) = bound_in_the_end(both.switch, carrier)
    assert is_of(contact, new["gateway"])
    unregistered = {contact for contact, expires, _, _ in both.switch.bindings(carrier) if expires == 0}
    assert len(unregistered) == 1
    assert is_of(unregistered.pop(), old["gateway"])
    assert shown(both, organization) | {"at": 0} == {
        "node": "fs1",
        "desired_generation": 2,
        "applied_generation": 2,
        "status": "converged",
        "detail": None,
        "at": 0,
    }


@pytest.mark.parametrize(
    ("behaviour", "said", "only_one"),
    [
        (None, "403 Forbidden", False),
        (None, "403 Forbidden", True),
        (CarrierBehaviour.FORBIDDEN, "403 Forbidden", False),
        (CarrierBehaviour.ENDLESS_CHALLENGE, "401 again", True),
    ],
    ids=["wrong-password", "wrong-password-one-binding", "forbidden", "endless-challenge-one-binding"],
)
def test_a_refused_change_leaves_the_old_one_working(
    both: Bridge, behaviour: CarrierBehaviour | None, said: str, *, only_one: bool
) -> None:
    organization = f"refused-{behaviour.value if behaviour else 'password'}-{only_one}"
    carrier = both.switch.carrier(CarrierBehaviour.CHALLENGE, only_one_binding=only_one)
    old = only_gateway(push(both, organization, registering("t", carrier), wait="30")[1])
    if behaviour is not None:
        both.switch.behave(carrier, behaviour)
    wrong = registering("t", carrier, "wrong-password")
    status, answer = push(both, organization, wrong)
    assert (status, answer["success"], answer["nodes"][0]["status"]) == (502, False, "refused")
    kept = only_gateway(answer)
    assert (kept["gateway"], kept["action"], kept["loaded"], kept["state"]) == (
        old["gateway"], "failed", True, "REGED",
    )  # fmt: skip
    assert f"the carrier answered {said}" in kept["detail"]
    assert "?force=true" in kept["detail"]
    assert of_organization(both, organization) == {old["gateway"]: "REGED"}
    assert outbound(both, organization) == [old["gateway"]]
    (contact,) = bound_in_the_end(both.switch, carrier)
    assert is_of(contact, old["gateway"])
    assert f'"{old["gateway"]}"' in file_of(both.switch, organization).read_text()
    assert "wrong-password" not in file_of(both.switch, organization).read_text()
    progress = shown(both, organization)
    assert (progress["desired_generation"], progress["applied_generation"]) == (2, 1)
    assert (progress["status"], said in progress["detail"]) == ("refused", True)

    before = len(both.switch.bindings(carrier))
    assert push(both, organization, wrong)[0] == 502, "the same again is tried again"
    assert len(both.switch.bindings(carrier)) > before
    both.switch.behave(carrier, CarrierBehaviour.CHALLENGE)
    status, answer = push(both, organization, registering("t", carrier, expire_seconds=1800))
    assert (status, only_gateway(answer)["action"]) == (200, "replaced")
    (contact,) = bound_in_the_end(both.switch, carrier)
    assert is_of(contact, only_gateway(answer)["gateway"])


def test_force_replaces_all_the_same(both: Bridge) -> None:
    carrier = both.switch.carrier(CarrierBehaviour.CHALLENGE)
    push(both, "forced", registering("t", carrier), wait="30")
    wrong = registering("t", carrier, "wrong-password")
    assert push(both, "forced", wrong)[0] == 502
    status, answer = push(both, "forced", wrong, force="true")
    new = only_gateway(answer)
    assert (status, answer["generation"], new["action"]) == (200, 2, "replaced")
    assert list(of_organization(both, "forced")) == [new["gateway"]]
    status, answer = push(both, "forced", wrong)
    assert (status, only_gateway(answer)["action"]) == (200, "unchanged")
    assert shown(both, "forced")["applied_generation"] == 2


def test_a_new_trunk_is_not_waited_for(both: Bridge) -> None:
    carrier = both.switch.carrier(CarrierBehaviour.FORBIDDEN)
    status, answer = push(both, "brand-new", registering("t", carrier), wait="30")
    new = only_gateway(answer)
    assert (status, new["action"], new["loaded"], new["detail"]) == (200, "created", True, "403 Forbidden")


@pytest.fixture(scope="module", params=switches.BOTH)
def hurried(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    work = tmp_path_factory.mktemp("hurried")
    with bridge.running(request.param, work, register_seconds=HURRY) as running:
        yield running


@pytest.mark.parametrize("behaviour", [CarrierBehaviour.SILENT, CarrierBehaviour.UNAVAILABLE])
def test_a_carrier_without_an_answer_keeps_the_old_one_until_it_has_one(
    hurried: Bridge, behaviour: CarrierBehaviour, *, only_one: bool
) -> None:
    organization = f"{behaviour.value}-{only_one}"
    carrier = hurried.switch.carrier(CarrierBehaviour.ACCEPT, only_one_binding=only_one)
    old = only_gateway(push(hurried, organization, registering("t", carrier), wait="30")[1])
    hurried.switch.behave(carrier, behaviour)
    status, answer = push(hurried, organization, registering("t", carrier, expire_seconds=1800))
    assert (status, answer["success"], answer["nodes"][0]["status"]) == (202, True, "unanswered")
    kept = only_gateway(answer)
    assert (kept["gateway"], kept["action"], kept["loaded"]) == (old["gateway"], "failed", True)
    assert outbound(hurried, organization) == [old["gateway"]]
    assert shown(hurried, organization)["applied_generation"] == 1
    (new,) = of_organization(hurried, organization).keys() - {old["gateway"]}

    hurried.switch.behave(carrier, CarrierBehaviour.ACCEPT)
    register_now(hurried, new)
    eventually(lambda: shown(hurried, organization)["status"] == "converged")
    assert of_organization(hurried, organization) == {new: "REGED"}
    assert outbound(hurried, organization) == [new]
    (contact,) = bound_in_the_end(hurried.switch, carrier)
    assert is_of(contact, new)


def test_an_old_gateway_that_refreshes_in_between_does_not_take_the_only_binding_along(
    hurried: Bridge,
) -> None:
    carrier = hurried.switch.carrier(CarrierBehaviour.ACCEPT, only_one_binding=True)
    old = only_gateway(push(hurried, "steals", registering("t", carrier), wait="30")[1])["gateway"]
    hurried.switch.behave(carrier, CarrierBehaviour.UNAVAILABLE)
    push(hurried, "steals", registering("t", carrier, expire_seconds=1800))
    (new,) = of_organization(hurried, "steals").keys() - {old}
    hurried.switch.behave(carrier, CarrierBehaviour.ACCEPT)
    # Both register in one turn of FreeSWITCH's worker, the newest first: the old one has the binding then.
    register_now(hurried, new)
    register_now(hurried, old)
    eventually(lambda: of_organization(hurried, "steals") == {new: "REGED"}, 30.0)
    (contact,) = bound_in_the_end(hurried.switch, carrier)
    assert is_of(contact, new)
    eventually(lambda: shown(hurried, "steals")["status"] == "converged")


def test_pushes_that_overtake_each_other_leave_nothing_behind(hurried: Bridge, *, only_one: bool) -> None:
    organization = f"overtaken-{only_one}"
    carrier = hurried.switch.carrier(CarrierBehaviour.CHALLENGE, only_one_binding=only_one)
    push(hurried, organization, registering("t", carrier), wait="30")
    jobs = [
        gevent.spawn(
            push, hurried, organization, registering("t", carrier, password, expire_seconds=1800 + n)
        )
        for n, password in enumerate(["right-password", "wrong-password", "right-password"])
    ]
    gevent.joinall(jobs, raise_error=True)
    last = registering("t", carrier, expire_seconds=1900)
    new = only_gateway(push(hurried, organization, last)[1])
    eventually(lambda: shown(hurried, organization)["status"] == "converged")
    (name,) = of_organization(hurried, organization)
    assert name == only_gateway(push(hurried, organization, last)[1])["gateway"]
    assert new["trunk_id"] == "t"
    (contact,) = bound_in_the_end(hurried.switch, carrier)
    assert is_of(contact, name)


def test_an_organisation_does_not_wait_for_the_carriers_of_another(tmp_path: Path) -> None:
    with bridge.running("stand-in", tmp_path, register_seconds=60.0, apply_timeout_seconds=30.0) as running:
        slow, fast = (running.switch.carrier(CarrierBehaviour.ACCEPT) for _ in range(2))
        push(running, "slow", registering("t", slow), wait="30")
        push(running, "fast", registering("t", fast), wait="30")
        running.switch.behave(slow, CarrierBehaviour.SILENT)
        waiting = gevent.spawn(push, running, "slow", registering("t", slow, expire_seconds=1800))
        eventually(lambda: len(of_organization(running, "slow")) == 2)
        status, answer = push(running, "fast", registering("t", fast, expire_seconds=1800))
        assert (status, only_gateway(answer)["action"]) == (200, "replaced")
        assert not waiting.ready()
        running.switch.behave(slow, CarrierBehaviour.ACCEPT)
        for name in of_organization(running, "slow"):
            register_now(running, name)
        status, answer = waiting.get(timeout=25)
        assert (status, only_gateway(answer)["action"]) == (200, "replaced")


def test_what_takes_too_long_for_the_push_is_pending_and_ends_by_itself(tmp_path: Path) -> None:
    with bridge.running("stand-in", tmp_path, apply_timeout_seconds=0.5) as running:
        carrier = running.switch.carrier(CarrierBehaviour.ACCEPT)
        push(running, "7", registering("t", carrier), wait="30")
        running.switch.behave(carrier, CarrierBehaviour.SILENT)
        status, answer = push(running, "7", registering("t", carrier, expire_seconds=1800))
        assert (status, answer["success"], answer["nodes"][0]["status"]) == (202, True, "pending")
        assert "stays in use" in only_gateway(answer)["detail"]
        running.switch.behave(carrier, CarrierBehaviour.ACCEPT)
        register_now(running, only_gateway(answer)["gateway"])
        eventually(lambda: shown(running, "7")["status"] == "converged")


def test_what_was_refused_is_not_tried_at_every_turn_and_comes_back_whole(tmp_path: Path) -> None:
    with bridge.running("stand-in", tmp_path, reconcile_seconds=0.2) as running:
        assert isinstance(running.switch, StandInSwitch)
        carrier = running.switch.carrier(CarrierBehaviour.CHALLENGE)
        old = only_gateway(push(running, "7", registering("t", carrier), wait="30")[1])["gateway"]
        assert push(running, "7", registering("t", carrier, "wrong-password"))[0] == 502
        registers = running.switch.bindings(carrier)
        stand_in = running.switch.stand_in
        looks = len([command for command in stand_in.commands if "xmlstatus gateway" in command])
        eventually(lambda: len([c for c in stand_in.commands if "xmlstatus gateway" in c]) > looks + 4)
        assert running.switch.bindings(carrier) == registers

        file = file_of(running.switch, "7")
        for damage in (file.unlink, lambda: file.write_text("<include>\nnot what was delivered\n")):
            text = file.read_text()
            damage()
            eventually(lambda text=text: file.exists() and file.read_text() == text)  # type: ignore[misc]
        running.switch.kill()
        running.switch.start()
        eventually(lambda: of_organization(running, "7") == {old: "REGED"})
        file.unlink()
        running.switch.kill()
        running.switch.start()
        eventually(lambda: of_organization(running, "7") == {old: "REGED"})
        assert outbound(running, "7") == [old]
        assert shown(running, "7")["status"] == "refused"


def test_the_callers_of_the_old_carrier_are_let_in_while_it_stands_in(tmp_path: Path) -> None:
    number = {"id": 1, "phone_number": "+15551230001", "assistant_id": 1}
    with bridge.running("stand-in", tmp_path) as running:
        assert isinstance(running.switch, StandInSwitch)
        elsewhere = "127.0.0.66:5999"
        running.switch.stand_in.carriers[elsewhere] = CarrierBehaviour.FORBIDDEN
        old = registering("t", running.switch.carrier(CarrierBehaviour.ACCEPT))
        new = registering("t", elsewhere)
        for body, expected in ((old, 200), (new, 502)):
            document = {"organization_id": 7, "trunks": [body], "phone_numbers": [number]}
            assert running.sync(document, wait="30")[0] == expected
        assert running.switch.call(invite("+15551230001")) == 200
        document["trunks"] = [new]
        assert running.sync(document, force="true")[0] == 200
        assert running.switch.call(invite("+15551230001")) == 403, "nobody has this address any more"


def serve(tmp_path: Path, switch: Switch) -> Serving:
    return Serving(
        tmp_path,
        FSCONTROL_NODES=f"fs1=127.0.0.1:{switch.config.esl_port}",
        FSCONTROL_ESL_PASSWORD=switches.PASSWORD.get_secret_value(),
        FSCONTROL_CONFIG_DIR=str(switch.config_dir),
        FSCONTROL_STORE_URL=f"sqlite:///{tmp_path}/fscontrol.db",
        FSCONTROL_CALL_SOCKET=f"127.0.0.1:{switch.call_socket_port}",
    )


@pytest.mark.parametrize("kind", switches.BOTH)
def test_a_control_plane_killed_in_the_middle_goes_on(tmp_path: Path, kind: str, *, only_one: bool) -> None:
    with switches.running(kind, tmp_path / "switch") as switch:
        carrier = switch.carrier(CarrierBehaviour.ACCEPT, only_one_binding=only_one)
        serving = serve(tmp_path, switch)
        body = {"organization_id": 7, "trunks": [registering("t", carrier)]}
        changed = {"organization_id": 7, "trunks": [registering("t", carrier, expire_seconds=1800)]}
        try:
            old = only_gateway(serving.ask("POST", "/api/sync-organization", body, wait="30")[1])["gateway"]
            switch.behave(carrier, CarrierBehaviour.SILENT)
            cut = gevent.spawn(_ignoring_its_end, serving, changed)
            eventually(lambda: len(serving.ask("GET", "/api/gateways")[1]["items"]) == 2)
        finally:
            serving.kill()
        cut.join(timeout=10)
        switch.behave(carrier, CarrierBehaviour.ACCEPT)
        with bridge.running_application(bridge.settings_for(switch, tmp_path)) as application:
            running = Bridge(switch, application)
            (new,) = eventually(lambda: of_organization(running, "7").keys() - {old})
            register_now(running, new)
            eventually(lambda: of_organization(running, "7") == {new: "REGED"})
            eventually(lambda: shown(running, "7")["applied_generation"] == 2)
        (contact,) = bound_in_the_end(switch, carrier)
        assert is_of(contact, new)


def _ignoring_its_end(serving: Serving, body: object) -> None:
    import requests

    with pytest.raises(requests.RequestException):
        serving.ask("POST", "/api/sync-organization", body)


def many(count: int) -> list[object]:
    return [trunk(f"t{n:03d}", f"127.0.1.{n + 1}", register=False) for n in range(count)]


def test_removing_most_of_a_node_waits_for_force(tmp_path: Path) -> None:
    with bridge.running("stand-in", tmp_path) as running:
        push(running, "small", trunk("s", "127.0.0.9", register=False))
        push(running, "big", *many(15))
        status, answer = push(running, "big", *many(3), dry_run="true")
        assert (answer["nodes"][0]["status"], len(of_organization(running, "big"))) == ("held", 15)
        status, answer = push(running, "big", *many(3), trunk("more", "127.0.0.8", register=False))
        assert (status, answer["success"], answer["nodes"][0]["status"]) == (202, True, "held")
        assert "12 of the 16 gateways on fs1" in answer["message"]
        assert "?force=true" in answer["message"]
        kept = [g for g in answer["nodes"][0]["gateways"] if "would be removed" in (g["detail"] or "")]
        assert {(g["action"], g["loaded"]) for g in kept} == {("unchanged", True)}
        assert len(kept) == 12
        assert len(of_organization(running, "big")) == 16, "what was added is there"
        assert file_of(running.switch, "big").read_text().count("<gateway ") == 16
        progress = shown(running, "big")
        assert (progress["status"], progress["applied_generation"]) == ("held", 1)
        assert push(running, "small", trunk("s", "127.0.0.10", register=False))[0] == 200, "others go on"

        running.switch.kill()
        eventually(lambda: running.ask("GET", "/readyz")[0] == 503)
        forced = push(running, "big", *many(3), force="true")
        assert (forced[0], forced[1]["nodes"][0]["status"]) == (202, "unreachable")
        running.switch.start()
        eventually(lambda: len(of_organization(running, "big")) == 3)
        eventually(lambda: shown(running, "big")["status"] == "converged")


def test_deleting_most_of_a_node_waits_for_force(tmp_path: Path) -> None:
    with bridge.running("stand-in", tmp_path) as running:
        push(running, "big", *many(15))
        status, answer = running.ask("DELETE", "/api/organizations/big")
        assert (status, answer["error"]) == (409, "removal_held")
        assert "?force=true" in answer["message"]
        assert running.ask("GET", "/api/organizations/big")[0] == 200, "nothing was deleted"

        running.switch.kill()
        eventually(lambda: running.ask("GET", "/readyz")[0] == 503)
        assert running.ask("DELETE", "/api/organizations/big")[0] == 202, (
            "nobody could say how many there are"
        )
        running.switch.start()
        eventually(lambda: running.ask("GET", "/readyz")[0] == 200)
        eventually(lambda: len(of_organization(running, "big")) == 15)
        running.application.reconciler.apply("big", -1, 10.0)
        assert len(of_organization(running, "big")) == 15, "the pass asks, too"
        status, _ = running.ask("DELETE", "/api/organizations/big", force="true")
        assert (status, of_organization(running, "big")) == (200, {})
        assert running.application.store.applied("big") == {}
        assert running.ask("DELETE", "/api/organizations/big", force="true")[0] == 404


def test_a_forced_delete_is_remembered_for_a_node_that_is_away(tmp_path: Path) -> None:
    with bridge.running("stand-in", tmp_path) as running:
        push(running, "big", *many(15))
        running.switch.kill()
        eventually(lambda: running.ask("GET", "/readyz")[0] == 503)
        assert running.ask("DELETE", "/api/organizations/big", force="true")[0] == 202
        running.switch.start()
        eventually(lambda: running.ask("GET", "/readyz")[0] == 200)
        eventually(
            lambda: of_organization(running, "big") == {} and not file_of(running.switch, "big").exists()
        )
        eventually(lambda: running.application.store.ledger("fs1") == {})
