"""A caller and an assistant hear each other, over a real FreeSWITCH and the relay."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fscontrol.cli.assistant_echo import StreamPeer
from fscontrol.simulator.freeswitch_process import find_freeswitch
from tests import bridge
from tests.conversations import Assistant, calling, conversation, media, says
from tests.tones import FRAME, sounds, tone
from tests.waiting import eventually, free_port

pytestmark = pytest.mark.freeswitch


@pytest.fixture(autouse=True)
def _needs_freeswitch() -> None:
    if find_freeswitch(os.environ) is None:
        pytest.skip("no FreeSWITCH: set FREESWITCH_BIN or put `freeswitch` on PATH")


@pytest.mark.parametrize("offers", [True, False], ids=["offer", "no offer"])
def test_both_hear_each_other(tmp_path: Path, offers: bool) -> None:
    assistant = Assistant()
    assistant.script["start"] = says(tone(1200, 200), mark="said")
    with conversation(tmp_path, assistant) as (running, _server):
        with calling(running, 500, offers=offers) as caller:
            eventually(lambda: sounds(caller.heard, 1200, 40))
            eventually(lambda: sounds(assistant.heard, 500, 40))
            eventually(lambda: assistant.events("mark"))
            (start,) = assistant.events("start")
            record = running.last_call()
            assert start["start"]["callSid"] == record["call_sid"]
            assert start["start"]["customParameters"] == {"To": "+15551230001", "From": "+15559876543"}
            assert assistant.peers[0].path == f"/streams?call={record['call_sid']}&to=%2B15551230001"
            caller.press(5)
            eventually(lambda: [m["dtmf"]["digit"] for m in assistant.events("dtmf")] == ["5"])
        eventually(lambda: assistant.events("stop"))
        figures = eventually(lambda: running.last_call()["media"])
        assert figures["datagrams_in"] > 40
        assert figures["strangers"] == figures["bad_messages"] == 0
        eventually(lambda: running.last_call()["status"] == "completed")


def test_clear_stops_what_is_being_said(tmp_path: Path) -> None:
    assistant = Assistant()
    assistant.script["start"] = says(tone(1200, 3000), mark="end")
    with conversation(tmp_path, assistant) as (running, _server), calling(running) as caller:
        eventually(lambda: sounds(caller.heard, 1200, 10))
        assistant.peers[0].send({"event": "clear"})
        eventually(lambda: [m["mark"]["name"] for m in assistant.events("mark")] == ["end"])
        eventually(lambda: set(caller.heard[-5 * FRAME :]) <= {0xFF, 0x7F})


def test_a_broken_stream_is_opened_again_once_and_then_the_call_ends(tmp_path: Path) -> None:
    assistant = Assistant()
    with conversation(tmp_path, assistant) as (running, _server), calling(running) as caller:
        eventually(lambda: len(assistant.events("start")) == 1)
        assistant.peers[0].close()
        eventually(lambda: len(assistant.events("start")) == 2)
        heard = len(assistant.heard)
        eventually(lambda: len(assistant.heard) > heard + 10 * FRAME)
        assistant.peers[1].close()
        eventually(lambda: caller.is_over)
        record = eventually(lambda: (call := running.last_call())["ended_at"] and call)
        assert (record["reason"], record["media"]["reconnects"]) == ("assistant_lost", 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stream_url": f"ws://127.0.0.1:{free_port()}/x"}, "assistant_lost"),
        ({"stream_first_audio_seconds": 0.5}, "assistant_silent"),
    ],
)
def test_an_assistant_that_is_not_there_or_says_nothing(
    changes: dict[str, object], reason: str, tmp_path: Path
) -> None:
    with conversation(tmp_path, Assistant(), **changes) as (running, _server), calling(running) as caller:
        eventually(lambda: caller.is_over)
        record = eventually(lambda: (call := running.last_call())["ended_at"] and call)
        assert record["reason"] == reason


def test_rubbish_from_the_assistant_ends_nothing_at_once(tmp_path: Path) -> None:
    assistant = Assistant()
    rubbish = [
        "no json",
        "[]",
        '{"event":"media"}',
        '{"event":"media","media":{"payload":"%%%"}}',
        '{"event":"later"}',
        '{"event":7}',
    ]

    def start(peer: StreamPeer, _message: dict[str, Any]) -> None:
        for text in rubbish:
            peer.send_text(text)
        peer.send(media(tone(1200, 100)))

    assistant.script["start"] = start
    with conversation(tmp_path, assistant) as (running, _server), calling(running) as caller:
        eventually(lambda: sounds(caller.heard, 1200, 10))
        caller.hang_up()
        assert eventually(lambda: running.last_call()["media"])["bad_messages"] == 5


def test_a_restarted_control_plane_takes_a_call_up_again(tmp_path: Path) -> None:
    assistant = Assistant()
    with conversation(tmp_path, assistant) as (running, _server), calling(running) as caller:
        eventually(lambda: len(assistant.events("start")) == 1)
        running.application.stop()
        settings = running.application.settings
        with bridge.running_application(settings):
            eventually(lambda: len(assistant.events("start")) == 2)
            heard = len(assistant.heard)
            eventually(lambda: len(assistant.heard) > heard + 10 * FRAME)
            assert not caller.is_over
