"""A caller who stays on the line: what he is sent over SIP and RTP, and what he does meanwhile.

`call` places one on either kind of switch. On the real one SIPp does the signalling and answers whatever comes, and a
socket of ours is the telephone's ear and mouth; on the stand-in the leg itself tells what it would have sent.
"""

from __future__ import annotations

import abc
import contextlib
import itertools
import re
import socket as plain_socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import gevent
from gevent import socket

from fscontrol.simulator.server import PlacedCall
from tests import sipp
from tests.invites import invite
from tests.switches import StandInSwitch, Switch
from tests.waiting import eventually, free_port

_DIGITS = "0123456789*#ABCD"
_EVENT_PAYLOAD = 101
_FRAME = 160
_NUMBERS = itertools.count(1)
_RECEIVED = re.compile(r"message received .*?\n\n(.*?)(?=\n-{20,} \d{4}-|\Z)", re.DOTALL)
_SIGNAL = re.compile(r"^Signal=(.)", re.MULTILINE)
_MODE = re.compile(r"^a=(sendonly|recvonly|inactive|sendrecv)\s*$", re.MULTILINE)


class Caller(abc.ABC):
    """Somebody who was answered."""

    @property
    @abc.abstractmethod
    def requests(self) -> list[str]:
        """What he was sent since, such as `INVITE sendonly`, `REFER sip:x@y`, `BYE`, in order."""

    @property
    @abc.abstractmethod
    def digits(self) -> str:
        """The DTMF he was sent."""

    @property
    @abc.abstractmethod
    def hears(self) -> bool:
        """Whether sound reached him within the last moments."""

    @abc.abstractmethod
    def leave(self) -> None:
        """Be gone."""

    def was_sent(self, beginning: str) -> bool:
        """Whether some request began like that."""
        return any(request.startswith(beginning) for request in self.requests)


