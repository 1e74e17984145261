"""The called-number engine: captures, the RFCs' own examples, every spelling, and whatever a caller can make up."""

from __future__ import annotations

import itertools
import re
import sys
import urllib.parse
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscontrol.calls import addresses, called_number
from fscontrol.calls.addresses import LONGEST_VALUE, MOST_ADDRESSES, parse_addresses
from fscontrol.calls.admission import TrunkSource
from fscontrol.calls.call_headers import header_values
from fscontrol.calls.called_number import HEADERS, SOURCES, Claim, NumberRules, forms, values_of_sources
from fscontrol.calls.invite_text import parse_invite
from fscontrol.calls.routing import Accept, decide, texts_to_look_up
from fscontrol.esl.event import Event
from fscontrol.model.organization import PhoneNumber
from fscontrol.store.base import Assignment
from tests import captured
from tests.captured import CAPTURED, EXPECTED, NEWLINE_IN_USER

US = NumberRules(default_country="US")


def claims(values_of: Callable[[str], Iterable[str]], *, decode: bool = False) -> list[Claim]:
    return called_number.claims(values_of_sources(values_of), decode=decode)


def own_contacts(values_of: Callable[[str], Iterable[str]], *, decode: bool = False) -> list[tuple[str, str]]:
    return called_number.own_contacts(values_of_sources(values_of), decode=decode)


def chosen(claimed: list[Claim], rules: NumberRules = US) -> str:
    """The number the tenant of `captured` is called at; empty when it is none of his."""
    owners = [TrunkSource("7", 7, "pbx", rules=rules)]
    texts = texts_to_look_up(claimed, owners)
    found = []
    for index, number in enumerate(captured.NUMBERS):
        key = captured.EXTENSION if number == captured.OF_EXTENSION else None
        owned = PhoneNumber(id=index, phone_number=number, assistant_id=index, destination_key=key)
        found += [
            Assignment(organization="7", matched=text, number=owned)
            for text in texts
            if text in (number, key)
        ]
    decision = decide(claimed, owners, found).decision
    return decision.number.phone_number if isinstance(decision, Accept) else ""


def pairs(claimed: list[Claim]) -> tuple[tuple[str, str], ...]:
    return tuple((claim.source, claim.user) for claim in claimed)


def from_headers(**values: list[str]) -> Callable[[str], Iterable[str]]:
    """Values by source, `Request_URI` for `Request-URI`."""
    by_source = {name.replace("_", "-").lower(): value for name, value in values.items()}
    return lambda source: by_source.get(source.lower(), [])


def users(value: str, *, decode: bool = False) -> list[str]:
    return [address.user for address in parse_addresses(value, decode=decode)]


def test_the_table_is_complete() -> None:
    assert sorted(EXPECTED) == sorted(path.stem for path in CAPTURED.glob("*.connect"))
    assert sorted([*EXPECTED, NEWLINE_IN_USER]) == sorted(path.stem for path in CAPTURED.glob("*.sip"))


@pytest.mark.parametrize("name", EXPECTED)
def test_what_freeswitch_handed_over(name: str) -> None:
    call = Event(plain=(CAPTURED / f"{name}.connect").read_bytes())
    claimed = claims(header_values(call))
    assert pairs(claimed) == EXPECTED[name].claims
    assert chosen(claimed) == EXPECTED[name].number


@pytest.mark.parametrize("name", EXPECTED)
def test_the_same_invite_pasted(name: str) -> None:
    claimed = claims(parse_invite(captured.sip(name)).values_of, decode=True)
    assert pairs(claimed) == EXPECTED[name].claims
    assert chosen(claimed) == EXPECTED[name].number


