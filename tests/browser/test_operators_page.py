"""The operators' page in a browser, against a running control plane: what a person sees, does, and cannot do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from fscontrol.app import Application
from fscontrol.doors import http_app
from fscontrol.http.server import HttpServer
from fscontrol.http.sessions import COOKIE, Sessions
from fscontrol.model.access import Role
from fscontrol.model.audit import HOUSE
from fscontrol.model.gateway import GatewayKey
from fscontrol.model.registration import GatewayState, Registration, Transition
from fscontrol.simulator.carrier import CarrierBehaviour
from fscontrol.web.gateway_rows import ROWS
from tests import bridge
from tests.bridge import API_KEY, Bridge, registering, trunk
from tests.browser.chromium import DESK, PHONE, Chromium, Tab
from tests.browser.signing_in import sign_in
from tests.waiting import eventually

HEAVIEST = 150_000
MANY = 5_000
HOSTILE = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
HOSTILE_NAME = "<svg onload=document.title='taken'>"
SIGNED_OUT = "Failed to load resource: the server responded with a status of 401 (UNAUTHORIZED)"
"""What Chromium notes of a page that comes with 401; that page is the form that asks for a key."""


class Setting:
    """A control plane with two organisations: one registers and is refused, the other is somebody else's."""

    def __init__(self, running: Bridge) -> None:
        self.bridge = running
        self.carrier = running.switch.carrier(CarrierBehaviour.CHALLENGE)
        self.refusing = running.switch.carrier(CarrierBehaviour.FORBIDDEN)
        for key, carrier in ((7, self.carrier), (8, self.refusing)):
            pushed = {
                "organization_id": key,
                "name": f"Organisation {key}",
                "trunks": [
                    registering("7f502da1-0f06", carrier, name=HOSTILE),
                    trunk("office-pbx", "127.0.0.1:5099", name="Office PBX"),
                ],
            }
            assert running.sync(pushed)[0] == 200
        self.gateway = next(name for name in running.gateways() if name.startswith("7.7f502da1."))
        eventually(lambda: running.gateways()[self.gateway]["state"] == "REGED")
        eventually(lambda: "FAIL_WAIT" in {row["state"] for row in running.gateways().values()})

    @property
    def pages(self) -> dict[str, str]:
        """Every page, by what it shows."""
        gateway = f"{self.bridge.url}/gateways/fs1/{self.gateway}"
        paths = {"overview": "/", "gateways": "/gateways", "nodes": "/nodes", "drain": "/nodes/fs1/drain"}
        return {
            **{name: self.bridge.url + path for name, path in paths.items()},
            "gateway": gateway,
            "register": f"{gateway}/register",
            "no such page": f"{self.bridge.url}/gateways/fs1/none",
        }

    def key(self, role: Role, organization: str | None = None) -> str:
        """A new key."""
        return self.bridge.application.keys.create("somebody", role, organization, HOUSE).text

    def behave(self, behaviour: CarrierBehaviour) -> None:
        """Have the carrier of organisation 7 behave so, and be asked."""
        self.bridge.switch.behave(self.carrier, behaviour)
        assert self.bridge.ask("POST", f"/api/gateways/{self.gateway}/register")[0] in (200, 202)


