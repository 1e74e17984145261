"""Spoofed calls: whatever an INVITE says of itself, only the address it came from opens a tenant's numbers.

Two tenants, each with an address of its own, and both behind one carrier's address. Each case says what the caller
hears, and is refused or stays with the tenant whose address it came from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gevent
import pytest

from fscontrol.simulator.carrier import CarrierBehaviour
from tests import bridge, switches
from tests.bridge import Bridge, registering, trunk
from tests.invites import invite
from tests.waiting import eventually

VICTIM_NUMBER, OTHER_NUMBER = "+15557770001", "+15558880002"
VICTIM_IP, OTHER_IP, CARRIER_IP, STRANGER_IP = "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.66"
CANARIES = ("canary-victim", "canary-trunk", "canary-carrier-trunk", "990017", "canary-flow")
"""What only the victim's own records may hold."""
RUN_ME = "system(touch spoofed-canary)"


@pytest.fixture(scope="module", params=switches.BOTH)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with bridge.running(request.param, tmp_path_factory.mktemp("bridge")) as running:
        running.sync(
            {
                "organization_id": "canary-victim",
                "trunks": [
                    trunk("canary-trunk", VICTIM_IP, register=False, default_country="DE"),
                    trunk("canary-carrier-trunk", CARRIER_IP, register=False),
                    registering(
                        "canary-extension",
                        running.switch.carrier(CarrierBehaviour.ACCEPT),
                        allowed_addresses=[VICTIM_IP],
                    ),
                ],
                "phone_numbers": [
                    {"id": 1, "phone_number": VICTIM_NUMBER, "assistant_id": 990017, "destination_key": "77"},
                    {
                        "id": 3,
                        "phone_number": "+15557770003",
                        "assistant_id": 990017,
                        "destination_key": "9228",
                    },
                    {"id": 2, "phone_number": "+15557770009", "flow_id": "canary-flow", "is_active": False},
                ],
            }
        )
        running.sync(
            {
                "organization_id": "other",
                "trunks": [
                    trunk("own", OTHER_IP, register=False),
                    trunk("carrier", f"{CARRIER_IP}:5070", register=False),
                ],
                "phone_numbers": [{"id": 1, "phone_number": OTHER_NUMBER, "assistant_id": 5}],
            }
        )
        yield running


@dataclass(frozen=True, slots=True)
class Spoof:
    """A call and what comes of it. `reason` None: FreeSWITCH refuses it itself. `gateway` names one of the victim's."""

    text: Callable[[str], str]
    status: int = 404
    reason: str | None = "unknown_number"
    source: str = OTHER_IP


def says(
    *headers: str, user: str = VICTIM_NUMBER, to: str = "", caller: str = "+15559876543"
) -> Callable[[str], str]:
    return lambda _gateway: invite(user, *headers, to=to, caller=caller)


def to_gateway_parameter(gateway: str) -> str:
    return invite(VICTIM_NUMBER).replace(":5060 SIP/2.0", f":5060;gw={gateway} SIP/2.0", 1)


def contact_of_the_registration(gateway: str) -> str:
    return invite(f"gw+{gateway}", to=f"gw+{gateway}")


def in_a_dialog(_gateway: str) -> str:
    return invite(VICTIM_NUMBER).replace(
        f"To: <sip:{VICTIM_NUMBER}@127.0.0.1>", f"To: <sip:{VICTIM_NUMBER}@127.0.0.1>;tag=forged", 1
    )


FORGED_VIA = f"Via: SIP/2.0/UDP {VICTIM_IP}:5060;branch=z9hG4bK-2;received={VICTIM_IP};rport=5060"
FORGED_IDENTITY = (
    f"P-Asserted-Identity: <sip:{VICTIM_NUMBER}@{VICTIM_IP}>",
    f"Remote-Party-ID: <sip:{VICTIM_NUMBER}@{VICTIM_IP}>;party=calling;screen=yes",
)

