"""Strangers' text made visible; pure. Markup is escaped by the templates; this is about what a screen does not show.

Owns: which characters are shown by a sign of their own: controls, and those that turn the direction of what follows or
take no room. Refuses: to touch joiners, without which some scripts cannot be written, and line ends.
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


def visible(text: str) -> str:
    """The text with what cannot be seen written out: an escape as `⟨U+001B⟩`."""
    return _UNSEEN.sub(_sign, text)


def shown(value: object) -> object:
    """What a template writes for a value; markup of ours has been through here already."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def kept(text: str) -> Markup:
    """Text for a field of a form: escaped, and otherwise as it was typed, because it is sent back."""
    return escape(text)


def _sign(match: re.Match[str]) -> str:
    return f"⟨U+{ord(match[0]):04X}⟩"
