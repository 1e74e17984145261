"""SIPp as the caller: any INVITE text, its final status, over the wire."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.invites import SDP

FINALS = (403, 404, 480, 486, 488, 500, 503, 600, 603)
_STATUS = re.compile(r"^SIP/2\.0 (\d{3}) ", re.MULTILINE)

_SCENARIO = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="invite">
  <send retrans="500"><![CDATA[
{invite}
]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  {refusals}
  <recv response="200"/>
  <send><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
{from_line}
{to_line}[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
{answer}
]]></send>
  <pause milliseconds="{talk}"/>
  <send retrans="500"><![CDATA[
BYE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
{from_line}
{to_line}[peer_tag_param]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
  <recv response="200" next="end"/>
  <label id="refused"/>
  <send next="end"><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch-{back}]
{from_line}
{to_line}[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
  <label id="end"/>
  <timewait milliseconds="50"/>
</scenario>
"""


def find_sipp() -> str | None:
    """SIPp on PATH, or None."""
    return shutil.which("sipp")


def place(
    invite: str,
    host: str,
    port: int,
    work: Path,
    *,
    source: str = "127.0.0.1",
    talk_ms: int = 100,
    answer: str | None = None,
) -> int:
    """Send an INVITE as written (its Call-ID, Via, Contact and length made true) and return the final status.

    An answered call talks for `talk_ms` and ends with BYE, its own or ours. The ACK has `answer`; None: an SDP where
    the INVITE has none. Raises RuntimeError when there was no final answer.
    """
    work.mkdir(parents=True, exist_ok=True)
    scenario, messages = work / "scenario.xml", work / "messages.log"
    messages.unlink(missing_ok=True)
    if answer is None:
        answer = "" if invite.partition("\n\n")[2].strip() else SDP
    scenario.write_text(_scenario(invite, talk_ms, answer), "utf-8")
    sipp = find_sipp()
    assert sipp is not None
    command = [
        sipp,
        "-sf",
        str(scenario),
        "-i",
        source,
        "-m",
        "1",
        "-nostdin",
        "-timeout",
        "20s",
        "-trace_msg",
    ]
    command += ["-message_file", str(messages), "-recv_timeout", "15000", f"{host}:{port}"]
    result = subprocess.run(command, cwd=work, capture_output=True, timeout=40, check=False)
    seen = (
        [int(code) for code in _STATUS.findall(messages.read_text("utf-8", "replace"))]
        if messages.exists()
        else []
    )
    finals = [code for code in seen if code >= 200]
    if not finals:
        raise RuntimeError(f"SIPp saw {seen}, exit {result.returncode}: {result.stderr.decode()[-500:]}")
    return finals[0]


def made_true(invite: str) -> tuple[str, str, str]:
    """An INVITE with SIPp's own Via, Call-ID, Contact and length, and its From and To lines.

    A second Via or Contact is the test's own and stays as it is.
    """
    head, _, body = invite.replace("\r\n", "\n").partition("\n\n")
    lines: list[str] = []
    seen: set[str] = set()
    from_line = to_line = ""
    for line in head.split("\n"):
        name = line.partition(":")[0].lower()
        if name in seen and name in ("via", "contact"):
            lines.append(line)
        elif name == "via":
            lines.append("Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]")
        elif name == "call-id":
            lines.append("Call-ID: [call_id]")
        elif name == "contact":
            lines.append("Contact: <sip:pbx@[local_ip]:[local_port]>")
        elif name == "content-length":
            lines.append("Content-Length: [len]")
        else:
            from_line = line if name == "from" else from_line
            to_line = line if name == "to" else to_line
            lines.append(line)
        seen.add(name)
    return ("\n".join(lines) + "\n\n" + body).rstrip("\n"), from_line, to_line


def _scenario(invite: str, talk_ms: int, answer: str) -> str:
    text, from_line, to_line = made_true(invite)
    refusals = "\n  ".join(f'<recv response="{code}" optional="true" next="refused"/>' for code in FINALS)
    # An ACK to a refusal carries the INVITE's branch (RFC 3261 §17.1.1.3): so many messages back stands the INVITE.
    back = 4 + len(FINALS) + 5
    return _SCENARIO.format(
        invite=text,
        refusals=refusals,
        from_line=from_line,
        to_line=to_line,
        talk=talk_ms,
        answer=f"Content-Type: application/sdp\nContent-Length: [len]\n\n{answer}"
        if answer
        else "Content-Length: 0\n",
        back=back,
    )
