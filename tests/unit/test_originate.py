"""The originate string: every field with whatever somebody may send is one command of the right form, or refused."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fscontrol.errors import UnsafeArgument
from fscontrol.esl.originate import Dial, originate, why_unusable
from fscontrol.model.trunk import Trunk
from fscontrol.provisioning.push_warnings import warnings_of_trunk

UUID = "5a3c6f8e-1111-4222-8333-0123456789ab"
PLAIN = Dial(UUID, "sip-1", "7.a.b", "+15559876543", "+15551230001", ring_seconds=60, progress_seconds=20)
FORM = re.compile(
    r"bgapi originate \{[a-zA-Z_][\w\-]*=[^{}\[\]<>,|'\"\\$`\r\n\0 ]*(?:\\s[^{}\[\]<>,|'\"\\$`\r\n\0 ]*)*"
    r"(?:,[a-zA-Z_][\w\-]*=[^{}\[\]<>,|'\"\\$`\r\n\0 ]*(?:\\s[^{}\[\]<>,|'\"\\$`\r\n\0 ]*)*)*\}"
    r"sofia/gateway/[\w.\-]+/[0-9*#]*\+?[0-9]+ park XML fscontrol\nJob-UUID: [0-9a-f\-]+\n\n"
)
POISON: tuple[str, ...] = (
    "{",
    "}",
    "[",
    "]",
    "<",
    ">",
    ",",
    "|",
    ":_:",
    "${sip_h_X}",
    "${system(id)}",
    "'",
    '"',
    "\\",
    "\n",
    "\r\n",
)
POISON += ("\0", "&park()", "^^,", "\u2028", "&hangup")
POISON_OF_NAMES = ("%0a", "%0d%0a", "%22", "%")
HARMLESS_IN_TEXT = (" ", " park XML public", "=", "é", "sofia/external/x@y")
ANYTHING = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.one_of(
            st.sampled_from(POISON + POISON_OF_NAMES + HARMLESS_IN_TEXT), st.text("+0159aZ._-", max_size=6)
        ),
        max_size=6,
    ).map("".join),
)
FIELDS = ("uuid", "call_sid", "gateway", "number", "caller_id", "display_name", "dtmf_mode", "numbers")


def changed(field: str, text: str) -> Dial:
    if field == "codec":
        return replace(PLAIN, codecs=("PCMU", text))
    if field == "header":
        return replace(PLAIN, headers={"X-A": text})
    if field == "header name":
        return replace(PLAIN, headers={text: "a"})
    fields: dict[str, Any] = {field: text}
    return replace(PLAIN, **fields)


@settings(max_examples=2000, deadline=None)
@given(st.sampled_from((*FIELDS, "codec", "header", "header name")), ANYTHING)
def test_one_command_of_the_right_form_or_a_refusal(field: str, text: str) -> None:
    try:
        sent = originate(changed(field, text)).encode().decode()
    except UnsafeArgument:
        return
    assert FORM.fullmatch(sent), sent
    assert ":_:" not in sent
    assert field != "display_name" or "%" not in sent
    assert sent.count("\n") == 3


@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize(
    "field", ["number", "caller_id", "display_name", "header", "header name", "codec", "gateway"]
)
def test_every_poison_is_refused_everywhere(field: str, poison: str) -> None:
    with pytest.raises(UnsafeArgument):
        originate(changed(field, f"a{poison}b" if field not in ("number", "caller_id") else f"1{poison}2"))


@pytest.mark.parametrize("name", [*(f"a{poison}b" for poison in POISON_OF_NAMES), "a:_:b"])
def test_a_name_that_would_leave_its_header_is_refused_and_its_sender_told(name: str) -> None:
    with pytest.raises(UnsafeArgument):
        originate(replace(PLAIN, display_name=name))
    assert why_unusable(name, {})
    trunk = Trunk(id="a", name="a", gateway="a.example.com", display_name=name)
    (said,) = warnings_of_trunk(trunk)
    assert said.startswith("no call can leave by it: ")


def test_a_header_that_would_make_several_calls_is_told_to_its_sender() -> None:
    assert why_unusable("", {"X-A": "a:_:b"})
    assert not why_unusable("Acme", {"X-A": "100%25"})


def test_several_calls_are_never_one_string_however_the_words_are_split() -> None:
    with pytest.raises(UnsafeArgument):
        originate(replace(PLAIN, codecs=("PCMU", "_", "PCMA")))


def test_what_is_sent() -> None:
    dial = replace(
        PLAIN, display_name="Acme Inc.", codecs=("PCMA", "PCMU"), headers={"X-A": "b c;d=e"}, dtmf_mode="info"
    )
    assert originate(dial).text == (
        "bgapi originate {origination_uuid=" + UUID + ",fscontrol_call_sid=sip-1,"
        "origination_caller_id_number=+15551230001,outbound_redirect_fatal=true,origination_caller_id_name=Acme\\sInc.,originate_timeout=60,"
        "ignore_early_media=true,absolute_codec_string=^^:PCMA:PCMU,dtmf_type=info,sip_h_X-A=b\\sc;d=e}"
        "sofia/gateway/7.a.b/+15559876543 park XML fscontrol\nJob-UUID: " + UUID
    )


@pytest.mark.parametrize(
    "name",
    [
        "Via",
        "from",
        "Content-Length",
        "Route",
        "Proxy-Authorization",
        "t",
        "P-Asserted-Identity",
        "p-preferred-identity",
        "Remote-Party-ID",
        "Diversion",
        "Privacy",
        "Identity",
        "y",
    ],
)
def test_headers_of_sips_own_are_refused(name: str) -> None:
    with pytest.raises(UnsafeArgument):
        originate(replace(PLAIN, headers={name: "x"}))


def test_what_a_trunk_may_hold_is_not_always_what_can_be_sent() -> None:
    trunk = Trunk(id="a", name="a", gateway="a.example.com", headers={"X-A": "<sip:a@b>"})
    with pytest.raises(UnsafeArgument):
        originate(replace(PLAIN, headers=trunk.headers))