SPOOFS = {
    "the victim's number, plainly": Spoof(says()),
    "the victim's extension": Spoof(says(user="77")),
    "an inactive number of the victim's": Spoof(says(user="+15557770009")),
    "gw+ of the victim's gateway": Spoof(lambda gateway: invite(f"gw+{gateway}", to=VICTIM_NUMBER)),
    "gw+ of the victim's registration": Spoof(contact_of_the_registration),
    "gw+ of the victim's registration, over a shared address": Spoof(
        contact_of_the_registration, source=CARRIER_IP
    ),
    "gw+ of the victim's registration in To": Spoof(
        lambda gateway: invite("1", to=f"gw+{gateway}")
    ),
    "a stranger with gw+ of the victim's registration": Spoof(
        contact_of_the_registration, 403, None, STRANGER_IP
    ),
    "gw+ of nobody's gateway": Spoof(lambda _gateway: invite("gw+other.own.00000000")),
    ";gw= of the victim's gateway": Spoof(to_gateway_parameter),
    "a stranger with ;gw=": Spoof(to_gateway_parameter, 403, None, STRANGER_IP),
    "a stranger with gw+": Spoof(
        lambda gateway: invite(f"gw+{gateway}", to=VICTIM_NUMBER), 403, None, STRANGER_IP
    ),
    "a stranger with everything": Spoof(
        says(FORGED_VIA, *FORGED_IDENTITY, f"Diversion: <sip:{VICTIM_NUMBER}@{VICTIM_IP}>"),
        403,
        None,
        STRANGER_IP,
    ),
    "a forged Via below": Spoof(says(FORGED_VIA)),
    "a forged Contact": Spoof(says(f"Contact: <sip:pbx@{VICTIM_IP}:5060>")),
    "headers of proxies": Spoof(
        says(
            f"X-Forwarded-For: {VICTIM_IP}",
            f"X-Real-IP: {VICTIM_IP}",
            f"X-Auth-IP: {VICTIM_IP}",
            "X-AUTH-PORT: 5060",
            f"Forwarded: for={VICTIM_IP}",
        )
    ),
    "the victim's identity": Spoof(says(*FORGED_IDENTITY, caller=VICTIM_NUMBER)),
    "every header that names a number": Spoof(
        says(
            f"Diversion: <sip:{VICTIM_NUMBER}@{VICTIM_IP}>;reason=unconditional",
            f"History-Info: <sip:{VICTIM_NUMBER}@{VICTIM_IP}>;index=1",
            *(
                f"{name}: <sip:{VICTIM_NUMBER}@{VICTIM_IP}>"
                for name in ("X-Original-Called", "X-Original-Number", "X-Forwarded-To", "X-Original-To")
            ),
            f"P-Called-Party-ID: <sip:{VICTIM_NUMBER}@{VICTIM_IP}>",
            user="1",
            to="2",
        )
    ),
    "To alone": Spoof(says(user="1", to=VICTIM_NUMBER)),
    "a route over the victim": Spoof(
        says(f"Route: <sip:{VICTIM_IP}:5060;lr>", f"Record-Route: <sip:{VICTIM_IP}:5060;lr>")
    ),
    "a newline in a header": Spoof(
        says(f"X-Original-Called: a%0Avariable_sip_network_ip: {VICTIM_IP}%0ACaller-Network-Addr: {VICTIM_IP}")
    ),
    "a newline in the caller": Spoof(says(caller=f"a%0Avariable_sip_network_ip%3A%20{VICTIM_IP}")),
    "a newline in the Request-URI": Spoof(
        says(user=f"a%0D%0Avariable_sip_network_ip%3A%20{VICTIM_IP}", to=VICTIM_NUMBER)
    ),
    "FreeSWITCH's own headers": Spoof(
        lambda gateway: invite(
            VICTIM_NUMBER,
            "X-FS-Support: update_display,send_info",
            f"X-FS-Gateway: {gateway}",
            f"X-FS-Network-IP: {VICTIM_IP}",
        )
    ),
    "names of variables as names of headers": Spoof(
        says(
            *(
                f"{name}: {VICTIM_IP}"
                for name in (
                    "sip_network_ip",
                    "P-sip_network_ip",
                    "X-sip_network_ip",
                    "variable_sip_network_ip",
                    "Network-IP",
                    "Caller-Network-Addr",
                )
            )
        )
    ),
    "FreeSWITCH's notation of many values": Spoof(
        says(
            f"X-Original-Called: ARRAY::{VICTIM_NUMBER}|:{VICTIM_NUMBER}",
            f"X-sip_network_ip: ARRAY::{VICTIM_IP}|:{VICTIM_IP}",
            user="1",
        )
    ),
    "an expansion in headers": Spoof(
        says(
            f"X-Original-Called: ${{{RUN_ME}}}",
            f"Diversion: <sip:${{{RUN_ME}}}@h>",
            "P-Called-Party-ID: ${sip_network_ip}",
            user="1",
        )
    ),
    "an expansion in the Request-URI": Spoof(says(user="${sip_network_ip}", to="1")),
    "an expansion in the Request-URI, encoded": Spoof(says(user="%24%7Bsystem(touch%20spoofed-canary)%7D", to="1")),
    "an expansion in the caller": Spoof(says(caller="${system(touch%20spoofed-canary)}"), 400, None),
    "an expansion in To": Spoof(says(user="1", to="${system(touch%20spoofed-canary)}"), 400, None),
    "an expansion in the display name": Spoof(
        lambda _gateway: invite(VICTIM_NUMBER).replace('"Caller, Joe"', f'"${{{RUN_ME}}}"', 1)
    ),
    "another call's place": Spoof(
        says(
            f"Replaces: 12345@{VICTIM_IP};to-tag=7743;from-tag=6472", f"Referred-By: <sip:x@{VICTIM_IP}>"
        )
    ),
    "a dialog that is none": Spoof(in_a_dialog, 481, None),
    "credentials unasked": Spoof(
        says('Authorization: Digest username="9228", realm="x", nonce="x", uri="sip:x", response="0"')
    ),
    "the parking extension": Spoof(says(user="park", to="park")),
    "a number of neither over a shared address": Spoof(says(user="+15550000000"), source=CARRIER_IP),
    "the victim's inactive number over a shared address": Spoof(
        says(user="+15557770009"), 480, "number_inactive", CARRIER_IP
    ),
}  # fmt: skip


