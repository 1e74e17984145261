"""Gateways as the XML sofia reads, from a file or over HTTP.

Owns: rendering gateways from `templates/freeswitch/`, and the check of the result; and showing one without its secrets.
Refuses (`RenderError`): what `xml.py` refuses, and a file whose gateways are not exactly the ones asked for.

A gateway's element is rendered and proven once. A file is put together of parts of a hundred elements, in a frame: the
frame is proven once, each part when it is made, in the frame, to hold these gateways and no others. So the file does,
and a change in a file of thousands costs one part.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import NamedTuple

from lxml import etree
from markupsafe import Markup

from fscontrol.errors import RenderError
from fscontrol.model.gateway import Gateway
from fscontrol.sofia.xml import environment, parsed

MASK = "***"
_SECRETS = frozenset({"password"})
_NAMES = etree.XPath("//gateway/@name", smart_strings=False)
_MOST_KEPT = 10_000
"""Elements, half a kilobyte each."""
_MOST_FILES = 1_000
_IN_A_PART = 100
_MARK = Markup("  <elements/>\n")


class _Part(NamedTuple):
    """Some gateways of a file, one after the other, and their elements, which are proven to be these."""

    gateways: tuple[Gateway, ...]
    text: str


_last: dict[str, list[_Part]] = {}


def render_gateways(organization: str, gateways: Sequence[Gateway]) -> str:
    """The file for one organisation's gateways, escaped and checked; of the last one, the parts that are the same."""
    starts = range(0, len(gateways), _IN_A_PART)
    wanted = [tuple(gateways[start : start + _IN_A_PART]) for start in starts]
    both = zip_longest(wanted, _last.get(organization, [])[: len(wanted)])
    parts = [last if last and last.gateways == part else _part(organization, part) for part, last in both]
    if len(_last) >= _MOST_FILES:
        _last.clear()
    _last[organization] = parts
    before, after = _frame()
    return "".join((before, *(part.text for part in parts), after))


def _part(organization: str, gateways: tuple[Gateway, ...]) -> _Part:
    text, (before, after) = "".join(map(_element, gateways)), _frame()
    _as_meant(before + text + after, gateways, f"the gateways of organisation {organization}")
    return _Part(gateways, text)


@functools.cache
def _frame() -> tuple[str, str]:
    """What stands before a file's elements and after them."""
    text = environment().get_template("gateways.xml").render(elements=_MARK)
    root, (before, mark, after) = parsed(text, "a file of gateways"), text.partition(_MARK)
    if root.tag != "include" or [child.tag for child in root] != ["elements"] or not mark:
        raise RenderError("a file of gateways holds something else")
    return before, after


def render_served(profile: str, gateways: Sequence[Gateway]) -> str:
    """The same gateways as the document FreeSWITCH gets when it asks for sofia.conf over HTTP.

    `startgw` reads nothing of it but the profile's gateways: settings and what is loaded already stay (sofia.c,
    config_gateway). The preprocessor goes over it line by line as over a file.
    """
    template = environment().get_template("served_gateways.xml")
    elements = Markup("".join(map(_element, gateways)))  # noqa: S704  (each was proven)
    text = template.render(profile=profile, elements=elements)
    return _as_meant(text, gateways, "the gateways asked for")


def render_masked(gateway: Gateway) -> str:
    """One gateway's element for people to read: as it is delivered, but for its password."""
    shown = tuple((name, MASK if name in _SECRETS else value) for name, value in gateway.parameters)
    masked = replace(gateway, parameters=shown)
    return str(environment().get_template("gateway_element.xml").render(gateway=masked))


@functools.lru_cache(maxsize=_MOST_KEPT)
def _element(gateway: Gateway) -> str:
    """One gateway's element, if it parses to it: an escaping mistake would show as other values."""
    text = environment().get_template("gateway_element.xml").render(gateway=gateway)
    element = parsed(text, f"the gateway {gateway.name}")
    found = tuple((param.get("name"), param.get("value")) for param in element.iterchildren("param"))
    if (element.tag, element.get("name"), found) != ("gateway", gateway.name, gateway.parameters):
        raise RenderError(f"the gateway {gateway.name} did not survive rendering unchanged")
    return text


def _as_meant(text: str, gateways: Sequence[Gateway], what: str) -> str:
    """The text, if it parses to these gateways and no others."""
    found = _NAMES(parsed(text, what))
    if found != [gateway.name for gateway in gateways]:
        raise RenderError(f"{what} did not survive rendering unchanged")
    return text
