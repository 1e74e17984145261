"""What sofia answers, parsed; pure.

Owns: every reply this project acts on (FREESWITCH.md §1). Refuses (`CommandRefused`): answers that do not say
explicitly that it worked. `+OK` alone proves nothing, and an unknown profile is refused without `-ERR`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fscontrol.errors import CommandRefused
from fscontrol.model.registration import GatewayState

_LINE = re.compile(
    r"^ *<(name|profile|state|status|freq|retry|uptime-usec)>(.*)</\1> *$|^ *<(/?)gateway> *$", re.MULTILINE
)
"""What is read of the answer, by lines: sofia writes each field on one of its own and escapes only some (FREESWITCH.md
§1). A username `<!--` would hide every gateway after it from an XML parser, other tenants' too."""
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """One gateway as `sofia xmlstatus gateway` describes it. `status` is UP or DOWN.

    `expiry` is the seconds of binding asked for (`freq`), `retry_in` the seconds to the next try; both as `timeline`
    explains them. `uptime` is the seconds since it came up, None while it is not.
    """

    name: str
    profile: str
    state: GatewayState
    status: str
    expiry: int = 0
    retry_in: int | None = None
    uptime: float | None = None


def _gateways(text: str) -> Iterator[GatewayStatus]:
    fields: dict[str, str] = {}
    for line in _LINE.finditer(text):
        if line[1]:
            fields[line[1]] = line[2].strip()
        elif not line[3]:
            fields = {}
        elif "name" in fields:
            yield _status(fields)


def _status(fields: Mapping[str, str]) -> GatewayStatus:
    status = sys.intern(fields.get("status", ""))  # UP or DOWN: one text for all gateways that keep it
    uptime = _number(fields.get("uptime-usec"))
    return GatewayStatus(
        fields["name"],
        fields.get("profile", ""),
        GatewayState.parse(fields.get("state", "")),
        status,
        expiry=_number(fields.get("freq")) or 0,
        retry_in=_number(fields.get("retry", "").removesuffix("s")),  # else NEVER, or no element at all
        uptime=uptime / 1e6 if uptime is not None and status == "UP" else None,
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and _NUMBER.fullmatch(text) else None


def parse_gateways(text: str) -> dict[str, GatewayStatus]:
    """The answer of `sofia xmlstatus gateway`, by name."""
    if "<gateways" not in text:
        raise CommandRefused(f"no list of gateways but {text[:80].strip()!r}")
    found = {status.name: status for status in _gateways(text)}
    if not found and "<gateway>" in text:
        raise CommandRefused("the list of gateways cannot be read")
    return found


def parse_gateway(text: str) -> GatewayStatus | None:
    """The answer of `sofia xmlstatus gateway NAME`; None for `Invalid Gateway!`."""
    if text.strip().startswith("Invalid Gateway"):
        return None
    found = next(_gateways(text), None)
    if found is None:
        raise CommandRefused(f"no gateway but {text[:80].strip()!r}")
    return found


def require_started(text: str) -> None:
    """`startgw` answers `Reload XML [Success]` and `+OK start gateway …`; anything else is a refusal.

    The +OK proves nothing about the gateway, which may not exist: ask for its status.
    """
    if "Reload XML [Success]" not in text or "+OK" not in text:
        raise CommandRefused(f"startgw answered {text.strip()[:200]!r}")


def require_marked(text: str) -> None:
    """`killgw` answers `+OK gateway marked for deletion.`; removal follows within a second or two."""
    if not text.startswith("+OK"):
        raise CommandRefused(f"killgw answered {text.strip()[:200]!r}")


def require_registering(text: str) -> None:
    """`register` answers a bare `+OK` and makes the gateway try in the profile's next tick, within a second.

    An unknown name is refused as `Invalid gateway!`, without -ERR. The +OK says nothing of the carrier.
    """
    if text.strip() != "+OK":
        raise CommandRefused(f"register answered {text.strip()[:200]!r}")