class SippCaller(Caller):
    """SIPp and a UDP socket."""

    def __init__(self, switch: Switch, text: str, work: Path, source: str, hold: str, refer: int) -> None:
        work.mkdir(parents=True)
        self._messages = work / "messages.log"
        self._switch = f"127.0.0.1:{switch.config.sip_port}"
        self._ear = socket.socket(plain_socket.AF_INET, plain_socket.SOCK_DGRAM)
        self._ear.bind((source, 0))
        self._loud_frames = 0
        self._heard: list[tuple[int, int]] = []
        scenario = work / "scenario.xml"
        scenario.write_text(_scenario(text, self._ear.getsockname()[1], hold, refer), "utf-8")
        program = sipp.find_sipp()
        assert program is not None
        command = [program, "-sf", str(scenario), "-i", source, "-p", str(free_port(plain_socket.SOCK_DGRAM))]
        command += ["-m", "1", "-nostdin", "-trace_msg", "-message_file", str(self._messages)]
        command += [
            "-trace_err",
            "-error_file",
            str(work / "errors.log"),
            f"127.0.0.1:{switch.config.sip_port}",
        ]
        with (work / "output.log").open("wb") as output:
            self._process = subprocess.Popen(
                command, cwd=work, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            port = eventually(self._far_port)
        except AssertionError as error:
            self.leave()
            raise RuntimeError(f"not answered: {self._log()[-2000:]}") from error
        self._greenlets = [gevent.spawn(self._listen), gevent.spawn(self._speak, port)]

    @property
    def requests(self) -> list[str]:
        found = []
        for message in self._received():
            method, _, _uri = message.partition(" ")
            if method in ("INVITE", "REFER", "BYE", "INFO", "UPDATE"):
                refer_to = re.search(r"^Refer-To: *<?([^>\r\n]*)", message, re.MULTILINE | re.IGNORECASE)
                mode = _MODE.search(message)
                detail = refer_to[1] if refer_to else mode[1] if mode else ""
                found.append(f"{method} {detail}".strip())
        return found

    @property
    def digits(self) -> str:
        # FreeSWITCH takes INFO (application/dtmf-relay) for what it is told to send while a re-INVITE is under way,
        # when its audio "is not ready", and events in RTP after that.
        by_info = "".join(
            signal[1]
            for message in self._received()
            if message.startswith("INFO ") and (signal := _SIGNAL.search(message))
        )
        return by_info + "".join(_DIGITS[event] for event, _ in dict.fromkeys(self._heard))

    @property
    def hears(self) -> bool:
        before = self._loud_frames
        gevent.sleep(0.3)
        return self._loud_frames - before > 5

    def leave(self) -> None:
        for greenlet in getattr(self, "_greenlets", ()):
            greenlet.kill()
        if not self.was_sent("BYE"):
            self._say_goodbye()
        self._process.kill()  # SIPp takes a SIGTERM as a wish, and waits for its call
        self._process.wait(10)
        self._ear.close()

    def _say_goodbye(self) -> None:
        """BYE in SIPp's dialog, from a socket of our own: its scenario only listens."""
        answers = [message for message in self._received() if message.startswith("SIP/2.0 200")]
        if not answers:
            return
        head = [
            line for line in answers[0].splitlines() if line.lower().startswith(("from:", "to:", "call-id:"))
        ]
        lines = [f"BYE sip:service@{self._switch} SIP/2.0", *head, "CSeq: 9 BYE", "Max-Forwards: 70"]
        via = f"Via: SIP/2.0/UDP 127.0.0.1:{self._ear.getsockname()[1]};branch=z9hG4bK-goodbye"
        text = "\r\n".join([lines[0], via, *lines[1:], "Content-Length: 0", "", ""])
        host, _, port = self._switch.rpartition(":")
        self._ear.sendto(text.encode(), (host, int(port)))

    def _log(self) -> str:
        return (
            self._messages.read_text("utf-8", "replace").replace("\r\n", "\n")
            if self._messages.exists()
            else ""
        )

    def _received(self) -> list[str]:
        return _RECEIVED.findall(self._log())

    @property
    def answer(self) -> str:
        """The 200 to his INVITE, whole."""
        return next((text for text in self._received() if text.startswith("SIP/2.0 200")), "")

    def _far_port(self) -> int:
        port = re.search(r"^m=audio (\d+)", self.answer, re.MULTILINE)
        return int(port[1]) if port else 0

    def _listen(self) -> None:
        while True:
            packet = self._ear.recv(2048)
            if len(packet) < 12:
                continue
            payload = packet[1] & 0x7F
            if payload == _EVENT_PAYLOAD:
                self._heard.append((packet[12], struct.unpack("!I", packet[4:8])[0]))
            elif payload == 0 and sum(byte not in (0xFF, 0x7F) for byte in packet[12:]) > _FRAME // 4:
                self._loud_frames += 1

    def _speak(self, port: int) -> None:
        """A square tone of 400 Hz in µ-law, a packet each 20 ms."""
        tone = (b"\x90" * 10 + b"\x10" * 10) * (_FRAME // 20)
        for number in range(1 << 30):
            head = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, (number * _FRAME) & 0xFFFFFFFF, 0x1234)
            with contextlib.suppress(OSError):
                self._ear.sendto(head + tone, ("127.0.0.1", port))
            gevent.sleep(0.02)


class StandInCaller(Caller):
    """A call placed inside the stand-in."""

    def __init__(self, call: PlacedCall, hold: str) -> None:
        self.placed = call
        if call.wait_final(15.0) != 200:
            raise RuntimeError(f"not answered: {call.statuses}")
        eventually(lambda: call.application == "park")
        if hold:
            call.hold()

    @property
    def requests(self) -> list[str]:
        ended_by_us = self.placed.variables.get("sip_hangup_disposition") == "send_bye"
        return [*self.placed.live.requests, *(["BYE"] if ended_by_us else [])]

    @property
    def digits(self) -> str:
        return self.placed.live.digits

    @property
    def hears(self) -> bool:
        return bool(self.placed.live.playing)

    def leave(self) -> None:
        self.placed.hangup()


@contextlib.contextmanager
def call(
    switch: Switch,
    number: str = "+15551230001",
    *,
    source: str = "127.0.0.1",
    hold: str = "",
    refer: int = 202,
    text: str = "",
) -> Iterator[Caller]:
    """A call that was answered. `hold`: he puts us on hold at once, by `sendonly`, `inactive` or `0.0.0.0`.

    `refer`: what he answers to REFER. `text`: his INVITE, where it is not the usual one.
    """
    caller: Caller
    if isinstance(switch, StandInSwitch):
        placed = switch.stand_in.place_call((text or invite(number)).encode(), source=(source, 5121))
        placed.live.refer_status = refer
        caller = StandInCaller(placed, hold)
    else:
        work = switch.work / "on_the_line" / str(next(_NUMBERS))
        caller = SippCaller(switch, text or invite(number), work, source, hold, refer)
    try:
        yield caller
    finally:
        caller.leave()


def _scenario(text: str, media_port: int, hold: str, refer: int) -> str:
    text, from_line, to_line = sipp.made_true(re.sub(r"m=audio \d+", f"m=audio {media_port}", text))
    body = text.partition("\n\n")[2]
    held_body = (
        ""
        if not hold
        else (
            body.replace("c=IN IP4 127.0.0.1", f"c=IN IP4 {hold}")
            if hold[0].isdigit()
            else f"{body}\na={hold}"
        )
    )
    dialog = {"from_line": from_line, "to_line": to_line}
    held = _HOLD.format(**dialog, body=held_body) if hold else ""
    return _SCENARIO.format(**dialog, invite=text, body=body, hold=held, refer=refer)


_DIALOG = """Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
{from_line}
{to_line}[peer_tag_param]
Call-ID: [call_id]
Contact: <sip:pbx@[local_ip]:[local_port]>
Max-Forwards: 70"""
_HOLD = f"""<pause milliseconds="300"/>
  <send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
{_DIALOG}
CSeq: 2 INVITE
Content-Type: application/sdp
Content-Length: [len]

{{body}}
]]></send>
  <recv response="100" optional="true"/>
  <recv response="200"/>
  <send><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
{_DIALOG}
CSeq: 2 ACK
Content-Length: 0

]]></send>"""
_ANSWER = """[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:pbx@[local_ip]:[local_port]>"""
_SCENARIO = f"""<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="on the line">
  <send retrans="500"><![CDATA[
{{invite}}
]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="200"/>
  <send><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
{_DIALOG}
CSeq: 1 ACK
Content-Length: 0

]]></send>
  {{hold}}
  <label id="listen"/>
  <recv request="INVITE" optional="true" next="reinvited"/>
  <recv request="REFER" optional="true" next="referred"/>
  <recv request="INFO" optional="true" next="informed"/>
  <recv request="ACK" optional="true" next="listen"/>
  <recv request="BYE"/>
  <send><![CDATA[
SIP/2.0 200 OK
{_ANSWER}
Content-Length: 0

]]></send>
  <nop next="end"/>
  <label id="reinvited"/>
  <send next="listen"><![CDATA[
SIP/2.0 200 OK
{_ANSWER}
Content-Type: application/sdp
Content-Length: [len]

{{body}}
]]></send>
  <label id="referred"/>
  <send next="listen"><![CDATA[
SIP/2.0 {{refer}} So
{_ANSWER}
Content-Length: 0

]]></send>
  <label id="informed"/>
  <send next="listen"><![CDATA[
SIP/2.0 200 OK
{_ANSWER}
Content-Length: 0

]]></send>
  <label id="end"/>
  <timewait milliseconds="50"/>
</scenario>
"""
