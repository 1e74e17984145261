"""`python -m tests.flooding_assistant`: an assistant that sends valid media as fast as it is taken, until it is ended.

Prints its port; for tests of what one assistant can do to the calls of others.
"""

from __future__ import annotations

import contextlib
from typing import Any

from gevent import monkey

monkey.patch_all()

from fscontrol.cli.assistant_echo import AssistantServer, StreamPeer  # noqa: E402
from tests.conversations import media  # noqa: E402
from tests.tones import tone  # noqa: E402


def flood(peer: StreamPeer, message: dict[str, Any]) -> None:
    """Two hundred milliseconds of 400 Hz in each message."""
    if message["event"] == "start":
        speech = media(tone(400, 10))
        with contextlib.suppress(OSError):
            while True:
                peer.send(speech)


def main() -> None:
    """Serve until killed."""
    server = AssistantServer(on_message=flood)
    server.start()
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
