"""Where a call's audio goes: a WebSocket URL from a template; pure.

Owns: the placeholders and what may stand in them. Refuses (`ConfigurationError`): schemes other than ws and wss, and
placeholders nobody fills.
"""

from __future__ import annotations

import string
from urllib.parse import quote, urlsplit

from fscontrol.errors import ConfigurationError
from fscontrol.model.call import CallRecord

PLACEHOLDERS = (
    "call_sid",
    "organization_id",
    "trunk_id",
    "assistant_id",
    "flow_id",
    "from_number",
    "to_number",
    "direction",
)


def check_template(template: str) -> None:
    """Raise `ConfigurationError` for a template that could not be used."""
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise ConfigurationError([f"FSCONTROL_STREAM_URL is no template: {error}"]) from None
    problems = [
        f"FSCONTROL_STREAM_URL has {{{name}}}, which nobody fills; there are {', '.join(PLACEHOLDERS)}"
        for name in sorted(names - set(PLACEHOLDERS))
    ]
    parts = urlsplit(template)
    if parts.scheme not in ("ws", "wss") or not parts.hostname or "{" in parts.netloc:
        problems.append(
            "FSCONTROL_STREAM_URL must be ws://host/… or wss://host/…, the host without a placeholder"
        )
    if problems:
        raise ConfigurationError(problems)


def stream_url(template: str, record: CallRecord) -> str:
    """The template filled for a call; every value is percent-encoded whole, so that none leaves its place."""
    values = {name: quote(_text(getattr(record, name)), safe="") for name in PLACEHOLDERS}
    return template.format(**values)


def _text(value: object) -> str:
    return "" if value is None else str(value)