def test_a_newline_in_a_user_is_no_newline_in_a_claim() -> None:
    claimed = claims(parse_invite(captured.sip(NEWLINE_IN_USER)).values_of, decode=True)
    assert pairs(claimed) == (
        ("Request-URI", "9228\ufffdCaller-Destination-Number: +15551230099"),
        ("To", "9228"),
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # RFC 5806 §5, its own examples of Diversion
        (
            "<sip:+19195551002@example.com>;reason=time-of-day",
            ["+19195551002"],
        ),
        ('"Bob" <sip:bob@atlanta.example.com>;reason=user-busy;privacy=full;counter=1', ["bob"]),
        ("<tel:+1-234-567-8901>;reason=unknown;screen=yes", ["+1-234-567-8901"]),
        (
            "<sip:Carol@example.com>;reason=follow-me, <sip:bob@h>;reason=no-answer;counter=2",
            ["Carol", "bob"],
        ),
        # RFC 7044 §5 and §10: hi-targeted-to-uri with escaped headers, cause as a URI parameter, mp, rc and np
        ("<sip:bob@example.com?Reason=SIP%3Bcause%3D302>;index=1", ["bob"]),
        ('<sip:bob@example.com?Reason=SIP%3Bcause%3D302%3Btext%3D"a%40b">;index=1', ["bob"]),
        ("<sip:bob@example.com?Reason=SIP;cause=302;text=moved@home>;index=1", ["bob"]),
        ("<sip:bob@192.0.2.4?Reason=Q.850%3Bcause%3D16&Privacy=history>;index=1.1;rc=1", ["bob"]),
        ("<sip:office@example.com;cause=480>;index=1.2;mp=1", ["office"]),
        # RFC 3966 §3 and §5
        ("tel:+1-201-555-0123", ["+1-201-555-0123"]),
        ("tel:7042;phone-context=example.com", ["7042"]),
        ("tel:863-1234;phone-context=+1-914-555", ["863-1234"]),
        ("<tel:+358-555-1234567;isub=1411;ext=22;postd=pp22>", ["+358-555-1234567"]),
        ("TEL:+1(201)555.0123", ["+1(201)555.0123"]),
        # RFC 3261 §19.1.6: a telephone number in a SIP URI
        ("sip:+358-555-1234567;postd=pp22@foo.com;user=phone", ["+358-555-1234567"]),
        ("<sip:+358-555-1234567;phone-context=5;tsp=a.b@foo.com;user=phone>", ["+358-555-1234567"]),
    ],
)
def test_examples_of_the_rfcs(value: str, expected: list[str]) -> None:
    assert users(value, decode="%" in value) == expected
    assert users(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"Smith, John; \\"desk\\" <x>" <sip:1@h>, sip:2@h', ["1", "2"]),
        ('"a\\\\" <sip:1@h>,"b" <sip:2@h>', ["1", "2"]),
        ('sip:1@h;reason="a, b; c@d", <sip:2@h>', ["1", "2"]),
        ("<sip:1,2@h>,<sip:3@h>", ["1,2", "3"]),
        ("sips:1@h", ["1"]),
        ("SIPS:1@h", ["1"]),
        ("<sips:1:secret@h:5061;transport=tls>", ["1"]),
        ("sip:1:secret@h", ["1"]),
        ("1:secret@h", ["1"]),
        ("<sip:1@[2001:db8::1]:5060>", ["1"]),
        ("sip:1@[2001:db8::1];a=b", ["1"]),
        ("1@127.0.0.1:5060", ["1"]),
        ("<1>", ["1"]),
        ("+15551230001", ["+15551230001"]),
        ("(555) 123-0001", ["(555) 123-0001"]),
        ("sip:15551230001", ["15551230001"]),
        ("sip:+15551230001;user=phone", ["+15551230001"]),
        ("Joe <sip:1@h>", ["1"]),
        ("<sip:1@h", ["1"]),
        ("  <sip:1@h>  ;index = 1 ,, ", ["1"]),
        # Nobody is named by a host alone, and nothing by another scheme.
        ("sip:192.0.2.1", [""]),
        ("sip:[2001:db8::1]:5060", [""]),
        ("192.168.100.200:5060", [""]),
        ("[2001:db8::1]:5060", [""]),
        ("sip:example.com", [""]),
        ("mailto:1@h", [""]),
        ("urn:service:sos", [""]),
        ("<sip:@h>", [""]),
        ("<>", [""]),
        ('"never closed <sip:1@h>', [""]),
        ('"+15551230001"', ["+15551230001"]),
        ("a>b@h", [""]),
        ("", []),
        (" , ,", []),
    ],
)
def test_addresses(value: str, expected: list[str]) -> None:
    assert users(value) == expected