@pytest.fixture(scope="module")
def house(browser: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    unlimited = {"rate_limit": "off", "rate_limit_writes": "off"}
    with bridge.running("stand-in", tmp_path_factory.mktemp("browser"), **unlimited) as running:
        yield Setting(running)


@pytest.fixture
def tab(browser: Chromium) -> Iterator[Tab]:
    opened = browser.open()
    yield opened
    complaints = [said for said in opened.do("complaints") if said != SIGNED_OUT]
    opened.do("leave")
    assert not complaints, "the browser's console"


def test_signing_in_and_out(house: Setting, tab: Tab) -> None:
    wanted = f"{house.bridge.url}/gateways?state=registered&q=7f502"
    tab.goto(wanted)
    tab.fill("#key", "fsc_live_not-a-key")
    tab.click("main button")
    tab.see("text=This key is not valid.")
    tab.fill("#key", API_KEY)
    tab.click("main button")
    tab.do("wait_for_url", wanted)
    (cookie,) = [one for one in tab.do("cookies") if one["name"] == COOKIE]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Strict", False)
    tab.click("text=Sign out")
    tab.see("#key")
    tab.do("add_cookies", [cookie])  # a copy somebody kept
    tab.goto(wanted)
    tab.see("text=Your session has ended")


def test_a_link_from_elsewhere_finds_who_is_signed_in(house: Setting, tab: Tab) -> None:
    sign_in(tab, house.pages["overview"])
    tab.goto("about:blank")
    tab.run(f"document.body.innerHTML = \"<a href='{house.pages['gateways']}'>look at this</a>\"")
    tab.click("a")
    tab.see("h1:text('Gateways')")


def test_a_session_ends_with_its_key(house: Setting, tab: Tab) -> None:
    key = house.key(Role.VIEWER)
    sign_in(tab, house.pages["gateways"], key)
    service = house.bridge.application.keys
    (made,) = [one for one in house.bridge.application.store.api_keys() if one.digest == service.digest(key)]
    assert house.bridge.ask("DELETE", f"/api/keys/{made.id}")[0] == 200
    tab.goto(house.pages["gateways"])
    tab.see("text=Your session has ended")


def test_a_session_ends_by_itself(house: Setting, tab: Tab) -> None:
    application = house.bridge.application
    digest, key = application.keys.digest, application.store.fingerprint_key()
    seconds = application.settings.session_seconds
    for age, shown in ((seconds - 60, "h1:text('Gateways')"), (seconds + 1, "text=Your session has ended")):
        long_ago = Sessions(key, digest, (), seconds, clock=lambda age=age: time.time() - age)  # type: ignore[misc]
        tab.do("add_cookies", [{"name": COOKIE, "value": long_ago.begin(API_KEY), "url": house.bridge.url}])
        tab.goto(house.pages["gateways"])
        tab.see(shown)


def test_a_gateway_is_watched_from_registered_to_refused_and_back(house: Setting, tab: Tab) -> None:
    sign_in(tab, house.pages["gateways"])
    tab.see("#live[data-state=on]")
    tab.run("window.sameDocument = true")
    row = row_of(house)
    tab.see(f"{row} .chip.registered")
    house.behave(CarrierBehaviour.FORBIDDEN)
    tab.see(f"{row} .chip.refused")
    assert "403 Forbidden" in tab.text(row)
    tab.see("#counts li:has-text('refused'):has-text('2')")
    tab.goto(house.pages["gateway"])
    tab.see("text=What to do")
    tab.run("window.sameDocument = true")
    house.behave(CarrierBehaviour.CHALLENGE)
    tab.see("#state .chip.registered")
    assert "REGED" in tab.text("#changes")
    assert tab.run("window.sameDocument"), "nobody loaded the page again"


def test_filters_survive_a_reload(house: Setting, tab: Tab) -> None:
    sign_in(tab, house.pages["gateways"])
    tab.do("select_option", "static", on="select[name=state]")
    tab.fill("input[name=organization]", "8")
    tab.fill("input[name=q]", "office")
    tab.do("press", "Enter", on="input[name=q]")
    tab.see("caption:has-text('1–1 of 1 gateway that match, 4 in all')")
    tab.do("reload")
    assert tab.do("input_value", on="input[name=q]") == "office"
    assert tab.do("input_value", on="select[name=state]") == "static"
    assert tab.do("count", on="#rows tr") == 1
    tab.click("text=Clear")
    tab.see("caption:has-text('1–4 of 4 gateways')")


def test_a_lost_connection_says_so_and_recovers(house: Setting, tab: Tab) -> None:
    sign_in(tab, house.pages["gateways"])
    tab.see("#live[data-state=on]")
    application = house.bridge.application
    port = application.http.port
    application.http.stop()
    tab.see("#live[data-state=lost]")
    assert "connection lost" in tab.text("#live")
    assert tab.do("get_attribute", "role", on="#live") == "status", "said aloud, too"
    # The same address as before, as after a restart; sessions are in no memory.
    application.http = HttpServer("127.0.0.1", port, http_app(application))
    eventually(lambda: starts(application.http))
    tab.see("#live[data-state=on]")
    tab.run("window.sameDocument = true")
    house.behave(CarrierBehaviour.FORBIDDEN)
    tab.see(f"{row_of(house)} .chip.refused")
    house.behave(CarrierBehaviour.CHALLENGE)
    # What the browser itself notes of a server that is away is no complaint of the page's.
    said = [one for one in tab.do("complaints") if "ERR_" not in one and one != SIGNED_OUT]
    assert not said
    tab.do("forget_complaints")


def test_a_connection_that_died_unseen_is_left(house: Setting, tab: Tab) -> None:
    # The page's patience for silence is shorter than the server's heartbeat here: as if none came through.
    script = """
        window.sources = [];
        const Source = EventSource, timeout = setTimeout, asked = fetch;
        window.EventSource = class extends Source { constructor(to) { super(to); sources.push(this); } };
        window.setTimeout = (what, after) => timeout(what, after === 35000 && window.isSilent ? 300 : after);
        window.fetch = (...to) => window.isBroken ? Promise.reject(new Error("broken")) : asked(...to);
    """
    tab.do("add_init_script", script)
    sign_in(tab, house.pages["gateways"])
    tab.see("#live[data-state=on]")
    assert tab.run("sources.length") == 1
    tab.run("window.isSilent = true")
    tab.run("sources[0].dispatchEvent(new Event('beat'))")
    tab.see("#live[data-state=lost]")
    assert tab.run("sources[0].readyState") == 2, "left, though it looked open"
    tab.run("window.isSilent = false")
    tab.see("#live[data-state=on]")
    # A page that cannot be fetched is old, whatever its stream looks like.
    before = tab.run("sources.length")
    tab.run("window.isBroken = true; document.dispatchEvent(new Event('visibilitychange'))")
    tab.see("#live[data-state=lost]")
    assert tab.run("sources.at(-1).readyState") == 2
    tab.run("window.isBroken = false")
    tab.see("#live[data-state=on]")
    assert tab.run("sources.length") > before
    said = [one for one in tab.do("complaints") if one != SIGNED_OUT]
    assert not said
    tab.do("forget_complaints")


def row_of(house: Setting) -> str:
    return f"#rows tr:has(a[href='/gateways/fs1/{house.gateway}'])"


def starts(server: HttpServer) -> bool:
    try:
        server.start()
    except OSError:
        return False
    return True


def test_registering_now_is_asked_and_audited(house: Setting, tab: Tab) -> None:
    key = house.key(Role.ADMIN, "7")
    sign_in(tab, house.pages["gateway"], key)
    tab.click("text=Register now…")
    tab.see("h1:has-text('register now?')")
    before = house.bridge.ask("GET", "/api/audit")[1]["total"]
    tab.click("text=Cancel")
    tab.see("text=Register now…")
    assert house.bridge.ask("GET", "/api/audit")[1]["total"] == before
    tab.click("text=Register now…")
    tab.click("main button")
    tab.see(".said")
    assert f"{house.gateway}: fs1: registered" in tab.text(".said")
    entry = house.bridge.ask("GET", "/api/audit")[1]["items"][0]
    assert (entry["action"], entry["target"]) == ("had registered", f"gateway {house.gateway}")
    assert entry["who"].startswith("somebody (fsc_live_")
    tab.do("reload")
    assert tab.do("count", on=".said") == 0, "told once"


def test_draining_a_node_with_another_watching(house: Setting, tab: Tab, browser: Chromium) -> None:
    sign_in(tab, house.pages["nodes"])
    watching = browser.open()
    sign_in(watching, house.pages["nodes"])
    watching.see("#live[data-state=on]")
    tab.click("text=Drain…")
    tab.click("main button")
    assert "fs1 takes no new calls" in tab.text(".said")
    watching.see(".chip.warn:has-text('drained')")
    assert house.bridge.ask("GET", "/api/nodes")[1]["items"][0]["state"] == "drained"
    tab.click("text=Undrain…")
    tab.click("main button")
    watching.see(".chip.good:has-text('active')")
    watching.do("leave")
    done = [entry["action"] for entry in house.bridge.ask("GET", "/api/audit")[1]["items"][:2]]
    assert done == ["undrained", "drained"]


def test_a_viewer_of_one_organisation(house: Setting, tab: Tab) -> None:
    sign_in(tab, house.pages["gateways"], house.key(Role.VIEWER, "8"))
    assert "organisation 8" in tab.text("#rows")
    ours = [name for name in house.bridge.gateways() if name.startswith("7.")]
    assert ours and not any(name in tab.text("#rows") for name in ours)
    assert tab.do("count", on="nav a[href='/nodes']") == 0
    tab.goto(house.pages["overview"])
    assert tab.do("count", on="#nodes") == 0
    theirs = next(name for name in house.bridge.gateways() if name.startswith("8.7f502da1."))
    tab.goto(f"{house.bridge.url}/gateways/fs1/{theirs}")
    tab.see("h1")
    assert tab.do("count", on="text=Register now…") == 0
    assert tab.run("fetch('/api/organizations/8').then(answer => answer.status)") == 401, "the page's only"
    assert [one for one in tab.do("complaints") if one != SIGNED_OUT] == []


def test_strangers_names_are_text(house: Setting, tab: Tab) -> None:
    registrations = house.bridge.application.registrations
    board = cast(dict[str, Registration], registrations.board("fs1"))
    board[HOSTILE_NAME] = Registration(
        "fs1", HOSTILE_NAME, GatewayState.FAIL_WAIT, "DOWN", time.time(), 403, HOSTILE,
        timeline=(Transition(time.time(), None, GatewayState.FAIL_WAIT, 403, HOSTILE),),
    )  # fmt: skip
    try:
        sign_in(tab, house.pages["gateways"])
        for path, strangers in (
            ("/gateways", (HOSTILE_NAME, HOSTILE)),
            ("/", (HOSTILE_NAME, HOSTILE)),
            (f"/gateways/fs1/{house.gateway}", (HOSTILE,)),
        ):
            tab.goto(house.bridge.url + path)
            assert all(text in tab.text() for text in strangers), "as it is, and harmless"
            assert tab.do("title") != "taken"
        tab.goto(house.pages["gateways"])
        tab.click("#rows a:has-text('<svg')")
        tab.see("text=What to do")
        assert HOSTILE_NAME in tab.text("h1")
        assert HOSTILE in tab.text("#state")
        assert tab.do("title") != "taken"
    finally:
        board.pop(HOSTILE_NAME, None)


@pytest.mark.parametrize(
    ("size", "colours"), [(PHONE, "dark"), (DESK, "light")], ids=["phone-dark", "desk-light"]
)
def test_every_page_fits_and_is_accessible(
    house: Setting, browser: Chromium, size: dict[str, int], colours: str
) -> None:
    tab = browser.open(viewport=size, color_scheme=colours)
    tab.goto(house.bridge.url)
    assert findings(tab) == []
    sign_in(tab, house.pages["overview"])
    for name, address in house.pages.items():
        tab.goto(address)
        wide = tab.run("[document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1], f"{name} is wider than the screen: {wide}"
        assert findings(tab) == [], name
    tab.do("leave")


def findings(tab: Tab) -> list[Any]:
    """What axe-core finds, with the elements."""
    return [
        (one["id"], one["impact"], [node["html"] for node in one["nodes"]][:3])
        for one in tab.do("axe")
        if one["impact"] in ("serious", "critical")
    ]


def test_by_keyboard_alone(house: Setting, tab: Tab) -> None:
    tab.goto(house.pages["nodes"])
    assert tab.run("document.activeElement.id") == "key", "one may type at once"
    tab.do("type", API_KEY, on="#key")
    tab.do("press", "Enter", on="#key")
    tab.see("h1:has-text('Nodes')")
    tab.do("press", "Tab", on="body")
    assert tab.run("document.activeElement.innerText") == "Skip to content"
    tab.do("press", "Enter", on=":focus")
    assert tab.run("document.activeElement.id") == "main"
    tab.do("press", "Tab", on=":focus")
    assert tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid", (
        "where one is, is seen"
    )
    tab.do("focus", on="text=Drain…")
    tab.do("press", "Enter", on=":focus")
    tab.see("h1:has-text('Drain fs1?')")


def test_without_scripts(house: Setting, browser: Chromium) -> None:
    tab = browser.open(java_script_enabled=False)
    sign_in(tab, house.pages["gateways"])
    assert house.gateway in tab.text("#rows")
    tab.click(f"a:has-text('{house.gateway}')")
    tab.click("text=Register now…")
    tab.click("main button")
    assert "registered" in tab.text(".said")
    tab.do("leave")


def test_five_thousand_gateways(
    house: Setting, browser: Chromium, tab: Tab, capsys: pytest.CaptureFixture[str]
) -> None:
    with many_gateways(house.bridge.application):
        sign_in(tab, house.pages["overview"])
        assert tab.do("count", on="#troubles tr") <= 20
        cold = browser.open()
        cold.do("add_cookies", [one for one in tab.do("cookies") if one["name"] == COOKIE])
        cold.goto(f"{house.pages['gateways']}?node=fs-many")
        cold.see("#live[data-state=on]")
        assert f"of {MANY:d} gateways" in cold.text("caption")
        assert cold.do("count", on="#rows tr") == ROWS
        weight = cold.do("bytes")
        drawn = cold.run("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
        with capsys.disabled():
            print(f"\n{MANY} gateways: drawn after {drawn:.0f} ms, {weight / 1000:.0f} kB with everything")
        assert 0 < weight < HEAVIEST
        cold.click("a[rel=next]")
        cold.see(f"caption:has-text('{ROWS + 1}–{2 * ROWS} of')")
        cold.do("leave")


@contextlib.contextmanager
def many_gateways(application: Application) -> Iterator[None]:
    """A node with 5,000 gateways whose last day was as changeful as is kept."""
    now = time.time()
    names = [f"{number % 400}.7f502da1.{number:08x}" for number in range(MANY)]
    owners = {
        name: GatewayKey(name.partition(".")[0], "7f502da1-0f06-4e52-9262-4e625c53791a") for name in names
    }
    application.store.add_to_ledger("fs-many", owners)
    states = (GatewayState.REGED, GatewayState.FAIL_WAIT)
    application.registrations.take_snapshot("fs-many", ())
    board = cast(dict[str, Registration], application.registrations.board("fs-many"))
    for number, name in enumerate(names):
        timeline = tuple(
            Transition(now - 86_000 + 1_700 * step, None, states[(number + step) % 2], 403, "Forbidden")
            for step in range(50)
        )
        last = timeline[-1]
        board[name] = Registration(
            "fs-many", name, last.after, "UP", last.at, last.sip_status, last.phrase,
            bound_until=now + 1800, next_retry_at=now + 30, timeline=timeline,
        )  # fmt: skip
    try:
        yield
    finally:
        application.registrations.take_snapshot("fs-many", ())
        application.store.forget_nodes(lambda node: node == "fs-many")
