"""What sofia answers, parsed; pure.

Owns: every reply this project acts on (FREESWITCH.md §1). Refuses (`CommandRefused`): answers that do not say
explicitly that it worked. `+OK` alone proves nothing, and an unknown profile is refused without `-ERR`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import etree

from fscontrol.errors import CommandRefused
from fscontrol.model.registration import GatewayState

_ONE_LINE = re.compile(r"^(\s*<([a-z\-]+)>)(.*)(</\2>)\s*$", re.MULTILINE)
_BARE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)")


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """One gateway as `sofia xmlstatus gateway` describes it. `status` is UP or DOWN."""

    name: str
    profile: str
    state: GatewayState
    status: str


def _parse(text: str) -> etree._Element | None:
    # The document claims ISO-8859-1 and escapes only some fields (FREESWITCH.md §1). Each stands on a line of its own,
    # and is escaped here first: a username `<!--` would else hide every gateway after it, other tenants' too.
    text = _ONE_LINE.sub(lambda m: m[1] + _escaped(m[3]) + m[4], text)
    parser = etree.XMLParser(recover=True, resolve_entities=False, no_network=True, huge_tree=True)
    return etree.fromstring(text.encode("iso-8859-1", "replace"), parser)


def _escaped(value: str) -> str:
    return _BARE_AMPERSAND.sub("&amp;", value).replace("<", "&lt;").replace(">", "&gt;")


def parse_gateways(text: str) -> dict[str, GatewayStatus]:
    """The answer of `sofia xmlstatus gateway`, by name."""
    if "<gateways" not in text:
        raise CommandRefused(f"no list of gateways but {text[:80].strip()!r}")
    root = _parse(text)
    found = {} if root is None else {s.name: s for s in map(_status, root.iter("gateway")) if s.name}
    if root is None or (not found and "<gateway>" in text):
        raise CommandRefused("the list of gateways cannot be read")
    return found


def parse_gateway(text: str) -> GatewayStatus | None:
    """The answer of `sofia xmlstatus gateway NAME`; None for `Invalid Gateway!`."""
    if text.strip().startswith("Invalid Gateway"):
        return None
    root = _parse(text) if "<gateway" in text else None
    if root is None:
        raise CommandRefused(f"no gateway but {text[:80].strip()!r}")
    return _status(root)


def _status(element: etree._Element) -> GatewayStatus:
    def text(name: str) -> str:
        return (element.findtext(name) or "").strip()

    return GatewayStatus(text("name"), text("profile"), GatewayState.parse(text("state")), text("status"))


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
