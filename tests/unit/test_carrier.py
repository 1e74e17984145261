"""The simulated carrier: every behaviour's answer, the digest, the bindings that REGISTERs leave."""

from __future__ import annotations

import re

import pytest
from pydantic import SecretStr

from fscontrol.simulator.carrier import Carrier, CarrierBehaviour, digest_response
from fscontrol.simulator.sip_message import auth_parameters, contacts, parse_request

AOR = "sip:sip-user@carrier.example.com"
CONTACT = "sip:gw+7.a@192.0.2.1:5060;transport=udp;gw=7.a"


def request(
    method: str = "REGISTER",
    *,
    expires: str = "3600",
    contact: str = f"<{CONTACT}>",
    authorization: str = "",
    to: str = f"<{AOR}>",
    via: str = "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK1",
) -> bytes:
    lines = [
        f"{method} sip:carrier.example.com SIP/2.0",
        f"Via: {via}",
        f'From: "A, B" <{AOR}>;tag=abc',
        f"To: {to}",
        "Call-ID: call-1",
        f"CSeq: 7 {method}",
        f"Contact: {contact}",
        f"Expires: {expires}",
    ]
    if authorization:
        lines.append(f"Authorization: {authorization}")
    return ("\r\n".join(lines) + "\r\nContent-Length: 0\r\n\r\n").encode()


def status(answer: bytes | None) -> int | None:
    return None if answer is None else int(answer.split(b" ", 2)[1])


def challenged(answer: bytes | None) -> dict[str, str]:
    assert answer is not None
    found = re.search(r"WWW-Authenticate: (.*)\r\n", answer.decode())
    assert found is not None
    return auth_parameters(found[1])


def credentials(challenge: dict[str, str], username: str, password: str, *, qop: bool = True) -> str:
    given = {"username": username, "realm": challenge["realm"], "nonce": challenge["nonce"], "uri": "sip:c"}
    if qop:
        given |= {"qop": "auth", "nc": "00000001", "cnonce": "0a4f113b"}
    given["response"] = digest_response("REGISTER", given, SecretStr(password))
    return "Digest " + ", ".join(
        f"{name}={value}" if name in ("qop", "nc") else f'{name}="{value}"' for name, value in given.items()
    )


@pytest.mark.parametrize(
    ("behaviour", "register", "options", "invite"),
    [
        (CarrierBehaviour.ACCEPT, 200, 200, 486),
        (CarrierBehaviour.CHALLENGE, 401, 200, 486),
        (CarrierBehaviour.FORBIDDEN, 403, 200, 403),
        (CarrierBehaviour.UNAVAILABLE, 503, 200, 503),
        (CarrierBehaviour.SILENT, None, None, None),
        (CarrierBehaviour.ENDLESS_CHALLENGE, 401, 200, 486),
    ],
)
def test_each_behaviour(
    behaviour: CarrierBehaviour, register: int | None, options: int | None, invite: int | None
) -> None:
    carrier = Carrier(behaviour)
    assert status(carrier.answer(request(), 0.0)) == register
    assert status(carrier.answer(request("OPTIONS"), 0.0)) == options
    assert status(carrier.answer(request("INVITE"), 0.0)) == invite
    assert carrier.answer(request("ACK"), 0.0) is None
    (seen,) = carrier.registrations
    assert (seen.aor, seen.contact, seen.expires, seen.username, seen.status) == (
        AOR,
        CONTACT,
        3600,
        "",
        register,
    )


@pytest.mark.parametrize(
    ("behaviour", "username", "password", "expected"),
    [
        (CarrierBehaviour.CHALLENGE, "sip-user", "right", 200),
        (CarrierBehaviour.CHALLENGE, "sip-user", "wrong", 403),
        (CarrierBehaviour.CHALLENGE, "other", "right", 403),
        (CarrierBehaviour.ENDLESS_CHALLENGE, "sip-user", "right", 401),
    ],
)
@pytest.mark.parametrize("qop", [True, False])
def test_digest(
    behaviour: CarrierBehaviour, username: str, password: str, expected: int, *, qop: bool
) -> None:
    carrier = Carrier(behaviour, username="sip-user", password=SecretStr("right"))
    challenge = challenged(carrier.answer(request(), 0.0))
    answer = carrier.answer(request(authorization=credentials(challenge, username, password, qop=qop)), 1.0)
    assert status(answer) == expected
    assert bool(carrier.bindings(1.0)) == (expected == 200)
    assert carrier.registrations[-1].username == username


@pytest.mark.parametrize("only_one", [False, True])
def test_how_many_bindings_are_kept(only_one: bool) -> None:
    carrier = Carrier(CarrierBehaviour.ACCEPT, only_one_binding=only_one)
    other = CONTACT.replace("7.a", "7.b")
    first, second = f"<{CONTACT}>", f"<{other}>"
    for contact, expires in ((first, "60"), (second, "60"), (first, "0")):
        answer = carrier.answer(request(contact=contact, expires=expires), 0.0)
        assert status(answer) == 200
    assert [seen.bound for seen in carrier.registrations] == [
        {CONTACT},
        {other} if only_one else {CONTACT, other},
        {other},
    ]
    assert answer is not None
    assert (CONTACT in answer.decode(), other in answer.decode()) == (False, True)


