"""Commands to FreeSWITCH: no value can add a line, a command or an expansion, and no secret is printed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from fscontrol.errors import UnsafeArgument
from fscontrol.esl import commands, subscriptions
from fscontrol.esl.commands import Command

UUID = "44444444-4444-4444-4444-444444444486"

# Each way a value from outside gets into a command, and how many lines the command has.
BUILDERS: dict[str, tuple[Callable[[str], Command], int]] = {
    "auth": (lambda v: commands.auth(SecretStr(v)), 1),
    "api name": (lambda v: commands.api(v, "x"), 1),
    "api arguments": (lambda v: commands.api("sofia", v), 1),
    "bgapi name": (lambda v: commands.bgapi(v, "x", UUID), 2),
    "bgapi arguments": (lambda v: commands.bgapi("originate", v, UUID), 2),
    "bgapi uuid": (lambda v: commands.bgapi("originate", "x", v), 2),
    "subscribe": (lambda v: subscriptions.subscribe(["CUSTOM", v]), 1),
    "start profile": (lambda v: commands.start_gateway(v, "g"), 1),
    "start gateway": (lambda v: commands.start_gateway("external", v), 1),
    "start all": (commands.start_new_gateways, 1),
    "register profile": (lambda v: commands.register_gateway(v, "g"), 1),
    "register gateway": (lambda v: commands.register_gateway("external", v), 1),
    "kill profile": (lambda v: commands.kill_gateway(v, "g"), 1),
    "kill gateway": (lambda v: commands.kill_gateway("external", v), 1),
    "one gateway": (commands.one_gateway, 1),
    "module": (commands.module_exists, 1),
    "profile": (commands.profile_status, 1),
    "originate uuid": (lambda v: _originate(uuid=v), 2),
    "originate profile": (lambda v: _originate(profile=v), 2),
    "originate number": (lambda v: _originate(number=v), 2),
    "originate host": (lambda v: _originate(host=v), 2),
    "originate caller": (lambda v: _originate(caller=v), 2),
    "hang-up uuid": (commands.kill_channel, 1),
    "hang-up cause": (lambda v: commands.kill_channel(UUID, v), 1),
    "application": (commands.execute, 3),
    "argument": (lambda v: commands.execute("respond", v), 4),
    "application afterwards": (lambda v: commands.go_on_with(("park", ""), (v, "")), 4),
    "argument afterwards": (lambda v: commands.go_on_with(("park", v)), 3),
}
FREE_TEXT = {"auth", "api arguments", "bgapi arguments", "argument", "argument afterwards"}


def _originate(
    uuid: str = UUID,
    profile: str = "external",
    number: str = "+15551230001",
    host: str = "127.0.0.1",
    caller: str = "1",
) -> Command:
    return commands.originate_to_profile(uuid, profile, number=number, host=host, port=5060, caller=caller)


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize(
    "value",
    [
        "x\napi shutdown",
        "x\n\napi shutdown",
        "x\r\napi shutdown",
        "x\r",
        "x\0y",
        "x\n",
        "\nx",
        "a\nContent-Length: 5",
        "x\ud800",
        "\udcff",
    ],
)
def test_a_line_end_is_refused_wherever_it_comes_in(builder: str, value: str) -> None:
    with pytest.raises(UnsafeArgument):
        BUILDERS[builder][0](value)


@pytest.mark.parametrize("builder", sorted(BUILDERS.keys() - FREE_TEXT))
@pytest.mark.parametrize(
    "value",
    [
        "a b",
        "a;b",
        "a,b",
        "a{b",
        "a}b",
        "${a}",
        "${system(id)}",
        "a|b",
        "a'b",
        'a"b',
        "a&b()",
        "a/b",
        "a=b",
        "é",
        "\u0663",
    ],
)
def test_names_and_plain_values_have_a_narrow_alphabet(builder: str, value: str) -> None:
    with pytest.raises(UnsafeArgument):
        BUILDERS[builder][0](value)


@pytest.mark.parametrize(
    "name", ["all", "ALL", "All", "_all_", "_ALL_", "", " ", "a b", "a" * 121, "é", "a\n", "7/8", "../x"]
)
@pytest.mark.parametrize("builder", ["start gateway", "kill gateway", "one gateway"])
def test_a_gateway_is_one_gateway(builder: str, name: str) -> None:
    with pytest.raises(UnsafeArgument):
        BUILDERS[builder][0](name)


@pytest.mark.parametrize(
    "words", [["ALL"], ["all"], ["CUSTOM", "All"], ["CUSTOM ALL"], ["X\tALL"], [" ALL"], [""]]
)
def test_nobody_subscribes_to_everything(words: list[str]) -> None:
    with pytest.raises(UnsafeArgument):
        subscriptions.subscribe(words)


@pytest.mark.parametrize("argument", ["${x}", "a${x}", "$${x}", "set a=${system(id)}", "${"])
def test_an_argument_is_never_expanded(argument: str) -> None:
    with pytest.raises(UnsafeArgument):
        commands.execute("set", argument)
    with pytest.raises(UnsafeArgument):
        commands.go_on_with(("set", argument))


@pytest.mark.parametrize("body", ["a\nb", "a\rb", "a\0b", "\ud800"])
def test_a_body_is_one_line_of_text(body: str) -> None:
    with pytest.raises(UnsafeArgument):
        Command("sendmsg", body=body)
    with pytest.raises(UnsafeArgument):
        commands.execute("set", "x" * 100 + body)


@pytest.mark.parametrize("text", ["", "a\n\nb", "a\rb", "a\0b", "\n\n"])
def test_a_command_by_hand_is_checked_too(text: str) -> None:
    with pytest.raises(UnsafeArgument):
        Command(text)


@pytest.mark.parametrize(
    ("command", "encoded"),
    [
        (commands.auth(SecretStr("a b:c")), b"auth a b:c\n\n"),
        (commands.api("version"), b"api version\n\n"),
        (commands.all_gateways(), b"api sofia xmlstatus gateway\n\n"),
        (commands.one_gateway("7.a.b"), b"api sofia xmlstatus gateway 7.a.b\n\n"),
        (commands.start_gateway("external", "7.a.b"), b"api sofia profile external startgw 7.a.b\n\n"),
        (commands.start_new_gateways("external"), b"api sofia profile external startgw _all_\n\n"),
        (commands.register_gateway("external", "7.a.b"), b"api sofia profile external register 7.a.b\n\n"),
        (commands.kill_gateway("external", "7.a.b"), b"api sofia profile external killgw 7.a.b\n\n"),
        (commands.bgapi("status", "", UUID), f"bgapi status\nJob-UUID: {UUID}\n\n".encode()),
        (
            subscriptions.subscribe(["CUSTOM", "sofia::gateway_state"]),
            b"event json CUSTOM sofia::gateway_state\n\n",
        ),
        (commands.connect(), b"connect\n\n"),
        (commands.execute("answer"), b"sendmsg\ncall-command: execute\nexecute-app-name: answer\n\n"),
        (
            commands.execute("set", "a=b@c:d"),
            b"sendmsg\ncall-command: execute\nexecute-app-name: set\nexecute-app-arg: a=b@c:d\n\n",
        ),
        (
            commands.go_on_with(("sched_hangup", "1 ALLOTTED_TIMEOUT"), ("park", "")),
            b"sendmsg\ncall-command: xferext\napplication: sched_hangup 1 ALLOTTED_TIMEOUT\napplication: park\n\n",
        ),
        (
            commands.execute("multiset", "^^;é=" + "x" * 40),
            b"sendmsg\ncall-command: execute\nexecute-app-name: multiset\ncontent-type: text/plain\n"
            b"content-length: 46\n\n^^;\xc3\xa9=" + b"x" * 40,
        ),
        (commands.kill_channel(UUID), f"api uuid_kill {UUID} NORMAL_CLEARING\n\n".encode()),
    ],
)
def test_encoding(command: Command, encoded: bytes) -> None:
    assert command.encode() == encoded


def test_an_originate_string() -> None:
    assert _originate().text == (
        f"bgapi originate {{origination_uuid={UUID},origination_caller_id_number=1,outbound_redirect_fatal=true}}"
        f"sofia/external/+15551230001@127.0.0.1:5060 &park()\nJob-UUID: {UUID}"
    )


@pytest.mark.parametrize(
    "number", ["", "+", "1" * 33, "+1 555", "1;x", "15551230001\n", "\u0661\u0662", "\uff11", "²"]
)
def test_a_dialled_number_is_digits(number: str) -> None:
    with pytest.raises(UnsafeArgument):
        _originate(number=number)


def test_no_password_is_printed() -> None:
    command = commands.auth(SecretStr("canary-9f2c"))
    for shown in (repr(command), str(command), command.shown, f"{command!r}"):
        assert "canary" not in shown
    assert b"canary" in command.encode()


@pytest.mark.parametrize("password", ["canary\nx", "canary\0x", "canary\udcff"])
def test_a_refused_password_is_not_in_the_refusal(password: str) -> None:
    with pytest.raises(UnsafeArgument) as refusal:
        commands.auth(SecretStr(password))
    assert "canary" not in str(refusal.value)
    assert "canary" not in repr(refusal.value)


_hostile = st.text(
    alphabet=st.characters(codec=None) | st.sampled_from("\r\n\0\u2028\x85 ${}&|,;:'\"\\/%"), max_size=30
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(BUILDERS)), _hostile)
def test_no_value_adds_a_line(builder: str, value: str) -> None:
    """Either refused, or exactly the lines it should have and one empty line at the very end."""
    build, lines = BUILDERS[builder]
    try:
        encoded = build(value).encode()
    except UnsafeArgument:
        return
    if builder == "argument" and not value:
        lines -= 1
    assert encoded.endswith(b"\n\n")
    assert encoded[:-2].count(b"\n") == lines - 1
    assert b"\n\n" not in encoded[:-2]
    assert not encoded.startswith(b"\n") and encoded[-3:-2] != b"\n"
    assert b"\r" not in encoded and b"\0" not in encoded
    if builder == "argument":
        assert b"${" not in encoded


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(_hostile, _hostile, max_size=3))
def test_no_variable_leaves_its_braces(variables: dict[str, str]) -> None:
    try:
        text = commands.originate_variables(variables)
    except UnsafeArgument:
        return
    assert text[0] == "{" and text[-1] == "}"
    assert not set(text[1:-1]) & set("{}[]<>\\'\"$ \n\r")
    assert text.count(",") == max(0, len(variables) - 1)
    assert text.count("=") == len(variables)
