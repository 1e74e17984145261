"""docs/events.md, generated from `telemetry/event_kinds.py`; a test holds the two together, and runs its example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fscontrol.telemetry.event_kinds import EVENT_KINDS, Told

_HEAD = """# Events

Generated from `fscontrol/telemetry/event_kinds.py` (`python -m fscontrol.cli.events_page > docs/events.md`).

`GET /api/events` tells what changes, the moment it does, by [server-sent
events](https://html.spec.whatwg.org/multipage/server-sent-events.html):
one answer that does not end. It needs a key of any role; a key of one organisation hears of that organisation only,
a key of all of them also of what
is nobody's. `?seconds=60` ends it after that time.

```
curl -N -H "Authorization: Bearer $SIP_BRIDGE_API_KEY" http://127.0.0.1:8080/api/events
retry: 2000
: listening

id: 9f2c01ab-17
event: gateway
data: {"node":"fs1","gateway":"7.7f502da1.ab12cd34","trunk_id":"main","state":"REGED","status":"UP","detail":"200 OK"}
```

- `event:` is one of the kinds below, `data:` is one line of JSON with all of its members. Leave alone the kinds and
  members that you do not know: more
  are added, none changes its meaning. `/openapi.json` names the models (`x-events` of the route).
- `id:` is for coming back: ask again with the last one as `Last-Event-ID`, and what followed is told first. The last
  1,000 events are kept. Where that one is not among them any more, all that are kept are told, and a comment says so at
  the beginning: read the state from `GET /api/gateways` and `GET /api/calls`, and go on from there.
- It ends when your key is revoked or expires, within 5 seconds, as you would be refused everywhere else;
  and when the store could not say for a minute whether it still works.
- A comment (`: still here`) comes every 15 s. Hear nothing for longer than 30 s, and the
  connection is dead: come back. A browser's `EventSource` does not show comments: with `?beats=true` the same comes as
  an event `beat`, without an id and with `{}` as its data.
- Who does not read is cut off: 1,000 events wait for a listener at most, then a comment says so and the answer
  ends. Nobody else waits for him.
- 200 may listen at once, 20 of them with one key, and 100 with keys of one organisation; the next one gets 429 and
  `Retry-After`. An empty comment every 2 s finds who is gone.
- With Redis all control planes tell the same, under the same ids, also over a restart: listen to any, and come back to
  any. Alone, the events and their ids are of one run.
- An event is a hint that something is otherwise now, and not the record: that is in `GET /api/calls/{call_sid}`,
  and what must arrive goes by
  [webhook](api.md).

"""
_EXAMPLE = """
## A client

It goes on where it was after the connection or the control plane was gone. Needs `requests`; run here as it stands
by a test.

```python
import json
import os
import time

import requests

url = os.environ.get("CONTROL_PLANE_URL", "http://127.0.0.1:8080") + "/api/events"
key = os.environ["SIP_BRIDGE_API_KEY"]
last_seen = ""
while True:
    headers = {"Authorization": f"Bearer {key}"} | ({"Last-Event-ID": last_seen} if last_seen else {})
    try:
        # Two heartbeats missed is a dead connection.
        with requests.get(url, headers=headers, stream=True, timeout=(5, 30)) as answer:
            answer.raise_for_status()
            kind = ""
            for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
                name, _, value = line.partition(": ")
                if name == "id":
                    last_seen = value
                elif name == "event":
                    kind = value
                elif name == "data":
                    print(kind, json.loads(value), flush=True)
    except requests.RequestException as error:
        print("lost:", error, flush=True)
    time.sleep(2)
```
"""


def events_page() -> str:
    """The page as text."""
    return _HEAD + "\n".join(_kind(kind, model) for kind, model in EVENT_KINDS.items()) + _EXAMPLE


def _kind(kind: str, model: type[Told]) -> str:
    schema = model.model_json_schema(mode="serialization")
    rows = "\n".join(_rows(schema))
    return f"## `{kind}`\n\n{schema['description']}\n\n| member | type | meaning |\n|---|---|---|\n{rows}\n"


def _rows(schema: Mapping[str, Any]) -> Iterator[str]:
    definitions = schema.get("$defs", {})
    for name, about in schema["properties"].items():
        words = " or ".join(dict.fromkeys(_types(about, definitions)))
        yield f"| `{name}` | {words} | {about.get('description', '')} |"


def _types(about: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[str]:
    if "$ref" in about:
        about = definitions[about["$ref"].rpartition("/")[2]]
    if "anyOf" in about:
        for one in about["anyOf"]:
            yield from _types(one, definitions)
    elif "const" in about or "enum" in about:
        yield from (f"`{value}`" for value in about.get("enum", [about.get("const")]))
    else:
        yield str(about.get("type", "anything"))


if __name__ == "__main__":
    print(events_page(), end="")
