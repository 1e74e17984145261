"""How a node gets its gateways: from files alone, or over HTTP while we are there.

Owns: the two ways and reading them from a setting. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Delivery(StrEnum):
    """`files`: FreeSWITCH reads every gateway of the tree at each `startgw`. `xml_curl`: it asks us for the one."""

    FILES = "files"
    XML_CURL = "xml_curl"


def read_deliveries(text: str) -> dict[str, Delivery]:
    """`files`, `xml_curl`, or `fs1=xml_curl,fs2=files`, by node; a bare word stands for all others, under "".

    Raises ValueError saying what cannot be read.
    """
    found: dict[str, Delivery] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        node, equals, word = part.rpartition("=")
        node = node.strip()
        if equals and not node:
            raise ValueError(f"{part!r} names no node")
        if node in found:
            raise ValueError(f"says twice what {node or 'all nodes'} gets")
        try:
            found[node] = Delivery(word.strip())
        except ValueError:
            raise ValueError(
                "must be files, xml_curl, or both by node, such as fs1=xml_curl,fs2=files"
            ) from None
    if not found:
        raise ValueError("says nothing")
    return found


def delivery_of(node: str, deliveries: Mapping[str, Delivery]) -> Delivery:
    """What a node gets; files when nothing is said of it."""
    return deliveries.get(node, deliveries.get("", Delivery.FILES))
