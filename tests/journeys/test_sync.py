"""The backend pushes an organisation: what reaches FreeSWITCH, what is answered, and what is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fscontrol.simulator.carrier import CarrierBehaviour
from fscontrol.sofia.deliver import organization_file
from fscontrol.sofia.tree import GATEWAY_DIRECTORY
from tests import bridge, switches
from tests.bridge import Bridge, registering, trunk
from tests.switches import StandInSwitch
from tests.waiting import eventually


@pytest.fixture(scope="module", params=switches.BOTH)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with bridge.running(request.param, tmp_path_factory.mktemp("bridge")) as running:
        yield running


def actions(answer: dict[str, object]) -> dict[str, str]:
    nodes = answer["nodes"]
    assert isinstance(nodes, list)
    return {gateway["trunk_id"]: gateway["action"] for node in nodes for gateway in node["gateways"]}


def test_a_push_becomes_registered_gateways_and_says_so(both: Bridge) -> None:
    good, bad, silent = (
        both.switch.carrier(b)
        for b in (CarrierBehaviour.CHALLENGE, CarrierBehaviour.FORBIDDEN, CarrierBehaviour.SILENT)
    )
    body = {
        "organization_id": 7,
        "name": "Acme",
        "trunks": [
            registering("good-trunk", good),
            registering("bad-trunk", bad),
            trunk("ip-trunk", good, register=False),
            trunk("off-trunk", silent, enabled=False),
        ],
        "phone_numbers": [],
    }
    status, answer = both.sync(body, wait="30")
    assert status == 200
    head = {name: value for name, value in answer.items() if name != "nodes"}
    assert head == {
        "success": True,
        "message": "Synced 3 enabled trunk(s) to bridge",
        "total_trunks": 4,
        "enabled_trunks": 3,
        "organization_id": 7,
        "generation": 1,
        "dry_run": False,
        "warnings": [],
    }
    (node,) = answer["nodes"]
    assert (node["node"], node["status"]) == ("fs1", "converged")
    shown = {g["trunk_id"]: (g["action"], g["loaded"], g["state"], g["detail"]) for g in node["gateways"]}
    assert shown["good-trunk"] == ("created", True, "REGED", None)
    assert shown["ip-trunk"] == ("created", True, "NOREG", None)
    assert shown["bad-trunk"][:2] == ("created", True)
    assert shown["bad-trunk"][3] == "403 Forbidden"
    assert all(g["gateway"].startswith("7.") for g in node["gateways"])


def test_the_same_push_again_touches_nothing(both: Bridge) -> None:
    carrier = both.switch.carrier(CarrierBehaviour.ACCEPT)
    body = {"organization_id": "same", "trunks": [registering("t", carrier)], "phone_numbers": []}
    assert both.sync(body, wait="30")[1]["nodes"][0]["gateways"][0]["state"] == "REGED"
    before = both.switch.registers(carrier)
    status, answer = both.sync(body)
    assert (status, answer["generation"], actions(answer)) == (200, 1, {"t": "unchanged"})
    assert both.switch.registers(carrier) == before


def test_a_changed_password_replaces_the_gateway_and_never_leaves_the_carrier_without_a_binding(
    both: Bridge,
) -> None:
    carrier = both.switch.carrier(CarrierBehaviour.ACCEPT)
    body = {
        "organization_id": "rotate",
        "trunks": [registering("t", carrier, "old-password")],
        "phone_numbers": [],
    }
    (old,) = both.sync(body, wait="30")[1]["nodes"][0]["gateways"]
    body["trunks"] = [registering("t", carrier, "new-password")]
    status, answer = both.sync(body, wait="30")
    (new,) = answer["nodes"][0]["gateways"]
    assert (status, new["action"], new["loaded"], new["state"]) == (200, "replaced", True, "REGED")
    assert new["gateway"] != old["gateway"]
    eventually(lambda: old["gateway"] not in both.gateways())
    registers = both.switch.registers(carrier)
    assert {contact for contact, expires in registers if expires == 0} == {
        contact for contact, _ in registers if old["gateway"] in contact
    }


def test_a_trunk_that_left_is_removed_and_others_stay(both: Bridge) -> None:
    carrier = both.switch.carrier(CarrierBehaviour.ACCEPT)
    stay, leave = registering("stay", carrier), registering("leave", carrier)
    both.sync({"organization_id": "leaving", "trunks": [stay, leave]}, wait="30")
    before = len([1 for contact, _ in both.switch.registers(carrier) if "stay" in contact])
    status, answer = both.sync({"organization_id": "leaving", "trunks": [stay]})
    assert (status, actions(answer)) == (200, {"stay": "unchanged", "leave": "removed"})
    assert not [name for name in both.gateways() if name.startswith("leaving.leave")]
    assert len([1 for contact, _ in both.switch.registers(carrier) if "stay" in contact]) == before


def test_dry_run_tells_the_plan_and_changes_nothing(both: Bridge) -> None:
    carrier = both.switch.carrier(CarrierBehaviour.ACCEPT)
    body = {"organization_id": "dry", "trunks": [registering("t", carrier)]}
    status, answer = both.sync(body, dry_run="true")
    assert (status, answer["dry_run"], actions(answer)) == (200, True, {"t": "created"})
    assert both.ask("GET", "/api/organizations/dry")[0] == 404
    assert not [name for name in both.gateways() if name.startswith("dry.")]
    assert not (both.switch.config_dir / GATEWAY_DIRECTORY / organization_file("dry")).exists()


def test_deleting_an_organisation_removes_its_gateways_and_its_file(both: Bridge) -> None:
    carrier = both.switch.carrier(CarrierBehaviour.ACCEPT)
    both.sync({"organization_id": "gone", "trunks": [trunk("t", carrier, register=False)]})
    path = both.switch.config_dir / GATEWAY_DIRECTORY / organization_file("gone")
    assert path.stat().st_mode & 0o777 == 0o600
    status, answer = both.ask("DELETE", "/api/organizations/gone")
    assert (status, answer["success"]) == (200, True)
    assert not path.exists()
    assert not [name for name in both.gateways() if name.startswith("gone.")]
    assert both.ask("DELETE", "/api/organizations/gone")[0] == 404


def test_gateways_that_are_not_ours_are_left_alone(both: Bridge) -> None:
    path = both.switch.config_dir / GATEWAY_DIRECTORY / "operators-own.xml"
    path.write_text(
        '<include>\n<gateway name="theirs"><param name="proxy" value="127.0.0.1:9"/>'
        '<param name="register" value="false"/></gateway>\n</include>\n'
    )
    trunks = [trunk(f"t{n}", "127.0.0.1:9", register=False) for n in range(6)]
    both.sync({"organization_id": "many", "trunks": trunks})
    eventually(lambda: "theirs" in both.gateways())
    both.sync({"organization_id": "many", "trunks": []})
    assert "theirs" in both.gateways()
    assert both.gateways()["theirs"]["organization"] is None
    assert path.exists()


def test_generations(both: Bridge) -> None:
    def push(generation: int | None, name: str) -> tuple[int, object]:
        body: dict[str, object] = {
            "organization_id": "gen",
            "name": name,
            "generation": generation,
            "trunks": [],
        }
        status, answer = both.sync(body)
        return status, answer.get("generation", answer.get("error"))

    assert push(5, "a") == (200, 5)
    assert push(5, "a") == (200, 5)
    assert push(4, "a") == (409, "stale_generation")
    assert push(5, "b") == (409, "stale_generation")
    assert push(None, "b") == (200, 6)
    assert push(None, "b") == (200, 6)
    assert push(9, "b") == (200, 9)


def test_every_problem_is_listed_and_nothing_is_changed(both: Bridge) -> None:
    body = {
        "organization_id": "bad",
        "trunks": [
            {"name": "a", "gateway": "http://x"},
            {"name": "a", "gateway": "h:99999"},
            {"gateway": "h", "name": "b", "register": True},
        ],
        "phone_numbers": [{"phone_number": "12"}],
    }
    status, answer = both.sync(body)
    assert (status, answer["success"], answer["error"]) == (422, False, "invalid_document")
    assert {problem["path"] for problem in answer["problems"]} == {
        "trunks[0].gateway",
        "trunks[1].gateway",
        "trunks[2].username",
        "phone_numbers[0].phone_number",
    }
    assert both.ask("GET", "/api/organizations/bad")[0] == 404


def test_a_killed_freeswitch_gets_everything_back(tmp_path: Path) -> None:
    with bridge.running("stand-in", tmp_path) as running:
        carrier = running.switch.carrier(CarrierBehaviour.ACCEPT)
        running.sync({"organization_id": 7, "trunks": [registering("t", carrier)]}, wait="30")
        running.switch.kill()
        eventually(lambda: running.ask("GET", "/readyz")[0] == 503)
        assert [g["state"] for g in running.gateways().values()] == ["UNKNOWN"]
        status, answer = running.sync({"organization_id": 8, "trunks": [registering("u", carrier)]})
        assert (status, answer["success"], answer["nodes"][0]["status"]) == (202, True, "unreachable")
        running.switch.start()
        eventually(lambda: sorted(g["state"] for g in running.gateways().values()) == ["REGED", "REGED"])
        results = running.ask("GET", "/api/organizations/8")[1]["nodes"]
        assert [(r["node"], r["status"]) for r in results] == [("fs1", "converged")]


def test_a_gateway_killed_by_hand_comes_back(tmp_path: Path) -> None:
    with bridge.running("stand-in", tmp_path) as running:
        assert isinstance(running.switch, StandInSwitch)
        carrier = running.switch.carrier(CarrierBehaviour.ACCEPT)
        running.sync({"organization_id": 7, "trunks": [registering("t", carrier)]}, wait="30")
        (name,) = running.gateways()
        node = next(iter(running.application.nodes))
        from fscontrol.esl import commands

        node.request(commands.kill_gateway("external", name))
        eventually(lambda: [r for r in running.switch.registers(carrier) if r[1] == 0])
        eventually(lambda: running.gateways().get(name, {}).get("state") == "REGED")


def test_a_thousand_trunks(tmp_path: Path) -> None:
    with bridge.running("stand-in", tmp_path) as running:
        assert isinstance(running.switch, StandInSwitch)
        trunks = [trunk(f"{n:08d}", f"127.0.{n // 250}.{n % 250 + 1}", register=False) for n in range(1000)]
        status, answer = running.sync({"organization_id": 7, "trunks": trunks})
        assert (status, set(actions(answer).values())) == (200, {"created"})
        assert len(running.switch.stand_in.gateway_names()) == 1000
        mutations = [c for c in running.switch.stand_in.commands if "startgw" in c or "killgw" in c]
        status, answer = running.sync({"organization_id": 7, "trunks": trunks})
        assert set(actions(answer).values()) == {"unchanged"}
        assert [c for c in running.switch.stand_in.commands if "startgw" in c or "killgw" in c] == mutations
