"""What is loaded: names asked for cheaply, states only of those that are new, everything when that is not enough."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from fscontrol.errors import CommandRefused
from fscontrol.esl.commands import Command
from fscontrol.esl.event import Event
from fscontrol.model.registration import GatewayState
from fscontrol.sofia.loaded import MOST_ASKED_ALONE, WHOLE_SECONDS, LoadedGateways
from fscontrol.sofia.registrations import Registrations

_GATEWAY = """  <gateway>
    <name>{}</name>
    <profile>external</profile>
    <state>{}</state>
    <status>{}</status>
  </gateway>
"""


class Node:
    """A node's answers, and what it was asked."""

    name = "fs1"

    def __init__(self, **gateways: str) -> None:
        self.gateways = gateways
        self.states: dict[str, str] = {}
        self.hidden: set[str] = set()
        self.marked: set[str] = set()
        self.asked: list[str] = []
        self.up: list[Callable[[], None]] = []

    def on_up(self, callback: Callable[[], None]) -> None:
        self.up.append(callback)

    def request(self, command: Command) -> str:
        self.asked.append(command.text.removeprefix("api sofia ").removeprefix("profile external "))
        if found := re.search(r"gwlist (up|down)", command.text):
            answer = "".join(
                f"{n} " for n, s in self.gateways.items() if s.lower() == found[1] and n not in self.hidden
            )
            if not answer:
                raise CommandRefused("node fs1 answered '-ERR no reply'")
            return answer
        if found := re.search(r"gateway (\S+)$", command.text):
            name = found[1]
            return self.shown(name) if name in self.gateways.keys() - self.marked else "Invalid Gateway!\n"
        return f"<gateways>\n{''.join(map(self.shown, self.gateways))}</gateways>\n"

    def shown(self, name: str) -> str:
        return _GATEWAY.format(name, self.states.get(name, "REGED"), self.gateways[name])


def told(gateway: str, state: str) -> Event:
    lines = (
        "Event-Name: CUSTOM",
        "Event-Subclass: sofia%3A%3Agateway_state",
        f"Gateway: {gateway}",
        f"State: {state}",
    )
    return Event(plain="\n".join(lines).encode())


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def looking(node: Node, clock: Clock) -> tuple[LoadedGateways, Registrations]:
    board = Registrations(clock)
    loaded = LoadedGateways(node, board, clock)  # type: ignore[arg-type]
    loaded.look()
    node.asked.clear()
    return loaded, board


def test_the_first_look_asks_for_everything(clock: Clock) -> None:
    node = Node(a="UP", b="DOWN")
    board = Registrations(clock)
    found = LoadedGateways(node, board, clock).look()  # type: ignore[arg-type]
    assert (found["b"].state, found["b"].status) == (GatewayState.REGED, "DOWN")
    assert set(board.board("fs1")) == {"a", "b"}
    assert node.asked == ["xmlstatus gateway"]


def test_the_next_asks_for_names_and_gives_the_states_of_the_board(clock: Clock) -> None:
    node = Node(a="UP", b="DOWN")
    loaded, _ = looking(node, clock)
    assert set(loaded.look()) == {"a", "b"}
    assert loaded.look()["a"].is_registered
    assert node.asked == ["gwlist up", "gwlist down"] * 2


def test_the_state_of_a_new_one_is_asked_for_once(clock: Clock) -> None:
    node = Node(a="UP")
    loaded, board = looking(node, clock)
    node.gateways["new"] = "DOWN"
    assert loaded.look()["new"].status == "DOWN"
    assert board.of("fs1", "new") is not None
    loaded.look()
    assert node.asked == ["gwlist up", "gwlist down", "xmlstatus gateway new", "gwlist up", "gwlist down"]


def test_one_that_is_gone_is_gone_and_is_asked_for_no_more(clock: Clock) -> None:
    node = Node(a="UP", b="UP")
    loaded, _ = looking(node, clock)
    del node.gateways["b"]
    assert set(loaded.look()) == {"a"}
    assert set(loaded.look()) == {"a"}
    assert node.asked.count("xmlstatus gateway b") == 1


def test_one_that_came_up_between_the_two_lists_is_not_taken_for_gone(clock: Clock) -> None:
    node = Node(a="UP", b="UP")
    loaded, _ = looking(node, clock)
    node.hidden.add("b")
    assert set(loaded.look()) == {"a", "b"}


def test_one_that_is_being_deleted_is_there_until_it_is_gone(clock: Clock) -> None:
    """`xmlstatus gateway NAME` denies it at once, the lists do not; its name must not be used again before."""
    node = Node(a="UP", b="UP")
    loaded, _ = looking(node, clock)
    node.gateways["b"] = "DOWN"
    assert set(loaded.look()) == {"a", "b"}