@pytest.mark.parametrize(
    ("sent", "once"),
    [
        ("%2B15551230001", "+15551230001"),
        ("+15551230001", "+15551230001"),
        ("%2b1555%31230001", "+15551230001"),
        ("%252B1555", "%2B1555"),
        ("a%20b", "a b"),
        ("a+b", "a+b"),
        ("50%", "50%"),
        ("%4", "%4"),
        ("%C3%BC", "ü"),
        ("%FF", "\ufffd"),
        ("1%0A2", "1\ufffd2"),
        ("1%00", "1\ufffd"),
    ],
)
def test_percent_encoding_is_undone_once_whichever_way_it_came(sent: str, once: str) -> None:
    """FreeSWITCH leaves `%` before two hex digits as it is: the event's decoding is the SIP URI's as well."""
    header = f"<sip:{sent}@h>;reason=x"
    assert users(header, decode=True) == [once]
    escaped = "".join(
        char if char == "%" and is_escape(header, at) else urllib.parse.quote(char, safe="/,!~*'().-_")
        for at, char in enumerate(header)
    )
    call = Event(plain=f"variable_sip_i_diversion: {escaped}".encode())
    assert pairs(claims(header_values(call))) == (("Diversion", once),)


def is_escape(text: str, at: int) -> bool:
    digits = text[at + 1 : at + 3]
    return len(digits) == 2 and all(digit in "0123456789abcdefABCDEF" for digit in digits)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["<sip:c@h>;index=1.2", "<sip:b@h>;index=1.1", "<sip:a@h>;index=1"], "abc"),
        (["<sip:c@h>;index=1.10,<sip:b@h>;index=1.2,<sip:a@h>;index=1"], "abc"),
        (["<sip:d@h>;index=2,<sip:c@h>;index=1.1.1,<sip:b@h>;index=1.1,<sip:a@h>;index=1"], "abcd"),
        (["<sip:b@h>", "<sip:a@h>;index=1"], "ab"),
        (["<sip:b@h>;index=x,<sip:c@h>;index=1..2,<sip:d@h>;index=,<sip:a@h>;index=3"], "abcd"),
        (["<sip:b@h>;index=²,<sip:a@h>;INDEX = 1"], "ab"),
        (["<sip:b@h>;index=999999999,<sip:a@h>;index=1"], "ab"),
        (['sip:b@h;index=1.1;x="a@b,c",sip:a@h;index=1'], "ab"),
        (["<sip:a@h;index=9>;index=1,<sip:b@h>;index=2"], "ab"),
    ],
)
def test_history_goes_by_index(values: list[str], expected: str) -> None:
    claimed = claims(from_headers(History_Info=values))
    assert [claim.user for claim in claimed] == list(expected)


def test_the_bottom_diversion_counts_over_lines_and_lists() -> None:
    claimed = claims(from_headers(Diversion=["<sip:d@h>, <sip:c@h>", "<sip:b@h>, <sip:a@h>"]))
    assert [claim.user for claim in claimed] == list("abcd")


def test_sources_come_in_the_published_order_and_once_each() -> None:
    assert (*HEADERS, "Request-URI", "To") == SOURCES
    values = {name: [f"<sip:{index}@h>, <sip:{index}@other>"] for index, name in enumerate(SOURCES)}
    claimed = claims(lambda source: values[source])
    assert pairs(claimed) == tuple((name, str(index)) for index, name in enumerate(SOURCES))


