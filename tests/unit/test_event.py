"""Reading an event: the lazy look-up says what a full parse says, and nothing inside a value can pose as a header."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fscontrol.esl.event import Event, Variables
from fscontrol.esl.frames import Frame, FrameReader
from tests.conftest import CAPTURES

# FREESWITCH.md §5: `%` and two hex digits is not escaped in `plain`; these two values hold one as the caller sent it.
AMBIGUOUS_IN_PLAIN = {
    "calls/inbound-answered": {"variable_sip_history_info", "variable_sip_i_history_info"},
}


def _frames(path: Path) -> Iterator[Frame]:
    command, line, reply = path.read_bytes().partition(b"----\n")
    reader = FrameReader()
    reader.receive_data(reply if line and path.suffix == ".txt" else command + line + reply)
    while (frame := reader.next_frame()) is not None:
        yield frame


def _events(path: Path) -> list[Event]:
    return [Event.of_frame(frame) for frame in _frames(path)]


ALL = [
    path
    for pattern in (
        "gateways/events.*",
        "calls/*.plain",
        "calls/*.json",
        "calls/*.received",
        "invites/*.connect",
        "replies/*.txt",
    )
    for path in sorted(CAPTURES.glob(pattern))
]
PAIRS = [path.with_suffix("") for path in ALL if path.suffix == ".plain"]


def json_event(text: str | bytes) -> Event:
    return Event(json_text=text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(CAPTURES)))
def test_lazy_look_up_equals_the_full_parse(path: Path) -> None:
    for frame in _frames(path):
        full = dict(Event.of_frame(frame).items())
        assert full
        for name, value in full.items():
            assert Event.of_frame(frame).find(name) == value, name
        lazy = Event.of_frame(frame)
        assert lazy.find("No-Such-Header") is None
        assert {name: lazy.find(name) for name in full} == full


@pytest.mark.parametrize("stem", PAIRS, ids=lambda path: str(path.relative_to(CAPTURES)))
def test_plain_and_json_agree_header_for_header(stem: Path) -> None:
    plain, as_json = _events(stem.with_suffix(".plain")), _events(stem.with_suffix(".json"))
    assert len(plain) == len(as_json) > 0
    excused = AMBIGUOUS_IN_PLAIN.get(str(stem.relative_to(CAPTURES)), set())
    for one, other in zip(plain, as_json, strict=True):
        left, right = dict(one.items()), dict(other.items())
        assert left.keys() == right.keys()
        assert {name for name in left if left[name] != right[name]} <= excused
        assert one.name == other.name
        assert one.text == other.text


def test_the_ambiguity_of_plain_is_real() -> None:
    """Should this fail, FreeSWITCH or the captures changed and the exception above can go."""
    stem = CAPTURES / "calls" / "inbound-answered"
    name = "variable_sip_i_history_info"
    values = [
        {event.find(name) for event in _events(stem.with_suffix(suffix))} - {None}
        for suffix in (".plain", ".json")
    ]
    assert values[0] and values[1]
    assert values[0] != values[1]


@pytest.mark.parametrize(
    ("name", "variable", "expected"),
    [
        ("diversion-two-lines", "sip_i_diversion", "ARRAY::"),
        ("utf8-display-name", "sip_network_ip", "127.0.0.1"),
        ("sdp-line-looks-like-header", "sip_network_ip", "127.0.0.1"),
        ("spoofed-gateway-param", "sip_network_ip", "127.0.0.1"),
    ],
)
def test_variables_of_a_captured_call(name: str, variable: str, expected: str) -> None:
    (call,) = _events(CAPTURES / "invites" / f"{name}.connect")
    assert (call.variable(variable) or "").startswith(expected)
    assert call.get("Event-Name") == "CHANNEL_DATA"


def test_a_line_of_the_sdp_that_looks_like_a_header_stays_in_the_sdp() -> None:
    (call,) = _events(CAPTURES / "invites" / "sdp-line-looks-like-header.connect")
    sdp = call.variable("switch_r_sdp") or ""
    forged = [line for line in sdp.splitlines() if ": " in line]
    assert forged, "the capture should hold such a line"
    for line in forged:
        name, _, value = line.partition(": ")
        assert call.find(name) != value


@pytest.mark.parametrize(
    ("plain", "name", "value"),
    [
        (b"A: x%0AB: forged\nB: true", "B", "true"),
        (b"A: x%0D%0AB: forged\nB: true", "B", "true"),
        (b"A: x%0AB: forged", "B", None),
        (b"A: x%0AB: forged", "A", "x\nB: forged"),
        (b"B: first\nB: second", "B", "first"),
        (b"B: \nB: second", "B", ""),
        (b"B: 1\r\nC: 2\r", "B", "1"),
        (b"B: 1\r\nC: 2\r", "C", "2"),
        (b"XB: 1", "B", None),
        (b"b: 1", "B", None),
        (b"B:1", "B", None),
        (b"B: a: b", "B", "a: b"),
        (b"B: 100%25", "B", "100%"),
        (b"B: 100%", "B", "100%"),
        (b"B: %zz%4", "B", "%zz%4"),
        (b"B: %2525", "B", "%25"),
        (b"B: a+b", "B", "a+b"),
        (b"B: %C3%A9", "B", "é"),
        (b"B: \xc3\xa9", "B", "é"),
        (b"B: %FF%41", "B", "\ufffdA"),
        (b"B: \xff", "B", "\ufffd"),
        (b"B: %00", "B", "\0"),
        (b"B: ARRAY%3A%3Aa%7C%3Ab", "B", "ARRAY::a|:b"),
        (b"", "B", None),
    ],
)
def test_plain(plain: bytes, name: str, value: str | None) -> None:
    assert Event(plain=plain).find(name) == value
    assert dict(Event(plain=plain).items()).get(name) == value


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ('{"A":"x\\nB: forged","B":"true"}', "B", "true"),
        ('{"A":"x\\",\\"B\\":\\"forged","B":"true"}', "B", "true"),
        ('{"A":"\\"B\\":\\"forged\\""}', "B", None),
        ('{"A\\"B":"forged","B":"true"}', "B", "true"),
        ('{"A,\\"B":"forged"}', "B", None),
        ('{"A":{"B":"nested"},"C":"1"}', "C", "1"),
        ('{"B":"first","B":"second"}', "B", "first"),
        ('{"B":["first"],"B":"second"}', "B", "ARRAY::first"),
        ('{"B":"","B":"second"}', "B", ""),
        ('{"B":"quote \\" backslash \\\\ slash \\/ end"}', "B", 'quote " backslash \\ slash / end'),
        ('{"B":"ends in backslash \\\\","C":"1"}', "B", "ends in backslash \\"),
        ('{"B":"ends in backslash \\\\","C":"1"}', "C", "1"),
        ('{"B":["a","b"]}', "B", "ARRAY::a|:b"),
        ('{"B":[]}', "B", "ARRAY::"),
        ('{"B":5}', "B", "5"),
        ('{"B":true}', "B", "true"),
        ('{"B":null}', "B", None),
        ('{ "B": "spaced" }', "B", "spaced"),
        ('{"B":"\\u00e9\\u20ac"}', "B", "é€"),
        ('{"B":"é"}', "B", "é"),
        ('{"B":"%41+"}', "B", "%41+"),
        ('{"b":"1"}', "B", None),
        ('{"AB":"1"}', "B", None),
        ("{}", "B", None),
        ("[]", "B", None),
        ("", "B", None),
        ("not json", "B", None),
    ],
)
def test_json(text: str, name: str, value: str | None) -> None:
    assert json_event(text).find(name) == value
    assert dict(json_event(text).items()).get(name) == value


def test_json_that_is_not_utf8_is_read_with_replacement() -> None:
    event = json_event(b'{"A":"\xff\xfe","B":"\\"\xff","C":"ok"}')
    assert (event.find("A"), event.find("B"), event.find("C")) == ("\ufffd\ufffd", '"\ufffd', "ok")
    assert json_event(b'{"A":"\xff"}').find("A") == dict(json_event(b'{"A":"\xff"}').items())["A"]


def test_the_body_of_json_is_text_and_no_header() -> None:
    event = json_event('{"Event-Name":"BACKGROUND_JOB","_body":"-ERR USER_BUSY\\n"}')
    assert event.text == "-ERR USER_BUSY\n"
    assert "_body" not in dict(event.items())


@pytest.mark.parametrize(
    "outcome", ["answered", "busy", "declined", "not-found", "carrier-503", "unreachable"]
)
def test_a_background_job_is_read_by_its_uuid(outcome: str) -> None:
    reply, job = _events(CAPTURES / "replies" / f"bgapi-originate-{outcome}.txt")
    assert reply.get("Reply-Text").startswith("+OK Job-UUID: ")
    assert reply.get("Job-UUID") == job.get("Job-UUID")
    assert job.name == "BACKGROUND_JOB"
    assert job.text.startswith("+OK" if outcome == "answered" else "-ERR")


@pytest.mark.parametrize(
    ("plain", "name"),
    [
        (b"Event-Name: CUSTOM\nEvent-Subclass: sofia%3A%3Agateway_state", "sofia::gateway_state"),
        (b"Event-Name: CHANNEL_ANSWER\nEvent-Subclass: sofia%3A%3Agateway_state", "CHANNEL_ANSWER"),
        (b"Event-Name: CUSTOM", ""),
        (b"", ""),
    ],
)
def test_name(plain: bytes, name: str) -> None:
    assert Event(plain=plain).name == name


def test_a_plain_event_with_a_body() -> None:
    frame = Frame(b"Content-Type: text/event-plain", b"Event-Name: X\nContent-Length: 9\n\nA: 1\n\nB: 2")
    event = Event.of_frame(frame)
    assert event.text == "A: 1\n\nB: 2"
    assert event.find("A") is None
    assert event.find("Content-Type") is None


_names = st.text(alphabet='AB"\\:,{}[] \n%\u00e9', max_size=4)
_values = st.text(alphabet='AB"\\:,{}[]\n\r\t %\u00e9\u2028\U0001f600', max_size=12)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["A", "B", "AB"]) | _names, _values | st.lists(_values, max_size=3)),
        max_size=6,
    )
)
def test_json_look_up_of_anything_is_what_a_json_parser_says(
    members: list[tuple[str, str | list[str]]],
) -> None:
    """Duplicates included: the first wins. `A`, `B` and `AB` are what code asks for; the other names are a sender's."""
    text = "{" + ",".join(f"{json.dumps(n)}:{json.dumps(v, ensure_ascii=False)}" for n, v in members) + "}"
    for name in ("A", "B", "AB"):
        expected = next((value for member, value in members if member == name), None)
        if isinstance(expected, list):
            expected = "ARRAY::" + "|:".join(expected)
        assert json_event(text).find(name) == expected


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.sampled_from(["A", "B", "Event-Name"]))
def test_no_bytes_make_a_look_up_raise(raw: bytes, name: str) -> None:
    for event in (
        Event(plain=raw),
        json_event(raw),
        Event.of_frame(Frame(b"Content-Type: text/event-plain", raw)),
    ):
        event.find(name)
        assert isinstance(event.text, str)
        assert isinstance(event.name, str)
        assert isinstance(dict(event.items()), dict)


@pytest.mark.parametrize("form", ["plain", "json"])
def test_several_variables_are_found_at_once_and_decoded(form: str) -> None:
    members = {
        "variable_sip_i_to": "x",
        "sip_from": "no variable",
        "variable_sip_h_X-A": "ARRAY::a|:b",
        "variable_sip_h_X-A-longer": "y",
        "variable_other": "z",
    }
    if form == "json":
        event = Event(json_text=json.dumps(members).encode())
    else:
        event = Event(plain="\n".join(f"{name}: {quote(value)}" for name, value in members.items()).encode())
    wanted = Variables(["sip_i_to", "sip_h_X-A", "sip_from", "sip_full_to"])
    assert event.variables(wanted) == {"sip_i_to": "x", "sip_h_X-A": "ARRAY::a|:b"}


def test_of_several_variables_too_the_first_of_a_name_counts() -> None:
    event = Event(plain=b"variable_a: 1\nvariable_b: %0Avariable_a: 2\nvariable_a: 3")
    assert event.variables(Variables(["a"])) == {"a": "1"}
