"""docs/alarms.md, generated from `model/alarm.py`; a test holds the two together."""

from __future__ import annotations

from fscontrol.model.alarm import MEANINGS

_HEAD = """# Alarms

Generated from `fscontrol/model/alarm.py` (`python -m fscontrol.cli.alarms_page > docs/alarms.md`).

An alarm is raised once and is over once. It is told by one log line, by `GET /api/events` (event `alarm`), and by a
POST to `FSCONTROL_ALARM_WEBHOOK_URL` if that is set; `GET /api/alarms` and `fscontrol alarms` show what is raised
now. Raised alarms are in the store: a restart, or another control plane that takes over, raises none again. Of
several control planes the one that steers a node judges its gateways, and one tells of each change: the log line is
in its log.

One trouble is one alarm. A lost node stands for its gateways (alarms of theirs from before stay until it is back),
and more than 20 gateways of a node in trouble at once are one `gateways_down`, which no organisation's key sees. A
gateway that goes on failing for another reason is `changed`. A backup holds no alarms; after a restore they are
raised anew. While the store cannot be reached no alarm is raised; the log and `/readyz` say so.

The webhook gets `{"message": {"type": "alarm", "event": "raised|changed|recovered", "sequence": 1, "timestamp": "…",
"alarm": {…}}}`, with `alarm` as `GET /api/alarms` shows it; its `id` is the same from the first message to the last.
It is signed with `FSCONTROL_ALARM_WEBHOOK_SECRET` (`X-Signature`), carries an `Idempotency-Key`, and is repeated
until it is taken, as every webhook is; a 4xx other than 408, 409, 425 and 429 makes it a dead letter.
"""


def alarms_page() -> str:
    """The page as text."""
    parts = [_HEAD]
    for kind, meaning in MEANINGS.items():
        anchor = kind.docs.partition("#")[2]
        what = f"`{kind.value}`, {meaning.severity.value}. {meaning.when}"
        parts.append(f"## {anchor}\n\n{what}\n\n**What to do.** {meaning.remedy}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(alarms_page(), end="")
