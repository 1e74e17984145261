"""Callers who stay on the line, on either kind of switch, and who take what comes: refusals, silence, a BYE."""

from __future__ import annotations

import abc
import contextlib
import os
import re
from typing import Any

import gevent
from gevent import socket

from fscontrol.simulator.invite_text import InviteRefused
from tests.invites import invite
from tests.switches import StandInSwitch, Switch
from tests.waiting import eventually

_PATIENCE = 20.0
_RESEND_SECONDS = 0.5


class Line(abc.ABC):
    """A call from its caller's side. `status` is the final one, None when none came."""

    status: int | None = None

    @abc.abstractmethod
    def hang_up(self) -> None:
        """The caller goes; once the call is over nothing happens."""

    @abc.abstractmethod
    def close(self) -> None:
        """Release what it holds."""


class StandInLine(Line):
    """On the stand-in, in this process."""

    def __init__(self, switch: StandInSwitch, number: str, caller: str, source: str) -> None:
        self._call: Any = None
        try:
            self._call = switch.stand_in.place_call(
                invite(number, caller=caller).encode(), source=(source, 5121)
            )
            self.status = self._call.wait_final(_PATIENCE)
        except InviteRefused as refused:
            self.status = refused.status
        except (OSError, TimeoutError):
            pass  # it died, before or meanwhile

    def hang_up(self) -> None:
        if self._call is not None:
            self._call.hangup()

    def close(self) -> None:
        pass  # the stand-in ends it with itself


class UdpLine(Line):
    """SIP by hand: one INVITE, its ACK, a BYE from either side."""

    def __init__(self, switch: Switch, number: str, caller: str, source: str) -> None:
        self._switch = ("127.0.0.1", switch.config.sip_port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((source, 0))
        self._number, self._caller = number, caller
        self._name = os.urandom(6).hex()
        self._to_tag = ""
        self._is_over = False
        self._branch = os.urandom(6).hex()
        self._heard = False
        self._ear = gevent.spawn(self._listen)
        sending = gevent.spawn(self._invite)
        with contextlib.suppress(AssertionError):  # nobody there
            eventually(lambda: self.status is not None, _PATIENCE)
        sending.kill()

    def hang_up(self) -> None:
        if self.status == 200 and not self._is_over:
            self._send("BYE", 2, os.urandom(6).hex())

    def close(self) -> None:
        self._ear.kill()
        self._socket.close()

    def _invite(self) -> None:
        host, _ = self._socket.getsockname()
        sdp = (
            f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
            "m=audio 41000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )
        while not self._heard:
            self._send("INVITE", 1, self._branch, sdp)
            gevent.sleep(_RESEND_SECONDS)  # timer A (RFC 3261 §17.1.1.2)

    def _send(self, method: str, cseq: int, branch: str, body: str = "") -> None:
        host, port = self._socket.getsockname()
        lines = [
            f"{method} sip:{self._number}@127.0.0.1:{self._switch[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{branch}",
            f"From: <sip:{self._caller}@{host}>;tag={self._name}",
            f"To: <sip:{self._number}@127.0.0.1>{self._to_tag}",
            f"Call-ID: {self._name}@{host}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:caller@{host}:{port}>",
            "Max-Forwards: 70",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self._socket.sendto("\r\n".join([*lines, "", body]).encode(), self._switch)

    def _listen(self) -> None:
        while True:
            try:
                message = self._socket.recv(65_536).decode("utf-8", "replace")
            except ConnectionRefusedError:
                continue  # what ICMP says of a dead FreeSWITCH
            self._heard = True
            if message.startswith("SIP/2.0 ") and "CSeq: 1 INVITE" in message:
                self._take_answer(int(message[8:11]), message)
            elif message.startswith("BYE "):
                kept = re.findall(r"^(?:Via|From|To|Call-ID|CSeq):.*", message, re.MULTILINE)
                lines = ["SIP/2.0 200 OK", *(line.strip() for line in kept), "Content-Length: 0", "", ""]
                self._socket.sendto("\r\n".join(lines).encode(), self._switch)
                self._is_over = True

    def _take_answer(self, status: int, message: str) -> None:
        if status < 200:
            return
        if tag := re.search(r"^To:.*;tag=([^;\s]+)", message, re.MULTILINE):
            self._to_tag = f";tag={tag[1]}"
        # The ACK to a refusal belongs to the INVITE's transaction, that to a 200 is one of its own.
        self._send("ACK", 1, os.urandom(6).hex() if status == 200 else self._branch)
        self.status = status


def place(switch: Switch, number: str, caller: str, source: str) -> Line:
    """Call, and wait for the final answer or the end of patience."""
    if isinstance(switch, StandInSwitch):
        return StandInLine(switch, number, caller, source)
    return UdpLine(switch, number, caller, source)