def test_a_close_look_sees_what_no_event_told(clock: Clock) -> None:
    """A gateway just started is TRYING; the event of its 200 is lost. Names alone would never show it registered."""
    node = Node(a="UP")
    loaded, board = looking(node, clock)
    node.gateways["new"], node.states["new"] = "DOWN", "TRYING"
    assert loaded.look()["new"].is_on_the_way
    node.gateways["new"], node.states["new"] = "UP", "REGED"
    clock.now += 2
    seen = loaded.look()
    assert seen["new"].is_on_the_way, "only names are asked for"
    closer = loaded.look_closely({"new", "unheard-of"}, seen)
    assert closer["new"].is_registered
    assert closer["new"].bound_at == clock.now
    assert closer["a"] == seen["a"]
    assert closer.keys() == {"a", "new"}
    assert board.of("fs1", "new") == closer["new"]


def test_one_that_was_started_is_asked_for_alone_and_is_known_at_the_next_look(clock: Clock) -> None:
    node = Node(a="UP")
    loaded, board = looking(node, clock)
    node.gateways["new"] = "UP"
    after = loaded.look_for(["new", "refused"])
    assert after.keys() == {"a", "new"}, "what is not there is not loaded, whatever startgw said"
    assert after["new"].is_registered
    assert node.asked == ["xmlstatus gateway new", "xmlstatus gateway refused"]
    assert loaded.look() == after
    assert node.asked[2:] == ["gwlist up", "gwlist down"]
    board.take_event("fs1", told("a", "FAILED"))
    assert loaded.look_for(["new"])["a"].state is GatewayState.FAILED, "as events told of it since"


def test_what_was_started_is_not_added_to_what_was_loaded_before_a_reconnect(clock: Clock) -> None:
    node = Node(a="UP", b="UP")
    loaded, _ = looking(node, clock)
    node.gateways = {"new": "UP"}
    for callback in node.up:
        callback()
    assert loaded.look_for(["new"]).keys() == {"new"}


def test_a_close_look_does_not_build_on_one_that_is_marked_for_deletion(clock: Clock) -> None:
    node = Node(a="UP", b="UP")
    loaded, _ = looking(node, clock)
    node.marked.add("b")
    closer = loaded.look_closely({"b"}, loaded.look())
    assert not closer["b"].is_registered
    assert not closer["b"].is_on_the_way


def test_a_close_look_at_many_asks_for_everything(clock: Clock) -> None:
    node = Node(**{f"n{number}": "UP" for number in range(MOST_ASKED_ALONE + 1)})
    loaded, _ = looking(node, clock)
    assert loaded.look_closely(set(node.gateways), loaded.look()).keys() == node.gateways.keys()
    assert node.asked == ["gwlist up", "gwlist down", "xmlstatus gateway"]


def test_what_is_gone_leaves_nothing_behind_for_a_gateway_of_the_same_name(clock: Clock) -> None:
    """Its deletion was not told; when it was bound says nothing of the one that is started under its name."""
    node = Node(a="UP", b="UP")
    loaded, board = looking(node, clock)
    del node.gateways["b"]
    loaded.look()
    assert board.of("fs1", "b") is None
    node.gateways["b"], node.states["b"] = "DOWN", "TRYING"
    assert loaded.look()["b"].bound_at is None


def test_the_state_of_one_that_only_events_told_of_is_asked_for(clock: Clock) -> None:
    node = Node(a="UP")
    loaded, board = looking(node, clock)
    node.gateways["new"] = "UP"
    board.take_event("fs1", told("new", "TRYING"))
    clock.now += 1
    assert loaded.look()["new"].is_registered


@pytest.mark.parametrize("more", [MOST_ASKED_ALONE, MOST_ASKED_ALONE + 1])
def test_many_new_ones_are_asked_for_at_once(clock: Clock, more: int) -> None:
    node = Node(a="UP")
    loaded, board = looking(node, clock)
    node.gateways |= {f"n{number}": "UP" for number in range(more)}
    assert len(loaded.look()) == more + 1
    assert ("xmlstatus gateway" in node.asked) is (more > MOST_ASKED_ALONE)
    assert len(board.board("fs1")) == more + 1


def test_everything_is_asked_for_again_after_a_while_and_after_a_reconnect(clock: Clock) -> None:
    node = Node(a="UP")
    loaded, _ = looking(node, clock)
    clock.now += WHOLE_SECONDS
    loaded.look()
    assert node.asked == ["xmlstatus gateway"]
    loaded.look()
    for callback in node.up:
        callback()
    loaded.look()
    assert node.asked == ["xmlstatus gateway", "gwlist up", "gwlist down", "xmlstatus gateway"]


def test_one_that_the_board_has_lost_is_asked_for_again(clock: Clock) -> None:
    """The list is the same, word for word; an event of its deletion was a stranger's of that name."""
    node = Node(a="UP", b="UP")
    loaded, board = looking(node, clock)
    board.take_gone("fs1", ["b"])
    assert loaded.look()["b"].is_registered
    assert node.asked == ["gwlist up", "gwlist down", "xmlstatus gateway b"]


@pytest.mark.parametrize("answer", ["Invalid Profile [external]", "-USAGE: x", "a <b>", "a\nb"])
def test_an_answer_that_is_no_list_is_refused(
    clock: Clock, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(a="UP")
    loaded, _ = looking(node, clock)
    monkeypatch.setattr(node, "request", lambda _command: answer)
    with pytest.raises(CommandRefused):
        loaded.look()
