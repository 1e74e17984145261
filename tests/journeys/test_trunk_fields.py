"""The optional fields of a trunk, each by its effect on a call."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fscontrol.esl import commands
from tests import bridge, on_the_line, switches
from tests.bridge import Bridge, trunk
from tests.call_backend import CallBackend
from tests.conversations import Assistant, calling, conversation
from tests.invites import invite
from tests.journeys.test_call_control import Operator
from tests.on_the_line import SippCaller
from tests.waiting import eventually

NUMBER = {"id": 1, "phone_number": "+15551230001", "assistant_id": 123}
AUDIO = "m=audio 41000 RTP/AVP 0 8 101"
SECURE = "m=audio 41000 RTP/SAVP 0 8 101"
CRYPTO = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"


@pytest.fixture(scope="module")
def backend() -> Iterator[CallBackend]:
    running = CallBackend()
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module", params=switches.BOTH)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, backend: CallBackend
) -> Iterator[Bridge]:
    with bridge.running(request.param, tmp_path_factory.mktemp("fields"), backend_url=backend.url) as running:
        yield running


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with bridge.running("freeswitch", tmp_path_factory.mktemp("fields")) as running:
        yield running


def push(running: Bridge, **fields: object) -> None:
    trunks = [trunk("pbx", "127.0.0.1:5099", register=False, **fields)]
    status, answered = running.sync({"organization_id": 7, "trunks": trunks, "phone_numbers": [NUMBER]})
    assert (status, answered["warnings"]) == (200, [])


def offering(audio: str, *attributes: str) -> str:
    """The usual INVITE with another offer of audio."""
    return invite("+15551230001").replace(AUDIO, "\n".join([audio, *attributes]))


@contextlib.contextmanager
def answered(running: Bridge, text: str = "") -> Iterator[SippCaller]:
    """A caller on the wire, who was answered."""
    with on_the_line.call(running.switch, text=text) as caller:
        assert isinstance(caller, SippCaller)
        yield caller
    eventually(lambda: running.last_call()["ended_at"])


@pytest.mark.parametrize("parked_again", [False, True])
def test_max_call_seconds_ends_the_call_wherever_it_has_been(both: Bridge, parked_again: bool) -> None:
    push(both, max_call_seconds=3)
    with on_the_line.call(both.switch) as caller:
        call = eventually(lambda: (last := both.last_call())["status"] == "in-progress" and last)
        if parked_again:
            both.application.nodes["fs1"].request(commands.park_again(call["uuid"]))
        eventually(lambda: caller.was_sent("BYE"))
        record = eventually(lambda: (last := both.last_call())["ended_at"] and last)
    assert (record["call_sid"], record["status"]) == (call["call_sid"], "completed")
    assert record["hangup_cause"] == "ALLOTTED_TIMEOUT"


def test_headers_to_variables_reach_the_record_and_the_prewarm(both: Bridge, backend: CallBackend) -> None:
    push(both, headers_to_variables={"X-Customer-Id": "customer_id", "User-Agent": "agent", "X-None": "none"})
    text = invite("+15551230001", "X-Customer-Id: cust ${uuid} 42", "User-Agent: PBX/1.0")
    assert both.switch.call(text) == 200
    told = {"customer_id": "cust ${uuid} 42", "agent": "PBX/1.0"}
    record = eventually(lambda: (last := both.last_call())["ended_at"] and last)
    assert record["variables"] == told
    asked = [body for body in backend.at("/sip-prewarm") if body["call_sid"] == record["call_sid"]]
    assert [body["variables"] for body in asked] == [told]


def test_a_trunk_without_them_tells_nothing(both: Bridge) -> None:
    push(both)
    assert both.switch.call(invite("+15551230001", "X-Customer-Id: cust-42")) == 200
    record = eventually(lambda: (last := both.last_call())["ended_at"] and last)
    assert record["variables"] == {}


@pytest.mark.freeswitch
def test_headers_to_variables_reach_the_assistant(tmp_path: Path) -> None:
    assistant = Assistant()
    with conversation(tmp_path, assistant) as (running, _server):
        push(running, headers_to_variables={"Max-Forwards": "hops"})
        with calling(running):
            (start,) = eventually(lambda: assistant.events("start"))
    told = {"To": "+15551230001", "From": "+15559876543", "hops": "70"}
    assert start["start"]["customParameters"] == told


@pytest.mark.parametrize(("refer", "status"), [(False, 422), (None, 200), (True, 200)])
def test_refer_false_refuses_a_transfer_by_refer(both: Bridge, refer: bool | None, status: int) -> None:
    push(both, refer=refer)
    with on_the_line.call(both.switch) as caller:
        operator = Operator(both, caller)
        got, answer = operator.does("transfer", sip_uri="sip:other@192.0.2.9", method="refer")
        assert got == status
        if status == 422:
            assert answer["problems"][0]["path"] == "method"
            assert operator.does("hold")[0] == 200, "the call goes on"
            eventually(lambda: caller.was_sent("INVITE"))
        assert caller.was_sent("REFER") is (status == 200)
    eventually(lambda: both.last_call()["ended_at"])


@pytest.mark.parametrize(
    ("encryption", "audio", "status"),
    [
        ("off", SECURE, 488),
        ("optional", SECURE, 200),
        ("required", SECURE, 200),
        ("off", AUDIO, 200),
        ("optional", AUDIO, 200),
        ("required", AUDIO, 488),
    ],
)
def test_media_encryption_decides_who_is_answered(
    both: Bridge, encryption: str, audio: str, status: int
) -> None:
    push(both, media_encryption=encryption)
    assert both.switch.call(offering(audio, *([CRYPTO] if audio is SECURE else []))) == status
    record = eventually(lambda: (last := both.last_call())["ended_at"] and last)
    assert record["reason"] == ("" if status == 200 else "media_not_allowed")


@pytest.mark.freeswitch
@pytest.mark.parametrize(
    ("encryption", "audio", "profile"),
    [
        ("off", AUDIO, "RTP/AVP"),
        ("optional", AUDIO, "RTP/AVP"),
        ("optional", SECURE, "RTP/SAVP"),
        ("required", SECURE, "RTP/SAVP"),
    ],
)
def test_media_encryption_is_what_is_answered(
    real: Bridge, encryption: str, audio: str, profile: str
) -> None:
    push(real, media_encryption=encryption)
    # Keys in a plain offer are an old way of saying "encrypted, if you can".
    with answered(real, offering(audio, CRYPTO)) as caller:
        assert re.search(rf"^m=audio \d+ {profile} ", caller.answer, re.MULTILINE)
        assert ("a=crypto:" in caller.answer) is (audio is SECURE)


@pytest.mark.freeswitch
@pytest.mark.parametrize(
    ("codecs", "payload"),
    [([], "0"), (["PCMU"], "0"), (["PCMA"], "8"), (["PCMA", "PCMU"], "8"), (["PCMU", "PCMA"], "0")],
)
def test_codecs_choose_what_is_answered(real: Bridge, codecs: list[str], payload: str) -> None:
    push(real, codecs=codecs)
    with answered(real) as caller:
        answer = re.search(r"^m=audio \d+ RTP/AVP (\d+)", caller.answer, re.MULTILINE)
        assert answer is not None
        assert answer[1] == payload


@pytest.mark.freeswitch
def test_a_caller_without_one_of_the_codecs_is_not_answered(real: Bridge) -> None:
    push(real, codecs=["PCMA"])
    only_pcmu = offering(AUDIO.replace(" 8", "")).replace("a=rtpmap:8 PCMA/8000\n", "")
    assert real.switch.call(only_pcmu) == 488
    push(real)
    assert real.switch.call(only_pcmu) == 200


@pytest.mark.freeswitch
@pytest.mark.parametrize(
    ("mode", "by_info", "digits"),
    [(None, False, "42"), ("rfc2833", False, "42"), ("info", True, "42"), ("none", False, "")],
)
def test_dtmf_mode_is_how_digits_are_sent(real: Bridge, mode: str | None, by_info: bool, digits: str) -> None:
    push(real, dtmf_mode=mode)
    with answered(real) as caller:
        operator = Operator(real, caller)
        assert operator.does("dtmf", digits="42")[0] == 200
        if digits:
            eventually(lambda: caller.digits == digits)
        assert operator.does("hold")[0] == 200
        eventually(lambda: caller.was_sent("INVITE sendonly"))
        assert (caller.digits, caller.was_sent("INFO")) == (digits, by_info)
        assert ("telephone-event" in caller.answer) is (mode in (None, "rfc2833"))
