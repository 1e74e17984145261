"""A log line says which call and which request it is about, in whatever greenlet it is written."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fscontrol.telemetry import correlation, logs
from fscontrol.telemetry.greenlets import spawn


@contextmanager
def about(sid: str) -> Iterator[None]:
    before = correlation.call_sid()
    correlation.begin_call(sid)
    try:
        yield
    finally:
        correlation.begin_call(before)


def line(message: str = "x", **extra: object) -> dict[str, object]:
    record = logging.LogRecord("fscontrol.x", logging.INFO, "", 0, message, (), None)
    record.__dict__.update(extra)
    shown: dict[str, object] = json.loads(logs.JsonFormatter().format(record))
    return shown


def test_a_line_says_its_call_unless_it_names_another() -> None:
    assert "call_sid" not in line()
    with about("sip-1"):
        assert line()["call_sid"] == "sip-1"
        assert line(call_sid="sip-2")["call_sid"] == "sip-2"
        with about(""):
            assert "call_sid" not in line()
    assert "call_sid" not in line()


def test_a_greenlet_spawned_for_a_call_is_about_it_and_others_are_not() -> None:
    found: dict[str, object] = {}

    def note(name: str) -> None:
        found[name] = correlation.call_sid()

    with about("sip-1"):
        inside = spawn("inside", note, "inside")
    outside = spawn("outside", note, "outside")
    inside.join()
    outside.join()
    assert found == {"inside": "sip-1", "outside": ""}


def test_a_name_that_has_to_be_looked_for_is_looked_for_by_who_asks() -> None:
    asked: list[str] = []
    found: list[str] = []

    def look() -> str:
        asked.append("once")
        return "sip-1"

    with about(""):
        correlation.begin_call(look)
        assert asked == []
        assert line()["call_sid"] == "sip-1"
        spawn("inside", lambda: found.append(correlation.call_sid())).join()
    assert found == ["sip-1"]


@pytest.mark.parametrize("name", ["abc", "0190-a_b.c:d", "a" * 100])
def test_a_harmless_name_is_kept(name: str) -> None:
    try:
        assert correlation.begin_request(name, name) == name
        assert (line()["request_id"], line()["call_sid"]) == (name, name)
    finally:
        correlation.end_request()
    assert not {"request_id", "call_sid"} & line().keys()


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "-x", "é", "a" * 101, "${x}", '"', "a\u2028b"])
def test_any_other_is_not(name: str) -> None:
    try:
        made = correlation.begin_request(name, name)
        assert made != name and len(made) == 16
        assert "call_sid" not in line()
    finally:
        correlation.end_request()


def test_a_terminal_sees_it_too() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.TextFormatter())
    logger = logging.getLogger("fscontrol.test-correlation")
    logger.addHandler(handler)
    with about("sip-1"):
        logger.warning("said")
    assert "call_sid=sip-1" in stream.getvalue()