def refusals(both: Bridge) -> int:
    """Calls refused so far, by the list of callers or by us."""
    return both.application.wall.refused + int(both.ask("GET", "/api/calls")[1]["total"])


def gateway_of_the_victim(both: Bridge) -> str:
    """The one that registers: calls may come to its Contact."""
    return next(name for name in both.gateways() if name.startswith("canary-victim.canary-e"))


def leaks(record: dict[str, Any]) -> list[str]:
    """The victim's secrets in a record, but for what the caller wrote himself."""
    shown = {**record, "candidates": [candidate["outcome"] for candidate in record["candidates"]]}
    return [canary for canary in CANARIES if canary in json.dumps(shown)]


@pytest.mark.parametrize("name", SPOOFS)
def test_a_spoofed_call_reaches_nobody(both: Bridge, name: str) -> None:
    spoof = SPOOFS[name]
    total, refused = both.ask("GET", "/api/calls")[1]["total"], refusals(both)
    assert both.switch.call(spoof.text(gateway_of_the_victim(both)), source=spoof.source) == spoof.status
    if spoof.reason is None:
        if spoof.status == 403:
            eventually(lambda: refusals(both) == refused + 1)
        gevent.idle()
        assert both.ask("GET", "/api/calls")[1]["total"] == total
    else:
        eventually(lambda: both.ask("GET", "/api/calls")[1]["total"] == total + 1)
        record = both.last_call()
        assert (record["reason"], record["source_ip"]) == (spoof.reason, spoof.source)
        assert (record["organization_id"], record["trunk_id"], record["assistant_id"], record["flow_id"]) == (
            None,
        ) * 4
        assert record["answered_at"] is None
        assert leaks(record) == []
    nothing_ran(both)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (OTHER_IP, says(*FORGED_IDENTITY, FORGED_VIA, f"Diversion: <sip:{VICTIM_NUMBER}@h>", user=OTHER_NUMBER)),
        (CARRIER_IP, says(*FORGED_IDENTITY, FORGED_VIA, user=OTHER_NUMBER)),
        (OTHER_IP, says("X-fscontrol_call_sid: sip-canary", "P-fscontrol_call_sid: sip-canary", user=OTHER_NUMBER)),
        (OTHER_IP, lambda gateway: invite(f"gw+{gateway}", to=OTHER_NUMBER)),
        (CARRIER_IP, lambda gateway: invite(f"gw+{gateway}", to=OTHER_NUMBER)),
    ],
    ids=["identity", "identity, shared address", "call_sid", "gw+", "gw+, shared address"],
)  # fmt: skip
def test_a_tenants_call_stays_its_own_whatever_it_claims(
    both: Bridge, source: str, text: Callable[[str], str]
) -> None:
    assert both.switch.call(text(gateway_of_the_victim(both)), source=source) == 200
    record = eventually(lambda: (call := both.last_call())["ended_at"] and call)
    assert (record["organization_id"], record["to_number"], record["assistant_id"]) == (
        "other",
        OTHER_NUMBER,
        5,
    )
    assert record["call_sid"] != "sip-canary"
    assert leaks(record) == []
    nothing_ran(both)


def test_the_victim_still_hears_from_its_own(both: Bridge) -> None:
    for source in (VICTIM_IP, CARRIER_IP):
        assert both.switch.call(invite(VICTIM_NUMBER), source=source) == 200
        record = eventually(lambda: (call := both.last_call())["ended_at"] and call)
        assert (record["organization_id"], record["assistant_id"]) == ("canary-victim", 990017)


def test_the_contact_of_a_registration_is_its_accounts_number_for_its_own_address(both: Bridge) -> None:
    gateway = gateway_of_the_victim(both)
    for text in (contact_of_the_registration(gateway), invite(f"gw+{gateway}", to="1")):
        assert both.switch.call(text, source=VICTIM_IP) == 200
        record = eventually(lambda: (call := both.last_call())["ended_at"] and call)
        assert (record["to_number"], record["candidates"][-1]["source"]) == ("+15557770003", "Registration")


def nothing_ran(both: Bridge) -> None:
    """No command hidden in a value was run."""
    assert list(both.switch.work.rglob("spoofed-canary")) == []
    if isinstance(both.switch, switches.StandInSwitch):
        assert both.switch.stand_in.executed_commands == []