@pytest.mark.parametrize("spelling", ["Diversion", "diversion", "DIVERSION"])
def test_header_names_in_any_case(spelling: str) -> None:
    plain = f"variable_sip_h_{spelling}: <sip:last@h>\nvariable_sip_i_diversion: ARRAY::<sip:2@h>|:<sip:1@h>"
    assert [claim.user for claim in claims(header_values(Event(plain=plain.encode())))] == ["1", "2"]


@pytest.mark.parametrize(
    ("user", "rules", "expected"),
    [
        ("+15551230001", NumberRules(), ["+15551230001"]),
        ("15551230001", NumberRules(), ["+15551230001", "15551230001"]),
        ("0015551230001", NumberRules(), ["+15551230001", "0015551230001"]),
        ("01115551230001", NumberRules(), ["+15551230001", "01115551230001"]),
        ("+1 (555) 123-0001", NumberRules(), ["+15551230001", "+1 (555) 123-0001"]),
        ("+1.555.123/0001", NumberRules(), ["+15551230001", "+1.555.123/0001"]),
        ("(555) 123-0001", US, ["+15551230001", "+5551230001", "(555) 123-0001"]),
        ("011 44 20 7946 0958", US, ["+442079460958", "011 44 20 7946 0958"]),
        ("0044 20 7946 0958", US, ["+442079460958", "0044 20 7946 0958"]),
        ("030 123456", NumberRules("DE"), ["+4930123456", "030 123456"]),
        ("0049 30 123456", NumberRules("DE"), ["+4930123456", "0049 30 123456"]),
        ("01123456789", NumberRules("IN"), ["+911123456789", "+23456789", "01123456789"]),
        ("09876543210", NumberRules("IN"), ["+919876543210", "09876543210"]),
        ("020 7946 0958", NumberRules("GB"), ["+442079460958", "020 7946 0958"]),
        # Italy keeps its leading zero, and 011 is Turin.
        ("06 6981 2345", NumberRules("IT"), ["+390669812345", "06 6981 2345"]),
        ("011 1234 5678", NumberRules("IT"), ["+3901112345678", "+12345678", "011 1234 5678"]),
        ("333 123 4567", NumberRules("IT"), ["+393331234567", "+3331234567", "333 123 4567"]),
        # A prefix is taken off, and what came is tried before.
        ("77#15551230001", NumberRules("", "77#"), ["+15551230001", "77#15551230001"]),
        ("77#+15551230001", NumberRules("", "77#"), ["+15551230001", "77#+15551230001"]),
        (
            "9915551230001",
            NumberRules("", "99"),
            ["+9915551230001", "+15551230001", "9915551230001"],
        ),
        ("77#", NumberRules("", "77#"), ["77#"]),
        # Nothing short is ever completed, whatever the country.
        ("9228", NumberRules(), ["9228"]),
        ("9228", US, ["9228"]),
        ("9228", NumberRules("DE"), ["9228"]),
        ("123456", NumberRules("DE"), ["123456"]),
        ("1230001", US, ["1230001"]),
        # What is no number stays what it is.
        ("+0155512300", NumberRules(), ["+0155512300"]),
        ("+1555123000123456", NumberRules(), ["+1555123000123456"]),
        ("+", NumberRules("US"), ["+"]),
        ("alice", US, ["alice"]),
        ("٠١٢٣٤٥٦٧٨٩", US, ["٠١٢٣٤٥٦٧٨٩"]),
        ("+15551230001", NumberRules("XX"), ["+15551230001"]),
        ("5551230001", NumberRules("XX"), ["+5551230001", "5551230001"]),
        ("", US, []),
        ("1" * 65, US, []),
    ],
)
def test_forms(user: str, rules: NumberRules, expected: list[str]) -> None:
    assert forms(user, rules) == tuple(expected)


