"""INVITE → channel variables: every captured pair, and the edges nobody captured."""

from __future__ import annotations

import re

import pytest

from fscontrol.simulator.events import flat, url_encode
from fscontrol.simulator.invite import caller, channel_variables
from fscontrol.simulator.invite_text import InviteRefused, parse_invite, parse_uri, split_address
from tests.unit.standin_tree import CAPTURES

PAIRS = sorted(path.stem for path in (CAPTURES / "invites").glob("*.connect"))
# What depends on the run that was captured: ids, times, and what sipp put in place of the .sip file's fixed values.
OF_THE_RUN = re.compile(
    r"uuid|session_id|direction|DP_MATCH|current_application|socket_host|invite_stamp|call_id|_tag$|_via$"
)


def _captured(name: str) -> list[tuple[str, str]]:
    lines = (CAPTURES / "invites" / f"{name}.connect").read_text().splitlines()
    return [(line.partition(": ")[0], line.partition(": ")[2]) for line in lines if ": " in line]


def _without_tag(value: str) -> str:
    return re.sub("%3Btag%3D[^%]*$", "", value)


def _source(sip: bytes) -> tuple[str, int]:
    found = re.search(rb"Via: SIP/2.0/UDP [^:]+:(\d+)", sip)
    assert found
    return "127.0.0.1", int(found[1])


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("name", PAIRS)
def test_variables_are_those_of_the_running_freeswitch(name: str, line_end: bytes) -> None:
    sip = (CAPTURES / "invites" / f"{name}.sip").read_bytes()
    real = {n.removeprefix("variable_"): v for n, v in _captured(name) if n.startswith("variable_")}
    variables = channel_variables(
        parse_invite(sip.replace(b"\n", line_end)),
        _source(sip),
        "external",
        "sip:mod_sofia@127.0.0.1:5060",
        "127.0.0.1",
        "PCMU,PCMA",
    )
    ours = {n: url_encode(flat(value)) for n, value in variables.items()}
    expected = {n: _without_tag(v) for n, v in real.items() if not OF_THE_RUN.search(n)}
    assert {n: _without_tag(v) for n, v in ours.items() if not OF_THE_RUN.search(n)} == expected
    # The order counts as well: the first of two headers is the one a tolerant reader takes.
    of_the_channel = ("direction", "uuid", "session_id", "DP_MATCH", "call_uuid", "socket_host")
    in_order = [n for n in real if n not in of_the_channel and not n.startswith("current_application")]
    assert list(ours) == in_order


@pytest.mark.parametrize("name", PAIRS)
def test_the_caller_is_the_one_freeswitch_saw(name: str) -> None:
    sip = (CAPTURES / "invites" / f"{name}.sip").read_bytes()
    real = dict(_captured(name))
    who = caller(parse_invite(sip), _source(sip))
    assert {
        "Caller-Caller-ID-Name": url_encode(who.name),
        "Caller-Caller-ID-Number": url_encode(who.number),
        "Caller-Destination-Number": url_encode(who.destination),
        "Caller-Channel-Name": url_encode(who.channel_name.format(profile="external")),
        "Caller-Network-Addr": who.network_addr,
        "Caller-Privacy-Hide-Name": str(who.hide_name).lower(),
        "Caller-Privacy-Hide-Number": str(who.hide_number).lower(),
    }.items() <= real.items()


def test_an_encoded_newline_reaches_the_destination_decoded_and_req_user_not() -> None:
    sip = (CAPTURES / "invites" / "percent-newline-in-user.sip").read_bytes()
    invite = parse_invite(sip)
    assert caller(invite, ("127.0.0.1", 1)).destination.startswith("9228\nCaller-Destination-Number:")
    assert invite.uri.user == "9228%0ACaller-Destination-Number%3A%20+15551230099"


@pytest.mark.parametrize("data", [b"", b"OPTIONS sip:a@b SIP/2.0\n\n", b"INVITE sip:a@b\n\n", b"\xff\xfe"])
def test_what_is_no_invite_is_refused(data: bytes) -> None:
    with pytest.raises(InviteRefused):
        parse_invite(data)


@pytest.mark.parametrize(
    ("text", "user", "host", "port", "params"),
    [
        ("sip:a@h:5060;x=y", "a", "h", "5060", "x=y"),
        ("sip:h", "", "h", "", ""),
        ("sip:a:secret@h", "a", "h", "", ""),
        ("sip:a@[2001:db8::1]:5070", "a", "[2001:db8::1]", "5070", ""),
        ("sip:%2b1%41%0a@h", "+1A%0A", "h", "", ""),
    ],
)
def test_uris(text: str, user: str, host: str, port: str, params: str) -> None:
    uri = parse_uri(text)
    assert (uri.user, uri.host, uri.port, uri.params) == (user, host, port, params)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"A, \\"B\\"" <sip:a@h>;tag=1', ('A, "B"', "sip:a@h", "tag=1")),
        ("Bob <sip:a@h>", ("Bob", "sip:a@h", "")),
        ("sip:a@h;tag=1", ("", "sip:a@h", "tag=1")),
    ],
)
def test_addresses(text: str, expected: tuple[str, str, str]) -> None:
    assert split_address(text) == expected


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("a b:c", "a%20b%3Ac"),
        ("100%", "100%25"),
        ("%3B", "%3B"),
        ("%3b", "%253b"),
        ("é", "%C3%A9"),
        ("a,b/(c)", "a,b/(c)"),
    ],
)
def test_values_are_encoded_with_freeswitchs_ambiguity(value: str, encoded: str) -> None:
    assert url_encode(value) == encoded
