"""The captured INVITEs once more, sent to a whole bridge: they reach the assistant that was read from them by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import bridge, captured, switches
from tests.bridge import Bridge, trunk
from tests.captured import EXPECTED, NEWLINE_IN_USER
from tests.waiting import eventually


def assistant_of(number: str) -> int:
    return 100 + captured.NUMBERS.index(number)


@pytest.fixture(scope="module", params=switches.BOTH)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with bridge.running(request.param, tmp_path_factory.mktemp("bridge")) as running:
        numbers = [
            {
                "id": index,
                "phone_number": number,
                "assistant_id": assistant_of(number),
                "destination_key": captured.EXTENSION if number == captured.OF_EXTENSION else None,
            }
            for index, number in enumerate(captured.NUMBERS)
        ]
        trunks = [trunk("pbx", "127.0.0.1:5099", register=False, default_country="US")]
        status, _ = running.sync({"organization_id": 7, "trunks": trunks, "phone_numbers": numbers})
        assert status == 200
        yield running


def call(both: Bridge, name: str) -> dict[str, object]:
    """The record of one captured INVITE, sent and answered."""
    total = both.ask("GET", "/api/calls")[1]["total"]
    assert both.switch.call(captured.sip(name)) == 200
    eventually(lambda: both.ask("GET", "/api/calls")[1]["total"] == total + 1)
    return eventually(lambda: (record := both.last_call())["ended_at"] and record)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_captured_invite_reaches_its_assistant(both: Bridge, name: str) -> None:
    expected = EXPECTED[name]
    record = call(both, name)
    assert (record["to_number"], record["assistant_id"]) == (expected.number, assistant_of(expected.number))
    candidates = record["candidates"]
    assert isinstance(candidates, list)
    assert [candidate["source"] for candidate in candidates] == [source for source, _ in expected.claims]


def test_a_newline_in_the_user_is_no_line_of_ours(both: Bridge) -> None:
    """FreeSWITCH refused it when it was captured; the tree we render lets it through, to be read by us."""
    record = call(both, NEWLINE_IN_USER)
    assert (record["to_number"], record["source_ip"]) == (captured.OF_EXTENSION, "127.0.0.1")
    assert "\n" not in str(record["candidates"])