def test_without_a_country_a_national_number_is_nobodys() -> None:
    claimed = claims(from_headers(X_Forwarded_To=["(555) 123-0001"]))
    assert chosen(claimed, US) == captured.ONE
    assert chosen(claimed, NumberRules()) == ""


@pytest.mark.parametrize("source", ["Diversion", "X-Original-Called"])
def test_a_thousand_claims_in_one_header_do_not_silence_the_others(source: str) -> None:
    values = {source: [f"<sip:{index}@h>" for index in range(10_000)], "Request-URI": ["9228@h"]}
    claimed = claims(lambda name: values.get(name, []))
    assert len(claimed) == called_number.MOST_CLAIMS + 1
    assert claimed[0].user == ("9999" if source == "Diversion" else "0")
    assert claimed[-1] == Claim("Request-URI", "9228@h", "9228")


def test_of_a_long_list_the_bottom_diversion_still_counts() -> None:
    listed = ",".join(f"<sip:{index}@h>" for index in range(MOST_ADDRESSES + 50))
    assert claims(from_headers(Diversion=[listed]))[0].user == str(MOST_ADDRESSES + 49)
    assert claims(from_headers(X_Original_To=[listed]))[0].user == "0"


def test_what_is_too_long_is_not_cut_into_something_else() -> None:
    number = "+15551230001"
    assert claims(from_headers(X_Original_To=[f"<sip:{number}{'0' * 64}@h>"])) == []
    assert claims(from_headers(X_Original_To=[number + " " * LONGEST_VALUE])) == []
    assert chosen(claims(from_headers(X_Original_To=["<sip:" + "9228".ljust(65, "x") + "@h>"]))) == ""


WORST = {
    "commas": ",",
    "semicolons": ";",
    "quotes": '"',
    "escapes": '"\\',
    "escaped quotes": '\\"',
    "open brackets": "<",
    "brackets": "<>",
    "at signs": "@",
    "colons": ":",
    "percents": "%",
    "question marks": "?",
    "an address": "<sip:1@h>;index=1.1,",
    "spaces": " ",
    "dots": "1.",
}


