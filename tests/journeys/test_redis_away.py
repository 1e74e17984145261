"""Redis is away for longer than a lease: who talks goes on talking, unless somebody else has the node."""

from __future__ import annotations

import contextlib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from fscontrol.errors import LeaseLost
from fscontrol.esl import commands
from fscontrol.esl.lease import VARIABLE
from tests.contract.redis_server import redis_server
from tests.conversations import Assistant, calling, conversation, says
from tests.tones import tone
from tests.waiting import eventually

LEASE = 1.0
MISSED = ("lease not kept", "which nodes are drained is not known anew", "changes elsewhere are not heard of",
          "the outbox cannot be read", "breakers are not known anew")  # fmt: skip


@pytest.mark.freeswitch
def test_a_conversation_goes_on_without_the_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assistant = Assistant(script={"start": says(tone(700, 200), "said")})
    with contextlib.ExitStack() as redis_runs, contextlib.ExitStack() as again:
        url = redis_runs.enter_context(redis_server(tmp_path))
        key = SecretStr(Fernet.generate_key().decode())
        changes = {"store_url": url, "secret_key": key, "lease_seconds": LEASE}
        with conversation(tmp_path, assistant, **changes) as (running, _server), calling(running):
            node, lease = running.application.nodes["fs1"], running.application.leases["fs1"]
            eventually(lambda: assistant.heard)
            redis_runs.close()
            eventually(lambda: "calls go on without a lease: the store is away" in caplog.messages)
            assert not lease.held
            with pytest.raises(LeaseLost):
                lease.require()
            heard = len(assistant.heard)
            eventually(lambda: len(assistant.heard) > heard + 8_000)
            eventually(lambda: set(MISSED) <= set(caplog.messages))
            told = [line for line in caplog.messages if line in MISSED]
            assert len(told) == len(MISSED), f"each is told of once: {told}"
            again.enter_context(redis_server(tmp_path, urlsplit(url).port))
            eventually(lambda: lease.held)
            heard = len(assistant.heard)
            eventually(lambda: len(assistant.heard) > heard + 8_000)
            assert len(assistant.events("start")) == 1, "the same stream all the time"
            assert assistant.events("stop") == []
            again.close()
            eventually(lambda: caplog.messages.count("calls go on without a lease: the store is away") == 2)
            later = commands.set_global_variable(VARIABLE, str(lease._token_on_node() + 1))
            node.request(later)  # as another control plane does, whose store is there
            eventually(lambda: running.application.media.relay.streaming == 0)
            again.enter_context(redis_server(tmp_path, urlsplit(url).port))
            eventually(lambda: lease.held)
            eventually(lambda: len(assistant.events("start")) == 2)  # ours again, the call is taken up
