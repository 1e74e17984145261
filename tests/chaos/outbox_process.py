"""A control plane's outbox and nothing else, made to be killed: `test_outbox_kill.py` runs it.

It carries calls from status to status and prints `<call_sid> <sequence>` once the store has acknowledged a status,
while the outbox delivers. What an earlier life left unfinished it carries on, by the records in the store.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402  (only after patching)
import os  # noqa: E402
import random  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402
from pydantic import SecretStr  # noqa: E402

from fscontrol.backend import messages  # noqa: E402
from fscontrol.backend.client import BackendClient  # noqa: E402
from fscontrol.backend.outbox import Outbox  # noqa: E402
from fscontrol.model.call import CallRecord, CallStatus  # noqa: E402
from fscontrol.store.base import Store  # noqa: E402
from fscontrol.store.redis import RedisStore  # noqa: E402
from fscontrol.store.secrets import Vault  # noqa: E402
from fscontrol.store.sqlite import SqliteStore  # noqa: E402

NEXT = {
    CallStatus.INITIATED: CallStatus.RINGING,
    CallStatus.RINGING: CallStatus.IN_PROGRESS,
    CallStatus.IN_PROGRESS: CallStatus.COMPLETED,
}
CALLS_AT_ONCE = 20
VAULT_KEY = "A" * 43 + "="


def open_store(url: str) -> Store:
    """The store of that URL; sealed with a key that protects nothing."""
    vault = Vault([VAULT_KEY])
    if url.startswith("redis"):
        return RedisStore(url, vault, 100_000)
    return SqliteStore(Path(url.removeprefix("sqlite:///")), vault, 100_000)


def make_outbox(store: Store, backend_url: str, rng: random.Random) -> Outbox:
    """As in a control plane, in a hurry."""
    return Outbox(
        store,
        BackendClient(backend_url, SecretStr(""), SecretStr("")),
        clock=time.time,
        random=rng.random,
        deadline_seconds=0.5,
        max_age_seconds=3600.0,
        poll_seconds=0.1,
        lease_seconds=1.0,
        first_delay_seconds=0.02,
    )


def carry_calls(store: Store, outbox: Outbox, node: str, rng: random.Random) -> None:
    """One status after the other, of some call or a new one."""
    calls = {record.call_sid: record for record in store.unfinished_calls(node)}
    while True:
        if len(calls) < CALLS_AT_ONCE:
            call_sid = f"{node}-{rng.getrandbits(64):016x}"
            record = CallRecord(call_sid=call_sid, direction="inbound", node=node, started_at=time.time())
        else:
            record = rng.choice(list(calls.values()))
            record = record.model_copy(update={"status": NEXT[record.status]})
        message = messages.status(record, time.time())
        record = record.model_copy(update={"sequence": message.sequence})
        store.put_call(record, [message])
        print(record.call_sid, message.sequence, flush=True)
        outbox.wake()
        calls[record.call_sid] = record
        if record.status.is_final:
            del calls[record.call_sid]
        gevent.sleep(0.002)  # other greenlets, too, and not faster than the backend


def main() -> None:
    """Run until killed, or until nobody is there to kill us."""
    arguments = argparse.ArgumentParser()
    for name in ("--store", "--backend", "--node", "--seed"):
        arguments.add_argument(name, required=True)
    arguments.add_argument("--only-deliver", action="store_true")
    given = arguments.parse_args()
    rng = random.Random(given.seed)
    store = open_store(given.store)
    outbox = make_outbox(store, given.backend, rng)
    outbox.start()
    if not given.only_deliver:
        gevent.spawn(carry_calls, store, outbox, given.node, rng)
    parent = os.getppid()
    while os.getppid() == parent:
        gevent.sleep(1)
    sys.exit(1)


if __name__ == "__main__":
    main()
