"""The pictures of the documentation, docs/images/: FSCONTROL_TEST_PICTURES=1 takes them anew."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from fscontrol.model.registration import GatewayState, Registration, Transition
from fscontrol.simulator.carrier import CarrierBehaviour
from tests import bridge
from tests.bridge import Bridge, registering, trunk
from tests.browser.chromium import DESK, PHONE, Chromium
from tests.browser.signing_in import sign_in
from tests.waiting import eventually

PICTURES = Path(__file__).parents[2] / "docs" / "images"
HOUR = 3600.0
CARRIERS = (
    CarrierBehaviour.CHALLENGE, CarrierBehaviour.FORBIDDEN, CarrierBehaviour.CHALLENGE, CarrierBehaviour.UNAVAILABLE,
)  # fmt: skip

pytestmark = pytest.mark.skipif(
    not os.environ.get("FSCONTROL_TEST_PICTURES"), reason="FSCONTROL_TEST_PICTURES=1 takes the pictures anew"
)


@pytest.fixture(scope="module")
def house(browser: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with bridge.running("stand-in", tmp_path_factory.mktemp("pictures")) as running:
        addresses = [running.switch.carrier(behaviour) for behaviour in CARRIERS]
        for key in range(7, 19):
            trunks = [
                registering(f"{0x7F502DA1 + key * 7919:08x}-0f06", addresses[0], name="Primary Carrier"),
                registering(
                    f"{0xA1B2C3D4 - key * 104729:08x}-4e52", addresses[key % 4], name="Backup Carrier"
                ),
                trunk(f"{0x3CA7E5 * key:08x}-9d1c", "127.0.0.1:5099", name="Office PBX"),
            ]
            assert running.sync({"organization_id": key, "name": "Acme", "trunks": trunks})[0] == 200
        eventually(lambda: [row["state"] for row in running.gateways().values()].count("FAIL_WAIT") == 6)
        eventually(lambda: [row["state"] for row in running.gateways().values()].count("REGED") == 18)
        give_a_past(running)
        yield running


def give_a_past(running: Bridge) -> None:
    """A day that ended as it is now."""
    board = cast(dict[str, Registration], running.application.registrations.board("fs1"))
    now = time.time()
    for number, (name, known) in enumerate(sorted(board.items())):
        good = GatewayState.NOREG if known.state is GatewayState.NOREG else GatewayState.REGED
        past = [Transition(now - (26 if number % 5 else 17) * HOUR, None, good, 200, "OK")]
        if good is GatewayState.REGED and number % 5 == 1:
            past.append(
                Transition(
                    now - (11 + number % 4) * HOUR, good, GatewayState.FAIL_WAIT, 503, "Service Unavailable"
                )
            )
            past.append(Transition(now - (10.6 + number % 4) * HOUR, GatewayState.FAIL_WAIT, good, 200, "OK"))
        if known.state is GatewayState.FAIL_WAIT:
            since = now - (0.7 + number % 7 / 3) * HOUR
            past.append(Transition(since, good, GatewayState.FAIL_WAIT, known.sip_status, known.phrase))
        board[name] = replace(known, timeline=tuple(past), since=past[-1].at)


@pytest.mark.parametrize(
    ("page", "name", "size", "colours"),
    [
        ("overview", "overview", DESK, "light"),
        ("gateways", "gateways", DESK, "light"),
        ("gateway", "gateway-dark", DESK, "dark"),
        ("gateways", "gateways-phone", PHONE, "light"),
    ],
)
def test_pictures(
    house: Bridge, browser: Chromium, page: str, name: str, size: dict[str, int], colours: str
) -> None:
    PICTURES.mkdir(exist_ok=True)
    refused = next(one for one, row in house.gateways().items() if row["sip_status"] == 403)
    paths = {"overview": "/", "gateways": "/gateways", "gateway": f"/gateways/fs1/{refused}"}
    tab = browser.open(viewport=size, color_scheme=colours)
    sign_in(tab, house.url + paths[page])
    tab.see("#live[data-state=on]")
    tab.do("screenshot", path=str(PICTURES / f"{name}.png"), animations="disabled")
    tab.do("leave")
