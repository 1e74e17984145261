"""A tiny configuration tree for the stand-in, in the shape of ours, and an Event Socket client on a bare socket."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from gevent import socket

CAPTURES = Path(__file__).resolve().parents[1] / "data" / "captures"
DEADLINE = 10.0

_ROOT = """<?xml version="1.0"?>
<document type="freeswitch/xml">
  <X-PRE-PROCESS cmd="set" data="global_codec_prefs=PCMU,PCMA"/>
  <section name="configuration">
    <configuration name="modules.conf"><modules>
      <load module="mod_sofia"/>
      <load module="mod_event_socket"/>
    </modules></configuration>
    <configuration name="sofia.conf"><profiles>
      <X-PRE-PROCESS cmd="include" data="sip_profiles/*.xml"/>
    </profiles></configuration>
  </section>
  <section name="dialplan">
    <X-PRE-PROCESS cmd="include" data="dialplan/*.xml"/>
  </section>
</document>
"""
_PROFILE = """<profile name="external">
  <gateways>
    <X-PRE-PROCESS cmd="include" data="external/*.xml"/>
  </gateways>
  <settings>
    <param name="sip-ip" value="127.0.0.1"/>
    <param name="rtp-ip" value="127.0.0.1"/>
    <param name="sip-port" value="5060"/>
    <param name="context" value="public"/>
    <param name="inbound-codec-prefs" value="$${global_codec_prefs}"/>
    <param name="inbound-late-negotiation" value="true"/>
  </settings>
</profile>
"""
_DIALPLAN = """<include>
  <context name="public">
    <extension name="ask">
      <condition field="destination_number" expression="^(.*)$">
        <action application="socket" data="127.0.0.1:PORT full"/>
        <action application="respond" data="503"/>
      </condition>
    </extension>
  </context>
  <context name="fscontrol">
    <extension name="park">
      <condition field="destination_number" expression="^park$"><action application="park"/></condition>
    </extension>
  </context>
</include>
"""


def write_tree(directory: Path, call_socket_port: int = 1) -> Path:
    """Write the tree; calls ask the call socket on that port of loopback."""
    (directory / "sip_profiles" / "external").mkdir(parents=True)
    (directory / "dialplan").mkdir()
    (directory / "freeswitch.xml").write_text(_ROOT)
    (directory / "sip_profiles" / "external.xml").write_text(_PROFILE)
    (directory / "dialplan" / "all.xml").write_text(_DIALPLAN.replace("PORT", str(call_socket_port)))
    return directory


def gateway_xml(name: str, proxy: str, **params: str) -> str:
    """One `<gateway>`; keyword names have `_` for `-`."""
    values = {
        "username": "9228",
        "password": "secret",
        "proxy": proxy,
        "expire_seconds": "60",
        "retry_seconds": "10",
    }
    values |= params
    lines = "".join(f'    <param name="{n.replace("_", "-")}" value="{v}"/>\n' for n, v in values.items())
    return f'  <gateway name="{name}">\n{lines}  </gateway>\n'


def write_gateways(directory: Path, *gateways: str, file: str = "gateways.xml") -> None:
    """Make these the gateways of the tree."""
    text = "<include>\n" + "".join(gateways) + "</include>\n"
    folder = directory / "sip_profiles" / "external"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(text)


class RawClient:
    """Bytes in and out of one connection, every wait with a deadline."""

    _open: ClassVar[list[RawClient]] = []

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.settimeout(DEADLINE)
        self.received = b""
        self._open.append(self)

    @classmethod
    def close_all(cls) -> None:
        """Close what a test left open."""
        while cls._open:
            cls._open.pop().close()

    @classmethod
    def to(cls, port: int, password: str = "") -> RawClient:
        """Connect; with a password also authenticate."""
        client = cls(socket.create_connection(("127.0.0.1", port), timeout=DEADLINE))
        client.until(b"auth/request\n\n")
        if password:
            assert client.ask(f"auth {password}").endswith(b"+OK accepted\n\n")
        return client

    def send(self, text: str) -> None:
        """Send a command and the empty line behind it."""
        self._socket.sendall(text.encode() + b"\n\n")

    def until(self, mark: bytes) -> bytes:
        """Everything up to and with `mark`, taken out of what was received."""
        while mark not in self.received:
            data = self._socket.recv(65536)
            if not data:
                raise EOFError(f"closed before {mark!r}; received {self.received!r}")
            self.received += data
        taken, _, self.received = self.received.partition(mark)
        return taken + mark

    def frame(self) -> bytes:
        """One whole frame, its body included."""
        head = self.until(b"\n\n")
        length = re.search(rb"^Content-Length: (\d+)$", head, re.MULTILINE)
        size = int(length[1]) if length and b"CHANNEL_DATA" not in head else 0
        while len(self.received) < size:
            data = self._socket.recv(65536)
            if not data:
                raise EOFError("closed inside a body")
            self.received += data
        body, self.received = self.received[:size], self.received[size:]
        return head + body

    def ask(self, text: str) -> bytes:
        """Send a command and read its reply frame."""
        self.send(text)
        return self.frame()

    def api(self, text: str) -> str:
        """The body of an API answer."""
        return self.ask(f"api {text}").partition(b"\n\n")[2].decode()

    def rest(self) -> bytes:
        """Everything until the other side closes."""
        while data := self._socket.recv(65536):
            self.received += data
        taken, self.received = self.received, b""
        return taken

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
