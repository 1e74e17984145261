"""What sofia answers: the captures, and values FreeSWITCH does not escape."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fscontrol.errors import CommandRefused
from fscontrol.model.registration import GatewayState
from fscontrol.sofia.status import (
    GatewayStatus,
    parse_gateway,
    parse_gateways,
    require_marked,
    require_registering,
    require_started,
)
from tests.conftest import CAPTURES

ALL = (CAPTURES / "gateways" / "xmlstatus-all.xml").read_text()
ONE = (CAPTURES / "gateways" / "xmlstatus-one.xml").read_text()

REGISTERED = GatewayStatus(
    "org7.registered", "external", GatewayState.REGED, "UP", expiry=60, uptime=34.058928
)


def reply(name: str) -> str:
    """The body of a captured reply."""
    return (CAPTURES / "replies" / f"{name}.txt").read_text().partition("----\n")[2].partition("\n\n")[2]


def test_all_gateways() -> None:
    found = parse_gateways(ALL)
    assert len(found) == ALL.count("<gateway>") == 8
    assert {status.profile for status in found.values()} == {"external"}
    assert found["org7.registered"] == replace(REGISTERED, uptime=34.053433)
    assert {name: status.retry_in for name, status in found.items() if status.retry_in is not None} == {
        "org7.silent": 0,
        "org7.badpassword": 7,
    }
    assert found["org7.forbidden"].uptime is None
    assert found["org7.ip-auth"].state is GatewayState.NOREG
    assert all(name == status.name for name, status in found.items())
    assert GatewayState.UNKNOWN not in {status.state for status in found.values()}


def test_one_gateway() -> None:
    assert parse_gateway(ONE) == REGISTERED


def test_an_unknown_gateway() -> None:
    assert parse_gateway((CAPTURES / "gateways" / "xmlstatus-unknown.txt").read_text()) is None
    assert parse_gateway(reply("api-xmlstatus-unknown")) is None


def test_no_gateways() -> None:
    assert parse_gateways('<?xml version="1.0" encoding="ISO-8859-1"?>\n<gateways>\n</gateways>\n') == {}


@pytest.mark.parametrize(
    "text", ["", "Invalid Gateway!", "-ERR no such command", "Invalid Profile [x]", "<profile/>"]
)
def test_an_answer_that_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(CommandRefused):
        parse_gateways(text)


@pytest.mark.parametrize("text", ["", "-ERR", "Invalid Profile [x]", "<profile/>"])
def test_an_answer_that_is_no_gateway_is_refused(text: str) -> None:
    with pytest.raises(CommandRefused):
        parse_gateway(text)


HOSTILE = [
    "<!--",
    "-->",
    "<![CDATA[",
    "<?",
    "<",
    ">",
    "a<b",
    "</username>",
    "</gateway>",
    "</gateways>",
    "&",
    "&unknown;",
    "&#0;",
    "&amp;",
    "a&b<c>d",
    "<username>",
    "é€",
    "\x01",
    "<state>DOWN</state>",
    "</username><state>DOWN</state><name>org7.ip-auth</name><username>",
    "</username></gateway><gateway><name>victim</name><profile>external</profile><state>REGED</state></gateway><gateway><username>",
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("field", ["username", "realm", "to", "proxy"])
def test_a_value_that_is_not_escaped_hides_and_forges_nothing(field: str, value: str) -> None:
    """A tenant's user name must not take other tenants' gateways out of sight, nor invent one."""
    start = ALL.index(f"<{field}>") + len(field) + 2
    end = ALL.index(f"</{field}>", start)
    assert parse_gateways(ALL[:start] + value + ALL[end:]) == parse_gateways(ALL)


@pytest.mark.parametrize("value", HOSTILE)
def test_one_gateway_with_a_hostile_value(value: str) -> None:
    assert parse_gateway(ONE.replace("<username>9228<", f"<username>{value}<")) == parse_gateway(ONE)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("REGED", GatewayState.REGED),
        (" reged ", GatewayState.REGED),
        ("FAIL_WAIT", GatewayState.FAIL_WAIT),
        ("", GatewayState.UNKNOWN),
        ("NEW_IN_1.11", GatewayState.UNKNOWN),
    ],
)
def test_states(word: str, state: GatewayState) -> None:
    status = parse_gateway(ONE.replace("<state>REGED<", f"<state>{word}<"))
    assert status is not None
    assert status.state is state


@pytest.mark.parametrize("name", ["api-startgw-existing", "api-startgw-unknown"])
def test_started(name: str) -> None:
    require_started(reply(name))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+OK start gateway x complete",
        "Reload XML [Success]\n",
        "Reload XML [cannot open file]\n+OK start gateway x complete",
        "Reload XML [[error near line 3]: unexpected closing tag]\n+OK start gateway x complete",
        reply("api-sofia-unknown-profile"),
        reply("api-reloadxml"),
    ],
)
def test_not_started(text: str) -> None:
    with pytest.raises(CommandRefused):
        require_started(text)


def test_marked() -> None:
    require_marked("+OK gateway marked for deletion.\n")


@pytest.mark.parametrize(
    "text", ["", reply("api-killgw-unknown"), reply("api-sofia-unknown-profile"), " +OK", "OK"]
)
def test_not_marked(text: str) -> None:
    with pytest.raises(CommandRefused):
        require_marked(text)


@pytest.mark.parametrize(
    ("retry", "seconds"), [("9s", 9), ("0s", 0), ("NEVER", None), ("", None), ("-1s", None), ("²s", None)]
)
def test_the_next_try(retry: str, seconds: int | None) -> None:
    status = parse_gateway(ONE.replace("  </gateway>", f"    <retry>{retry}</retry>\n  </gateway>"))
    assert status is not None
    assert status.retry_in == seconds


def test_registering() -> None:
    require_registering("+OK\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Invalid gateway!\n",
        "No gateway name provided!\n",
        "-ERR NOREG gateway [g] can't be registered!\n",
        "+OK gateway marked for deletion.\n",
        reply("api-sofia-unknown-profile"),
    ],
)
def test_not_registering(text: str) -> None:
    with pytest.raises(CommandRefused):
        require_registering(text)
