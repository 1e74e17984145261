"""Calls, explanations, the outbox and the audit trail in a browser, against a running control plane."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from fscontrol.model.access import Role
from fscontrol.model.audit import HOUSE
from fscontrol.model.message import OutboxMessage, webhook_key, webhook_of
from fscontrol.simulator.carrier import CarrierBehaviour
from tests import bridge, on_the_line
from tests.bridge import Bridge, trunk
from tests.browser import some_calls
from tests.browser.chromium import DESK, Chromium, Tab
from tests.browser.signing_in import sign_in
from tests.invites import invite

PHONE = {"width": 390, "height": 844}
HEAVIEST = 150_000
NUMBER = "+15551230001"
HOSTILE = "<img src=x onerror=\"document.title='taken'\">\u202egro.elpmaxe\x1b[2J"
HARMLESS = "<img src=x onerror=\"document.title='taken'\">⟨U+202E⟩gro.elpmaxe⟨U+001B⟩[2J"
INVITE = """INVITE sip:5000@192.0.2.10 SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1
Diversion: <sip:+15551230001@pbx.example.com>;reason=unconditional
From: "A" <sip:+15559876543@pbx.example.com>;tag=1
To: <sip:5000@192.0.2.10>

"""


class Setting:
    """A control plane with one organisation that is called, a day of calls behind it, and one letter given up."""

    def __init__(self, running: Bridge) -> None:
        self.bridge = running
        carrier = running.switch.carrier(CarrierBehaviour.UNAVAILABLE)
        pbx = trunk("pbx", carrier, register=False, allowed_addresses=["127.0.0.1"])
        number = {"id": 1, "phone_number": NUMBER, "assistant_id": 123}
        assert running.sync({"organization_id": 7, "trunks": [pbx], "phone_numbers": [number]})[0] == 200
        assert running.sync({"organization_id": 8, "trunks": [trunk("other", "127.0.0.1:5099")]})[0] == 200
        self.store = running.application.store
        for record in some_calls.a_day(time.time(), 8):
            self.store.put_call(record)
        hostile = some_calls.answered(time.time() - 300, 99, from_number=HOSTILE, to_number=HOSTILE, reason=HOSTILE,
                                      organization_id=8, trunk_id=HOSTILE, variables={HOSTILE: HOSTILE})  # fmt: skip
        self.hostile = hostile.call_sid
        self.store.put_call(hostile)

    def key(self, role: Role, organization: str | None = None) -> str:
        """A new key."""
        return self.bridge.application.keys.create("somebody", role, organization, HOUSE).text

    def at(self, path: str) -> str:
        """An address of it."""
        return self.bridge.url + path

    def bury(self) -> None:
        """Give up two messages about one call, to the backend and to a webhook; nobody is to be told in this house."""
        for key, destination in (
            (some_calls.ANSWERED, ""),
            (webhook_key(some_calls.ANSWERED), webhook_of("7")),
        ):
            letter = OutboxMessage(
                key=key, sequence=900, path="/sip-status", body='{"from_number": "+15559876543"}',
                created_at=time.time() - 900, destination=destination,
            )  # fmt: skip
            self.store.put_call(some_calls.answered(time.time() - 400), [letter])
            self.store.message_dead(letter, f"HTTP 404 {HOSTILE}")


@pytest.fixture(scope="module")
def house(browser: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    unlimited = {"rate_limit": "off", "rate_limit_writes": "off"}
    with bridge.running("stand-in", tmp_path_factory.mktemp("calls"), **unlimited) as running:
        yield Setting(running)


@pytest.fixture
def tab(browser: Chromium) -> Iterator[Tab]:
    opened = browser.open()
    yield opened
    complaints = [said for said in opened.do("complaints") if "401 (UNAUTHORIZED)" not in said]
    opened.do("leave")
    assert not complaints, "the browser's console"


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_a_call_is_seen_to_come_and_go(house: Setting, browser: Chromium, size: dict[str, int]) -> None:
    tab = browser.open(viewport=size)
    tab.do("add_init_script", "window.setInterval = () => 0")  # what is seen to change, an event told
    sign_in(tab, house.at("/calls"))
    tab.see("#live[data-state=on]")
    tab.run("window.sameDocument = true")
    assert "No call is in progress" in tab.text("#going-shown")
    with on_the_line.call(house.bridge.switch):
        tab.see(f"#going tr:has-text('{NUMBER}') .chip:has-text('in-progress')")
        link = tab.do("get_attribute", "href", on="#going a")
        tab.see("#going-shown:has-text('1 call in progress')")
    tab.see(f"#ended tr:has(a[href='{link}']) .chip:has-text('completed')")
    tab.see("#going-shown:has-text('No call is in progress')")
    house.bridge.switch.call(invite("+15550009999"))
    tab.see("#ended tr:first-child:has-text('404 unknown_number')")
    assert tab.run("window.sameDocument"), "nobody loaded the page again"
    tab.do("leave")


def test_a_call_is_hung_up(house: Setting, tab: Tab) -> None:
    key = house.key(Role.ADMIN, "7")
    sign_in(tab, house.at("/calls?state=progress"), key)
    with on_the_line.call(house.bridge.switch) as caller:
        tab.click(f"#going a:has-text('{NUMBER}')")
        tab.see("#state .chip:has-text('in-progress')")
        tab.click("text=Hang up…")
        tab.see("h1:has-text('Hang up this call?')")
        tab.click("text=Cancel")
        tab.click("text=Hang up…")
        tab.click("main button")
        tab.see(".said")
        tab.see("#state .chip:has-text('completed')")
        assert caller.was_sent("BYE")
    tab.see("#steps tr:has-text('terminate')")
    assert tab.do("count", on="text=Hang up…") == 0
    tab.goto(house.at("/audit?action=terminate"))
    assert "somebody (fsc_live_" in tab.text("tbody tr:first-child")
    call_sid = house.bridge.last_call()["call_sid"]
    entry = house.bridge.ask("GET", "/api/audit")[1]["items"][0]
    assert (entry["action"], entry["target"], entry["organization"]) == ("terminate", f"call {call_sid}", "7")
    tab.goto(house.at(f"/calls/{call_sid}/terminate"))
    tab.click("main button")
    tab.see(".said")
    assert house.bridge.ask("GET", "/api/audit")[1]["items"][0] == entry, "done once, told once"


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_an_invite_is_explained(house: Setting, browser: Chromium, size: dict[str, int]) -> None:
    tab = browser.open(viewport=size)
    sign_in(tab, house.at("/explain"))
    tab.fill("#invite", INVITE)
    tab.click("main button:has-text('Explain')")
    tab.see("#result .chip:has-text('accept')")
    assert "as its Via says" in tab.text("#result")
    rows = tab.text("#candidates")
    assert "Diversion" in rows and f"matched {NUMBER}" in rows and "not looked at" in rows
    assert "admission" in tab.text("#steps")
    assert tab.do("input_value", on="#invite") == INVITE
    tab.fill("#source_ip", "192.0.2.66")
    tab.click("main button:has-text('Explain')")
    tab.see("#result .chip:has-text('reject')")
    assert "403" in tab.text("#result") and "allowed_addresses" in tab.text("#result")
    tab.fill("#source_ip", "somewhere")
    tab.click("main button:has-text('Explain')")
    tab.see("#source-wrong:has-text('must be an IP address')")
    assert tab.do("input_value", on="#invite") == INVITE, "what was pasted is kept"
    tab.fill("#source_ip", "")
    hostile = f"BYE {HOSTILE}\n\tx"
    tab.fill("#invite", hostile)
    tab.click("main button:has-text('Explain')")
    tab.see("#invite-wrong:has-text('the first line must be that of an INVITE')")
    assert tab.do("input_value", on="#invite") == hostile
    tab.fill("#invite", INVITE + "X-Much: " + "a" * 70_000)
    tab.click("main button:has-text('Explain')")
    tab.see("#invite-wrong:has-text('longer than 65536 characters')")
    assert tab.do("title") != "taken"
    tab.do("leave")


def test_filters_survive_a_reload(house: Setting, tab: Tab) -> None:
    sign_in(tab, house.at("/calls"))
    tab.do("select_option", "outbound", on="select[name=direction]")
    tab.do("select_option", "busy", on="select[name=result]")
    tab.fill("input[name=organization]", "7")
    tab.fill("input[name=q]", "(555) 777-0009")
    tab.do("press", "Enter", on="input[name=q]")
    tab.see("#ended-shown:has-text('1 call that matches')")
    tab.do("reload")
    assert tab.do("input_value", on="input[name=q]") == "(555) 777-0009"
    assert tab.do("input_value", on="select[name=direction]") == "outbound"
    assert tab.do("count", on="#ended tr") == 1
    tab.click("#ended a")
    tab.see("#tries:has-text('it is not registered')")
    assert "carrier_failed" in tab.text("#tries") and "503 NORMAL_TEMPORARY_FAILURE" in tab.text("#tries")
    assert "The called side is busy" in tab.text("#state")
    tab.goto(house.at(f"/calls/{some_calls.ANSWERED}"))
    assert (
        "4.31" in tab.text("#figures")
        and "6.2 ms" in tab.text("#figures")
        and "0.4 %" in tab.text("#figures")
    )


def test_one_organisation_sees_its_own(house: Setting, tab: Tab) -> None:
    key = house.key(Role.VIEWER, "8")
    sign_in(tab, house.at("/calls"), key)
    assert tab.do("count", on="#ended tr") == 1
    assert "organisation 8" in tab.text("#ended")
    for path in ("/outbox", "/explain", "/audit"):
        assert tab.do("count", on=f"nav a[href='{path}']") == 0
    tab.goto(house.at("/calls?organization=7"))
    assert "organisation 7" not in tab.text()
    tab.goto(house.at(f"/calls/{some_calls.ANSWERED}"))
    tab.see("h1:has-text('Not found')")
    tab.do("forget_complaints")


def test_strangers_text_is_shown_and_harmless(house: Setting, tab: Tab) -> None:
    house.bury()
    sign_in(tab, house.at("/calls"))
    for path in ("/calls", f"/calls/{house.hostile}", "/outbox"):
        tab.goto(house.at(path))
        assert HARMLESS in tab.text(), path
        assert "\u202e" not in tab.text()
        assert tab.do("title") != "taken"


def test_dead_letters_are_sent_again(house: Setting, tab: Tab) -> None:
    house.bury()
    sign_in(tab, house.at("/outbox"), house.key(Role.VIEWER))
    assert "HTTP 404" in tab.text("#dead")
    assert tab.do("count", on="text=Send again…") == 0
    admin = house.key(Role.ADMIN)
    tab.click("text=Sign out")
    sign_in(tab, house.at("/outbox"), admin)
    tab.click("#dead tr:first-child >> text=Send again…")
    tab.click("main button")
    assert "2 dead letters queued again" in tab.text(".said")
    assert tab.do("count", on="#dead tr") == 0
    assert "webhook of organisation 7" in tab.text("#waiting")
    entry = house.bridge.ask("GET", "/api/audit")[1]["items"][0]
    assert (entry["action"], entry["target"]) == ("resent", "2 dead letter(s)")
    house.bury()
    tab.goto(house.at("/outbox"))
    tab.click("text=Send all again…")
    tab.click("main button")
    assert "queued again" in tab.text(".said")


@pytest.mark.parametrize(
    ("size", "colours"), [(PHONE, "dark"), (DESK, "light")], ids=["phone-dark", "desk-light"]
)
def test_pages_fit_are_light_and_accessible(
    house: Setting, browser: Chromium, size: dict[str, int], colours: str
) -> None:
    house.bury()
    tab = browser.open(viewport=size, color_scheme=colours)
    sign_in(tab, house.at("/calls"))
    looked_at_twice = ("/calls", f"/calls/{some_calls.ANSWERED}", "/outbox")
    paths = [
        "/explain",
        "/audit",
        "/outbox/resend",
        f"/calls/{some_calls.FAILED_OVER}",
        f"/calls/{house.hostile}",
    ]
    with on_the_line.call(house.bridge.switch):
        live = f"/calls/{house.bridge.last_call()['call_sid']}"
        for path in (*looked_at_twice, live, f"{live}/terminate", *paths):
            tab.do("forget_bytes")
            tab.goto(house.at(path))
            wide = tab.run("[document.documentElement.scrollWidth, innerWidth]")
            assert wide[0] <= wide[1], f"{path} is wider than the screen: {wide}"
            assert 0 < tab.do("bytes") < HEAVIEST, path
            if size is DESK or path in looked_at_twice:
                assert findings(tab) == [], path
    tab.goto(house.at("/explain"))
    tab.fill("#invite", INVITE.replace("5000", "5" * 60))
    tab.click("main button:has-text('Explain')")
    tab.see("#result")
    wide = tab.run("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    assert findings(tab) == []
    tab.do("leave")


def findings(tab: Tab) -> list[Any]:
    """What axe-core finds, with the elements."""
    return [
        (one["id"], one["impact"], [node["html"] for node in one["nodes"]][:3])
        for one in tab.do("axe")
        if one["impact"] in ("serious", "critical")
    ]
