"""The documentation's pictures of calls, docs/images/: FSCONTROL_TEST_PICTURES=1 takes them anew."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fscontrol.model.call import CallStatus
from tests import bridge
from tests.bridge import Bridge, trunk
from tests.browser import some_calls
from tests.browser.chromium import DESK, PHONE, Chromium
from tests.browser.signing_in import sign_in

PICTURES = Path(__file__).parents[2] / "docs" / "images"
INVITE = """INVITE sip:5000@192.0.2.10 SIP/2.0
Via: SIP/2.0/UDP 203.0.113.5:5060;branch=z9hG4bK776asdhds
Diversion: <sip:+15551230001@pbx.example.com>;reason=unconditional
From: "Alice" <sip:+15559876543@pbx.example.com>;tag=1928301774
To: <sip:5000@192.0.2.10>
"""

pytestmark = pytest.mark.skipif(
    not os.environ.get("FSCONTROL_TEST_PICTURES"), reason="FSCONTROL_TEST_PICTURES=1 takes the pictures anew"
)


@pytest.fixture(scope="module")
def house(browser: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with bridge.running("stand-in", tmp_path_factory.mktemp("pictures")) as running:
        pbx = trunk(some_calls.CARRIER, "127.0.0.1:5099", allowed_addresses=["203.0.113.0/24"])
        number = {"id": 1, "phone_number": "+15551230001", "assistant_id": 123}
        pushed = {"organization_id": 7, "trunks": [pbx], "phone_numbers": [number]}
        assert running.sync(pushed)[0] == 200
        now, book = time.time(), running.application.book
        for record in some_calls.a_day(now):
            running.application.store.put_call(record)
        going = {
            "status": CallStatus.IN_PROGRESS,
            "ended_at": None,
            "hangup_cause": "",
            "duration_seconds": None,
        }
        for number_of_it, ago in ((51, 130), (52, 64), (53, 9)):
            book.put(some_calls.answered(now - ago, number_of_it, **going))
        yield running


@pytest.mark.parametrize(
    ("path", "name", "size", "colours"),
    [
        ("/calls", "calls", DESK, "light"),
        ("/calls", "calls-phone", PHONE, "light"),
        (f"/calls/{some_calls.ANSWERED}", "call", DESK, "light"),
        (f"/calls/{some_calls.FAILED_OVER}", "call-outbound-dark", DESK, "dark"),
        ("/explain", "explain", DESK, "light"),
    ],
)  # fmt: skip
def test_pictures(
    house: Bridge, browser: Chromium, path: str, name: str, size: dict[str, int], colours: str
) -> None:
    PICTURES.mkdir(exist_ok=True)
    tab = browser.open(viewport=size, color_scheme=colours)
    sign_in(tab, house.url + path)
    if path == "/explain":
        tab.fill("#invite", INVITE)
        tab.fill("#source_ip", "203.0.113.5")
        tab.click("main button:has-text('Explain')")
        tab.see("#result")
    else:
        tab.see("#live[data-state=on]")
    tab.do(
        "screenshot", path=str(PICTURES / f"{name}.png"), animations="disabled", full_page=path != "/calls"
    )
    tab.do("leave")