def test_a_nonce_of_somebody_else_is_challenged_again() -> None:
    carrier = Carrier(CarrierBehaviour.CHALLENGE, username="u", password=SecretStr("p"))
    foreign = challenged(Carrier(CarrierBehaviour.CHALLENGE).answer(request(), 0.0))
    assert status(carrier.answer(request(authorization=credentials(foreign, "u", "p")), 0.0)) == 401


def test_the_digest_of_the_rfc() -> None:
    """RFC 2617 §3.5, its example."""
    given = {
        "username": "Mufasa",
        "realm": "testrealm@host.com",
        "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        "uri": "/dir/index.html",
        "qop": "auth",
        "nc": "00000001",
        "cnonce": "0a4f113b",
    }
    assert digest_response("GET", given, SecretStr("Circle Of Life")) == "6629fae49393a05397450978507c4ef1"


def test_bindings_are_kept_by_contact_and_expire() -> None:
    carrier = Carrier(CarrierBehaviour.ACCEPT)
    carrier.answer(request(expires="60"), 100.0)
    answer = carrier.answer(request(contact="<sip:second@192.0.2.1>;expires=120", expires="60"), 110.0)
    assert answer is not None
    assert b"Contact: <sip:second@192.0.2.1>;expires=120\r\n" in answer
    assert carrier.bindings(120.0) == {AOR: {CONTACT: 160.0, "sip:second@192.0.2.1": 230.0}}
    assert carrier.bindings(200.0) == {AOR: {"sip:second@192.0.2.1": 230.0}}
    assert carrier.bindings(230.0) == {}


def test_expires_zero_removes_that_contact_only() -> None:
    """What FreeSWITCH sends for a killed gateway; after a make-before-break the other one must stay."""
    carrier = Carrier(CarrierBehaviour.ACCEPT)
    carrier.answer(request(), 0.0)
    carrier.answer(request(contact="<sip:new@192.0.2.1>"), 1.0)
    assert status(carrier.answer(request(expires="0"), 2.0)) == 200
    assert list(carrier.bindings(3.0)[AOR]) == ["sip:new@192.0.2.1"]


def test_a_star_removes_all() -> None:
    carrier = Carrier(CarrierBehaviour.ACCEPT)
    carrier.answer(request(), 0.0)
    carrier.answer(request(contact="*", expires="0"), 1.0)
    assert carrier.bindings(2.0) == {}


def test_a_response_is_the_requests_with_a_tag_and_the_source() -> None:
    answer = Carrier(CarrierBehaviour.ACCEPT).answer(request("INVITE"), 0.0, ("198.51.100.4", 4999))
    assert answer is not None
    lines = answer.decode().split("\r\n")
    assert lines[0] == "SIP/2.0 486 Busy Here"
    assert lines[1] == "Via: SIP/2.0/UDP 192.0.2.1:5060;rport=4999;branch=z9hG4bK1;received=198.51.100.4"
    assert re.fullmatch(rf"To: <{AOR}>;tag=\w+", lines[3])
    assert lines[4:6] == ["Call-ID: call-1", "CSeq: 7 INVITE"]
    assert answer == Carrier(CarrierBehaviour.ACCEPT).answer(request("INVITE"), 9.0, ("198.51.100.4", 4999))


def test_a_tag_that_is_there_stays() -> None:
    answer = Carrier(CarrierBehaviour.ACCEPT).answer(request("BYE", to=f"<{AOR}>;tag=theirs"), 0.0)
    assert answer is not None
    assert f"To: <{AOR}>;tag=theirs\r\n".encode() in answer


@pytest.mark.parametrize("invite_status", [100, 200, 299, 700])
def test_a_call_can_only_be_refused(invite_status: int) -> None:
    with pytest.raises(ValueError, match="refused"):
        Carrier(CarrierBehaviour.ACCEPT, invite_status=invite_status)


@pytest.mark.parametrize(
    "data", [b"", b"\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n", b"\xff\xfe\x00", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_request_gets_no_answer(data: bytes) -> None:
    assert Carrier(CarrierBehaviour.ACCEPT).answer(data, 0.0) is None


def test_an_unknown_method_is_told_what_is_allowed() -> None:
    answer = Carrier(CarrierBehaviour.ACCEPT).answer(request("SUBSCRIBE"), 0.0)
    assert status(answer) == 405
    assert answer is not None
    assert b"Allow: REGISTER" in answer


def test_compact_and_folded_headers_are_read() -> None:
    message = parse_request(
        b'REGISTER sip:c SIP/2.0\r\nm: <sip:a@b;x=1>,\r\n "Q, <r>" <sip:c@d>;expires=9\r\nt: sip:a@b;q=1\r\n\r\n'
    )
    assert message is not None
    assert contacts(message, 30) == [("sip:a@b;x=1", 30), ("sip:c@d", 9)]
    assert message.aor == "sip:a@b"
