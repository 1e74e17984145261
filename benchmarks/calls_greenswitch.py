"""greenswitch's own OutboundESLServer with the least application: answer and park. Prints its port."""

from gevent import monkey

monkey.patch_all()

import socket  # noqa: E402  (only after patching)
import sys  # noqa: E402
from typing import Any  # noqa: E402

import greenswitch  # noqa: E402


class Answering:
    """One call, as greenswitch's README has it."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def run(self) -> None:
        """Answer, park, and stay until the call is over."""
        try:
            self.session.answer()
            self.session.park()
        except greenswitch.esl.OutboundSessionHasGoneAway:
            pass


if __name__ == "__main__":
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    greenswitch.OutboundESLServer("127.0.0.1", port, application=Answering, max_connections=10_000).listen()
