"""Gateways as the XML file sofia reads.

Owns: rendering one organisation's gateways from `templates/freeswitch/gateways.xml`, and the check of the result.
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
    template = environment().get_template("gateways.xml")
    what = f"the gateways of organisation {organization}"
    text = checked(template.render(gateways=gateways), what)
    # What was parsed must be what was meant: an escaping mistake would show as another set of gateways or values.
    found = {
        element.get("name"): tuple((p.get("name"), p.get("value")) for p in element.findall("param"))
        for element in etree.fromstring(text.encode()).findall("gateway")
    }
    if found != {gateway.name: gateway.parameters for gateway in gateways}:
        raise RenderError(f"{what} did not survive rendering unchanged")
    return text
