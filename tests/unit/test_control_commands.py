"""Commands about a live call: no value adds a word, a line, an action or an expansion."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fscontrol.errors import UnsafeArgument
from fscontrol.esl import call_commands as live
from fscontrol.esl.commands import Command

UUID = "44444444-4444-4444-4444-444444444486"
FILE = "/var/media/hello.wav"
URI = "sip:bob@192.0.2.7:5070"
NUMBER = "+15551230001"

BUILDERS: dict[str, tuple[Callable[[str], Command], int]] = {
    "channel": (live.channel, 4),
    "bugs": (live.media_bugs, 3),
    "variable name": (lambda v: live.set_channel_variable(UUID, v, "x"), 5),
    "variable value": (lambda v: live.set_channel_variable(UUID, "x", v), 5),
    "variable read": (lambda v: live.get_channel_variable(UUID, v), 4),
    "file": (live.file_exists, 3),
    "play": (lambda v: live.play(UUID, v), 5),
    "play uuid": (lambda v: live.play(v, FILE), 5),
    "break": (live.stop_playing, 4),
    "play over": (lambda v: live.play_over(UUID, v, mix=True), 7),
    "stop over": (lambda v: live.stop_playing_over(UUID, v), 5),
    "digits": (lambda v: live.send_dtmf(UUID, v), 4),
    "hold": (live.hold, 3),
    "resume": (live.resume, 4),
    "mute": (lambda v: live.mute(v, "read"), 7),
    "unmute": (live.unmute, 4),
    "record": (lambda v: live.start_recording(UUID, v), 5),
    "stop recording": (lambda v: live.stop_recording(UUID, v), 5),
    "refer": (lambda v: live.refer(UUID, v), 4),
    "refer uuid": (lambda v: live.refer(v, URI), 4),
    "bridge number": (lambda v: live.bridge(UUID, [live.through_gateway("7.a.b", v)], 30), 6),
    "bridge gateway": (lambda v: live.bridge(UUID, [live.through_gateway(v, NUMBER)], 30), 6),
    "bridge uri": (lambda v: live.bridge(UUID, [live.through_profile("external", v)], 30), 6),
    "bridge profile": (lambda v: live.bridge(UUID, [live.through_profile(v, URI)], 30), 6),
    "bridge caller": (lambda v: live.bridge(UUID, [live.through_gateway("g", NUMBER)], 30, v), 6),
    "bridge uuid": (lambda v: live.bridge(v, [live.through_gateway("g", NUMBER)], 30), 6),
}
"""How a value gets into a command, and how many words separated by spaces the command has then."""
MAY_BE_EMPTY = {"variable value", "bridge caller"}
SEVERAL_WORDS_LESS = {"variable value": 1}


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize(
    "value",
    [
        "x\n\napi shutdown",
        "x\r",
        "x\0",
        "a b",
        "a'b",
        'a"b',
        "a^b",
        "a|b",
        "a,b",
        "a,hangup:",
        "${system(id)}",
        "$${x}",
        "a;b",
        "a{b}",
        "[a=b]x",
        "<a>",
        "a&b()",
        "é",
        "\u0663",
        "\ud800",
    ],
)
def test_what_could_mean_something_is_refused(builder: str, value: str) -> None:
    with pytest.raises(UnsafeArgument):
        BUILDERS[builder][0](value)


@pytest.mark.parametrize("builder", sorted(BUILDERS.keys() - MAY_BE_EMPTY))
def test_nothing_is_refused(builder: str) -> None:
    with pytest.raises(UnsafeArgument):
        BUILDERS[builder][0]("")


@pytest.mark.parametrize(
    "path",
    [
        "x.wav",
        "/",
        "//x",
        "/a/../b",
        "/a/./b",
        "/.ssh/id",
        "/a/",
        "/a b",
        "/a/%2e",
        "shout://x/y",
        "/-rf",
        "/a:b",
    ],
)
def test_a_file_is_a_plain_absolute_path(path: str) -> None:
    with pytest.raises(UnsafeArgument):
        live.file_path(path)


@pytest.mark.parametrize(
    "name", ["../x.wav", "/etc/passwd", ".hidden", "a/../b", "a//b", "a/", "", "a\\b", "~x"]
)
def test_a_media_file_stays_in_its_directory(name: str) -> None:
    with pytest.raises(UnsafeArgument):
        live.media_file(name)


@pytest.mark.parametrize("name", ["hello.wav", "en/us/hello-2.wav", "A_1.flac"])
def test_media_files(name: str) -> None:
    assert live.media_file(name) == name


@pytest.mark.parametrize(
    "uri",
    [
        "bob@192.0.2.7",
        "sip:192.0.2.7",
        "sip:bob@",
        "sip:bob@-x.example",
        "sip:bob@x.example-",
        "sip:bob@x.example:0",
        "sip:bob@x.example:70000",
        "sip:bob:secret@x.example",
        "sip:bob@x.example;maddr=127.0.0.1",
        "sip:bob@x.example?Replaces=1",
        "sip:bob@x.example;transport=sctp",
        "sip:b%6fb@x.example",
        "sip:bob@[::1]",
        "tel:+15551230001",
        "http://x.example/",
        "sip:bob@x.example>",
    ],
)
def test_a_sip_uri_is_plain(uri: str) -> None:
    with pytest.raises(UnsafeArgument):
        live.sip_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        URI,
        "sips:bob.smith@pbx.example.com",
        "sip:+1555@x.example;transport=tcp",
        "sip:a@x:65535;transport=tls",
    ],
)
def test_sip_uris(uri: str) -> None:
    assert live.sip_uri(uri) == uri


@pytest.mark.parametrize("digits", ["", "1" * 65, "12e", "1 2", "1,2", "1@100", "a", "F"])
def test_digits_are_digits(digits: str) -> None:
    with pytest.raises(UnsafeArgument):
        live.send_dtmf(UUID, digits)


def test_a_bridge_needs_a_target() -> None:
    with pytest.raises(UnsafeArgument):
        live.bridge(UUID, [], 30)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (live.channel(UUID), f"api uuid_dump {UUID} json"),
        (
            live.set_channel_variable(UUID, "fscontrol_held", "true"),
            f"api uuid_setvar {UUID} fscontrol_held true",
        ),
        (live.set_channel_variable(UUID, "fscontrol_held", ""), f"api uuid_setvar {UUID} fscontrol_held"),
        (live.play(UUID, FILE), f"api uuid_broadcast {UUID} {FILE} aleg"),
        (live.play_over(UUID, FILE, mix=False), f"api uuid_displace {UUID} start {FILE} 0"),
        (live.play_over(UUID, FILE, mix=True), f"api uuid_displace {UUID} start {FILE} 0 m"),
        (live.send_dtmf(UUID, "12w#"), f"api uuid_send_dtmf {UUID} 12w#"),
        (live.resume(UUID), f"api uuid_hold off {UUID}"),
        (live.mute(UUID, "write"), f"api uuid_audio {UUID} start write mute 1"),
        (live.refer(UUID, URI), f"api uuid_deflect {UUID} {URI}"),
        (
            live.bridge(
                UUID, [live.through_gateway("7.a", NUMBER), live.through_profile("external", URI)], 20, "123"
            ),
            f"api uuid_transfer {UUID} 'm:^:set:continue_on_fail=true^set:hangup_after_bridge=true^set:call_timeout=20"
            "^set:transfer_ringback=%(1000,4000,425)^set:effective_caller_id_number=123"
            f"^bridge:[outbound_redirect_fatal=true]sofia/gateway/7.a/{NUMBER}"
            f"|[outbound_redirect_fatal=true]sofia/external/{URI}^transfer:park XML fscontrol' inline",
        ),
    ],
)
def test_encoding(command: Command, text: str) -> None:
    assert command.encode() == f"{text}\n\n".encode()


def test_playing_and_hanging_up_in_one_go() -> None:
    assert live.play_and_hang_up(FILE) == (
        f"'sched_cancel:,sched_hangup:+600 ALLOTTED_TIMEOUT,playback:{FILE},hangup:NORMAL_CLEARING' inline"
    )
    with pytest.raises(UnsafeArgument):
        live.play_and_hang_up("/a,hangup:")


_hostile = st.text(
    alphabet=st.characters(codec=None) | st.sampled_from("\r\n\0 ${}[]<>&|,;:^'\"\\/%.-+@=0a"), max_size=40
)
_nearly = st.sampled_from([FILE, URI, NUMBER, "7.a.b", UUID, "external"]).flatmap(
    lambda good: st.tuples(st.integers(0, len(good)), _hostile).map(
        lambda cut: good[: cut[0]] + cut[1] + good[cut[0] :]
    )
)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(sorted(BUILDERS)), _hostile | _nearly)
def test_no_value_adds_a_word_or_an_action(builder: str, value: str) -> None:
    build, words = BUILDERS[builder]
    try:
        text = build(value).text
    except UnsafeArgument:
        return
    if not value:
        words -= SEVERAL_WORDS_LESS.get(builder, 0)
    outside = text
    if builder.startswith("bridge"):
        assert text.count("'") == 2
        before, inner, after = text.split("'")
        outside = before + after.strip()
        assert inner.count("^") == 6 + (builder == "bridge caller" and bool(value)), "the actions are ours"
        assert "|" not in inner and "," not in inner.replace("(1000,4000,425)", "")
        words = 4
    else:
        assert not set(text) & set("'\"|^,")
    assert len(outside.split(" ")) == words
    assert "\n" not in text and "${" not in text and "\\" not in text
