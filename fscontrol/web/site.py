"""The operators' page: its templates, its files, and what every page of it has around it; pure.

Owns: rendering (autoescape is on for everything, names and SIP answers are strangers' text), the files under /static
with the hash of what is in them in their address, and the navigation. Refuses: to know a request.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fscontrol.model.access import Role
from fscontrol.web import harmless, words
from fscontrol.web.condition import Condition

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing inline and nothing from elsewhere: what slips through as markup can neither run nor fetch."""


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the navigation; `everywhere`: only for keys that no organisation confines."""

    path: str
    name: str
    everywhere: bool = False
    needs: Role = Role.VIEWER


NAVIGATION = (
    Place("/", "Overview"),
    Place("/gateways", "Gateways"),
    Place("/calls", "Calls"),
    Place("/nodes", "Nodes", everywhere=True),
    Place("/explain", "Explain", everywhere=True),
    Place("/outbox", "Outbox", everywhere=True),
    Place("/audit", "Audit", needs=Role.ADMIN),
)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page."""

    content: bytes
    content_type: str
    digest: str


@cache
def assets() -> Mapping[str, Asset]:
    """Every file under /static, by name."""
    found = {}
    for path in sorted((_HERE / "static").iterdir()):
        content = path.read_bytes()
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()[:9]).decode()
        found[path.name] = Asset(content, _TYPES[path.suffix], digest)
    return found


def address_of(name: str) -> str:
    """Where a file is; another one when it changes, so that it may be kept for ever."""
    return f"/static/{name}?v={assets()[name].digest}"


def render(template: str, **values: Any) -> str:
    """A page of this template."""
    return _environment().get_template(template).render(navigation=NAVIGATION, **values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=harmless.shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = address_of
    environment.globals["conditions"] = tuple(Condition)
    environment.filters["age"] = words.age
    environment.filters["kept"] = harmless.kept
    environment.filters["moment"] = words.moment
    return environment
