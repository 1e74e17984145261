"""A call on the socket while something else is done for it: it is watched, and whatever comes of it breaks that off."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gevent
import pytest
from gevent import socket

from fscontrol.errors import CallerGone, EslProtocolError
from fscontrol.esl.call_socket import CallSession
from tests.waiting import eventually

OK = b"Content-Type: command/reply\nReply-Text: +OK\n\n"
NOTICE = b"Content-Type: text/disconnect-notice\nContent-Length: 4\n\nBye\n"


class Call:
    """FreeSWITCH's end of it, and ours."""

    def __init__(self) -> None:
        self.theirs, ours = socket.socketpair()
        self.session = CallSession(("127.0.0.1", 1), ours, time.monotonic() + 20)
        self.ended = 0

    def work(self) -> str:
        """Ends when it is broken off."""
        try:
            gevent.sleep(20)
        except Exception:
            return "took it for a failure of its own"
        finally:
            self.ended += 1
        return "done"


@pytest.fixture
def call() -> Iterator[Call]:
    made = Call()
    yield made
    made.session.stop()
    made.theirs.close()


def test_what_was_done_is_returned(call: Call) -> None:
    assert call.session.run_unless_gone(lambda: "done", 20) == "done"


def test_a_failure_of_the_work_is_its_own(call: Call) -> None:
    with pytest.raises(ZeroDivisionError):
        call.session.run_unless_gone(lambda: 1 // 0, 20)


def test_what_takes_too_long_is_broken_off(call: Call) -> None:
    assert call.session.run_unless_gone(call.work, 0.01) is None
    assert call.ended == 1


def test_another_ones_timeout_is_not_ours(call: Call) -> None:
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
        call.session.run_unless_gone(call.work, 20)


@pytest.mark.parametrize("said", [NOTICE, b""])
def test_a_call_that_ends_breaks_the_work_off(call: Call, said: bytes) -> None:
    waiting = gevent.spawn(call.session.run_unless_gone, call.work, 20)
    gevent.sleep(0)
    call.theirs.sendall(said)
    call.theirs.close()
    eventually(waiting.ready)
    assert isinstance(waiting.exception, CallerGone)
    assert call.ended == 1


def test_half_a_notice_is_waited_for(call: Call) -> None:
    waiting = gevent.spawn(call.session.run_unless_gone, call.work, 20)
    gevent.sleep(0)
    call.theirs.sendall(NOTICE[:20])
    eventually(lambda: call.ended)
    assert not waiting.ready()
    call.theirs.sendall(NOTICE[20:])
    eventually(waiting.ready)
    assert isinstance(waiting.exception, CallerGone)


def test_the_works_time_does_not_bound_the_rest_of_a_notice(call: Call) -> None:
    waiting = gevent.spawn(call.session.run_unless_gone, call.work, 0.1)
    gevent.sleep(0)
    call.theirs.sendall(NOTICE[:20])
    eventually(lambda: call.ended)
    waiting.join(0.3)
    assert not waiting.ready()
    call.theirs.sendall(NOTICE[20:])
    eventually(waiting.ready)
    assert isinstance(waiting.exception, CallerGone)


def test_a_notice_that_came_with_the_last_reply_counts(call: Call) -> None:
    call.theirs.sendall(OK + NOTICE)
    call.session.execute("ring_ready")
    with pytest.raises(CallerGone):
        call.session.run_unless_gone(call.work, 20)
    assert call.ended == 0


def test_a_reply_that_nobody_asked_for_ends_it(call: Call) -> None:
    waiting = gevent.spawn(call.session.run_unless_gone, call.work, 20)
    gevent.sleep(0)
    call.theirs.sendall(OK)
    eventually(waiting.ready)
    assert isinstance(waiting.exception, EslProtocolError)
