"""The how-tos: every document is pushed, and every INVITE of a page goes where the page says.

An INVITE belongs to the document before it. It is accepted, unless the paragraph before it says how it is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fscontrol.model.gateway import gateways_of
from fscontrol.provisioning.sync_document import parse
from fscontrol.sofia.render import render_gateways
from tests import bridge
from tests.bridge import Bridge

PAGES = sorted((Path(__file__).parents[2] / "docs" / "how-to").glob("*.md"))
_FENCE = re.compile(r"^```(json|sip)\n(.*?)^```", re.M | re.S)
_REFUSED = re.compile(r"refused with (\d{3}) `(\w+)`")


@dataclass(frozen=True, slots=True)
class Example:
    """An INVITE of a page: the document it goes with, and how it is refused (None: accepted)."""

    page: str
    document: dict[str, Any]
    invite: str
    refused: tuple[int, str] | None


def documents() -> Iterator[tuple[str, str]]:
    """Every JSON document of every page."""
    for page in PAGES:
        for kind, block in _FENCE.findall(page.read_text()):
            if kind == "json":
                yield page.name, block


def examples() -> Iterator[Example]:
    """Every INVITE of every page."""
    for page in PAGES:
        text, document = page.read_text(), {}
        for found in _FENCE.finditer(text):
            if found[1] == "json":
                document = json.loads(found[2])
                continue
            said = _REFUSED.search(text[: found.start()].rstrip().rpartition("\n\n")[2])
            refused = (int(said[1]), said[2]) if said else None
            yield Example(page.name, document, found[2], refused)


DOCUMENTS = list(documents())
EXAMPLES = list(examples())


def test_every_page_about_a_pbx_has_a_document_and_an_invite() -> None:
    about = {page.name for page in PAGES} - {"README.md", "troubles.md"}
    assert about == {page for page, _ in DOCUMENTS} == {example.page for example in EXAMPLES}
    assert any(example.refused for example in EXAMPLES)


@pytest.mark.parametrize(("page", "text"), DOCUMENTS, ids=[page for page, _ in DOCUMENTS])
def test_every_document_is_valid_without_a_word_and_can_be_rendered(page: str, text: str) -> None:
    body = json.loads(text)
    document = parse(body)
    assert document.warnings == ()
    for index, row in enumerate(body["trunks"]):
        left_out = set(row) - set(document.organization.trunks[index].model_dump(by_alias=True))
        assert not left_out, f"{page}: no fields of a trunk: {left_out}"
    gateways = gateways_of(document.organization, b"key")
    assert len(gateways) == len(body["trunks"])
    assert gateways[0].name in render_gateways("7", gateways)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with bridge.running("stand-in", tmp_path_factory.mktemp("how-to")) as running:
        yield running


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{e.page}-{n}" for n, e in enumerate(EXAMPLES)])
def test_every_invite_goes_where_its_page_says(stand_in: Bridge, example: Example) -> None:
    status, answer = stand_in.sync(example.document, force="true")
    assert (status, answer["nodes"][0]["status"]) in ((200, "converged"), (202, "unanswered")), answer
    text = example.invite
    for name in stand_in.gateways():  # the page cannot know the fingerprint
        text = text.replace(f"{name.rpartition('.')[0]}.ab12cd34", name)
    status, told = stand_in.ask("POST", "/api/explain", {"invite": text})
    assert status == 200, told
    if example.refused:
        assert (told["sip_status"], told["reason"]) == example.refused
        return
    assert told["decision"] == "accept", told
    assert told["trunk_id"] == example.document["trunks"][0]["id"]
    assert told["to_number"] in {number["phone_number"] for number in example.document["phone_numbers"]}
