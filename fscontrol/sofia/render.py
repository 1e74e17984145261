"""Gateways as the XML sofia reads, from a file or over HTTP.

Owns: rendering gateways from `templates/freeswitch/`, and the check of the result; and showing one without its secrets.
Refuses (`RenderError`): what `xml.py` refuses, and a file whose gateways are not exactly the ones asked for.

A gateway's element is rendered and proven once; a file is put together of elements that were proven, and then proven
to hold these and no others.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

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
_last: dict[str, tuple[tuple[Gateway, ...], str]] = {}


def render_gateways(organization: str, gateways: Sequence[Gateway]) -> str:
    """The file for one organisation's gateways, escaped and checked; the last one again while they are the same."""
    known = _last.get(organization)
    if known is not None and known[0] == tuple(gateways):
        return known[1]
    text = environment().get_template("gateways.xml").render(elements=_elements(gateways))
    _as_meant(text, gateways, f"the gateways of organisation {organization}")
    if len(_last) >= _MOST_FILES:
        _last.clear()
    _last[organization] = tuple(gateways), text
    return text


def render_served(profile: str, gateways: Sequence[Gateway]) -> str:
    """The same gateways as the document FreeSWITCH gets when it asks for sofia.conf over HTTP.

    `startgw` reads nothing of it but the profile's gateways: settings and what is loaded already stay (sofia.c,
    config_gateway). The preprocessor goes over it line by line as over a file.
    """
    template = environment().get_template("served_gateways.xml")
    text = template.render(profile=profile, elements=_elements(gateways))
    return _as_meant(text, gateways, "the gateways asked for")


def render_masked(gateway: Gateway) -> str:
    """One gateway's element for people to read: as it is delivered, but for its password."""
    shown = tuple((name, MASK if name in _SECRETS else value) for name, value in gateway.parameters)
    masked = replace(gateway, parameters=shown)
    return str(environment().get_template("gateway_element.xml").render(gateway=masked))


def _elements(gateways: Sequence[Gateway]) -> Markup:
    return Markup("".join(map(_element, gateways)))  # noqa: S704  (each was proven)


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
