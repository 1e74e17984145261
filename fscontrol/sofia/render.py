"""Gateways as the XML sofia reads, from a file or over HTTP.

Owns: rendering gateways from `templates/freeswitch/`, and the check of the result.
Refuses (`RenderError`): what `xml.py` refuses, and a file whose gateways are not exactly the ones asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from lxml import etree

from fscontrol.errors import RenderError
from fscontrol.model.gateway import Gateway
from fscontrol.sofia.xml import checked, environment


def render_gateways(organization: str, gateways: Sequence[Gateway]) -> str:
    """The file for one organisation's gateways, escaped and checked."""
    text = environment().get_template("gateways.xml").render(gateways=gateways)
    return _as_meant(text, gateways, f"the gateways of organisation {organization}")


def render_served(profile: str, gateways: Sequence[Gateway]) -> str:
    """The same gateways as the document FreeSWITCH gets when it asks for sofia.conf over HTTP.

    `startgw` reads nothing of it but the profile's gateways: settings and what is loaded already stay (sofia.c,
    config_gateway). The preprocessor goes over it line by line as over a file.
    """
    template = environment().get_template("served_gateways.xml")
    return _as_meant(template.render(profile=profile, gateways=gateways), gateways, "the gateways asked for")


def _as_meant(text: str, gateways: Sequence[Gateway], what: str) -> str:
    """The text, if it parses to these gateways: an escaping mistake would show as another set of them or of values."""
    root = etree.fromstring(checked(text, what).encode())
    found = {
        element.get("name"): tuple((p.get("name"), p.get("value")) for p in element.iterchildren("param"))
        for element in root.iter("gateway")
    }
    if found != {gateway.name: gateway.parameters for gateway in gateways}:
        raise RenderError(f"{what} did not survive rendering unchanged")
    return text
