"""What FreeSWITCH itself says, over a line of our own that no fault cuts."""

from __future__ import annotations

import json

from gevent import socket

from fscontrol.esl import commands
from fscontrol.esl.commands import Command
from fscontrol.esl.frames import Frame, FrameReader
from fscontrol.sofia.acl import CALLERS
from fscontrol.sofia.status import parse_gateways
from tests import switches
from tests.chaos.plan import source_of


class Witness:
    """Knows nothing while FreeSWITCH is dead."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, command: Command) -> str:
        """The answer to a command; empty when there is no FreeSWITCH."""
        try:
            return _ask(self._port, command)
        except OSError:
            return ""

    def loaded(self) -> frozenset[str]:
        """The gateways FreeSWITCH has."""
        text = self.ask(commands.all_gateways())
        return frozenset(parse_gateways(text)) if text else frozenset()

    def parked(self) -> dict[str, str]:
        """The channels FreeSWITCH has, by their callers, and the application each is in."""
        text = self.ask(commands.show_channels())
        rows = json.loads(text).get("rows", []) if text else []
        return {row["cid_num"]: row["application"] for row in rows}

    def lets_ask(self, organization: int) -> bool:
        """Whether FreeSWITCH's list of callers has this organisation's address."""
        return self.ask(commands.is_in_acl(source_of(organization), CALLERS)).strip() == "true"


def _ask(port: int, command: commands.Command) -> str:
    """One command over a connection of our own, past the link. Raises OSError when there is no FreeSWITCH."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        reader = FrameReader()
        _next_frame(connection, reader)
        connection.sendall(commands.auth(switches.PASSWORD).encode())
        _next_frame(connection, reader)
        connection.sendall(command.encode())
        return _next_frame(connection, reader).body.decode("utf-8", "replace")


def _next_frame(connection: socket.socket, reader: FrameReader) -> Frame:
    while (frame := reader.next_frame()) is None:
        if not (data := connection.recv(65_536)):
            raise ConnectionError("FreeSWITCH closed the Event Socket")
        reader.receive_data(data)
    return frame