def steps(work: Callable[[], object]) -> int:
    """Lines of our code that `work` ran: time that no busy machine stretches."""
    count = 0

    def trace(frame: object, event: str, _argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("what", WORST.values(), ids=list(WORST))
@pytest.mark.parametrize("source", ["Diversion", "History-Info", "To"])
def test_the_work_is_bounded_whatever_is_sent(what: str, source: str) -> None:
    """64 kB in one value, in eight, and ten thousand values: at most a few steps for a character that is looked at."""
    longest, several, many = (
        [what * (65_536 // len(what))],
        [what * (8192 // len(what))] * 8,
        [what * 6] * 10_000,
    )
    for values in (longest, several, many):
        found, ran = counted({source: values})
        assert ran < 12 * called_number.MOST_CHARACTERS
        assert len(found) <= called_number.MOST_CLAIMS


def counted(values: dict[str, list[str]]) -> tuple[list[Claim], int]:
    """The claims, and the steps it took to find them."""
    found: list[Claim] = []
    return found, steps(lambda: found.extend(claims(lambda name: values.get(name, []))))


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)
SIP_TEXT = st.text(st.sampled_from('<>";,:@=?%+\\ \r\n.-()[]0123456789abcsipte\udcff\ud800ü'), max_size=200)


@given(
    st.lists(ANY_TEXT | SIP_TEXT, max_size=6), st.booleans(), st.sampled_from(["", "DE", "US", "IT", "ZZ"])
)
def test_nothing_a_caller_sends_raises_and_all_of_it_is_bounded(
    values: list[str], decode: bool, country: str
) -> None:
    claimed = claims(lambda _source: values, decode=decode)
    assert len(claimed) <= called_number.MOST_CLAIMS * len(SOURCES)
    for claim in claimed:
        for text in (claim.user, claim.raw):
            text.encode()
            assert not any(char in text for char in "\r\n\0")
        assert 0 < len(claim.user) <= called_number.LONGEST_NUMBER
        assert len(claim.raw) <= 256
        found = forms(claim.user, NumberRules(country, "9"))
        assert found[-1] == claim.user
        assert len(found) <= 9
        assert all(form for form in found)


@given(st.integers(10_000_000, 999_999_999_999_999).map(str))
def test_a_number_is_found_under_every_spelling(digits: str) -> None:
    number = "+" + digits
    for spelled in (
        number,
        digits,
        "00" + digits,
        "011" + digits,
        f"+{digits[:2]}-({digits[2:5]}) {digits[5:]}",
    ):
        for value in (spelled, f"<tel:{spelled}>", f'"A, B" <sip:{spelled};x=y@h;user=phone>;reason=z'):
            (claim,) = claims(from_headers(X_Original_To=[value]))
            assert number in forms(claim.user, NumberRules())


@given(
    st.text(st.sampled_from("0123456789"), min_size=1, max_size=6),
    st.sampled_from(["DE", "US", "IT", "GB", "IN"]),
)
def test_an_extension_is_never_completed(extension: str, country: str) -> None:
    assert forms(extension, NumberRules(country)) == (extension,)


@pytest.mark.parametrize(
    ("uri", "to", "expected"),
    [
        ("sip:gw+7.pbx.ab12cd34@198.51.100.7:5060;transport=udp;gw=7.pbx.ab12cd34", "", ["7.pbx.ab12cd34"]),
        ("sip:gw+a@h", "<sip:gw+a@h;gw=a>", ["a"]),
        ("sip:gw+a@h", "<sip:gw+b@h>", ["a", "b"]),
        ("sip:1@h", "<sip:gw+b@h>", ["b"]),
        ("sip:1@h;gw=a", "<sip:1@h;gw=a>", []),
        ("sip:xgw+a@h", "gw+ <sip:1@h>", []),
        ("sip:GW+a@h", "", []),
        ("sip:gw%2Ba@h", "", ["a"]),
        ("sip:gw+" + "n" * 9000 + "@h", "", []),
    ],
)
def test_contacts_of_our_own(uri: str, to: str, expected: list[str]) -> None:
    values = {"Request-URI": [uri], "To": [to], "Diversion": ["<sip:gw+never@h>"]}
    found = own_contacts(lambda name: values.get(name, ()), decode=True)
    assert [gateway for _, gateway in found] == expected


@given(st.text(max_size=200), st.text(max_size=200))
def test_contacts_of_our_own_are_bounded_whatever_is_sent(uri: str, to: str) -> None:
    found = own_contacts(lambda _name: [uri, f"<sip:gw+{to}@h>"] * 40)
    assert len(found) <= 2 * called_number.MOST_CLAIMS


@pytest.mark.parametrize("decode", [True, False])
def test_the_short_way_to_a_usual_address_reads_what_the_long_one_does(decode: bool) -> None:
    parts = (
        ("", "<", "<sip:", "sips:", "tel:", " sip:"),
        ("+15", "15", "1;5", "1 ", "1:5", "+", "a1", "%35", "1+5", ""),
        ("@", "@@", ""),
        ("h", "192.0.2.1", "[2001:db8::1]", "h,1", "h h", "h;a=b@c", ""),
        ("", ":5060", ":", ";user=phone"),
        ("", ">", ">;index=1", ", <sip:1@h>"),
    )
    values = ["".join(chosen) for chosen in itertools.product(*parts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(addresses, "_NUMBER_AT_HOST", re.compile("(?!)"))
        at_length = [parse_addresses(value, decode=decode) for value in values]
    assert [parse_addresses(value, decode=decode) for value in values] == at_length
