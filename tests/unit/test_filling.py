"""Batches: no more REGISTERs at once than set, the next when these are answered or two seconds have gone."""

from __future__ import annotations

from fscontrol.model.gateway import Gateway
from fscontrol.model.registration import GatewayState, Registration
from fscontrol.sofia.filling import A_FEW, SETTLING_SECONDS, Filling


class Node:
    """A node that takes three at once, and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.board: dict[str, Registration] = {}
        self.filling = Filling(lambda: self.now, 3)

    def admit(self, asking: dict[str, list[Gateway]], *pushed: str) -> set[str]:
        return set(self.filling.admit(asking, pushed, self.board))

    def says(self, name: str, state: GatewayState) -> bool:
        self.board[name] = Registration("fs1", name, state, "UP", self.now)
        return self.filling.answered(name)


def gateways(key: str, count: int, *, register: bool = True) -> list[Gateway]:
    return [Gateway(f"{key}{n}", key, "t", register, ()) for n in range(count)]


def test_one_batch_after_the_other() -> None:
    node = Node()
    five = gateways("a", 5)
    assert node.admit({"a": five}) == {"a3", "a4"}
    assert node.filling.due() == []
    assert node.filling.next_due() == SETTLING_SECONDS
    assert node.admit({"a": five[3:]}) == {"a3", "a4"}, "the first batch is on its way"
    assert not node.says("a0", GatewayState.REGED)
    assert not node.says("a1", GatewayState.FAILED)
    assert node.says("a2", GatewayState.REGED), "the last of them"
    assert node.filling.due() == ["a"]
    assert node.admit({"a": five[3:]}) == set()
    assert node.filling.next_due() is None


def test_a_silent_carrier_holds_a_batch_up_for_two_seconds() -> None:
    node = Node()
    node.admit({"a": gateways("a", 5)})
    node.now = SETTLING_SECONDS
    assert node.filling.due() == ["a"]
    assert node.admit({"a": gateways("a", 5)[3:]}) == set()


def test_what_does_not_register_is_not_counted() -> None:
    assert Node().admit({"a": gateways("a", 50, register=False)}) == set()


def test_a_push_of_a_few_does_not_wait_and_a_large_one_goes_first() -> None:
    node = Node()
    node.admit({"a": gateways("a", 3)})
    assert node.admit({"b": gateways("b", A_FEW)}, "b") == set()
    other = Node()
    assert other.admit({"a": gateways("a", 2), "c": gateways("c", A_FEW + 1)}, "c") >= {"a0", "a1", "c3"}
    assert sorted(other.filling.due() or ["a", "c"]) == ["a", "c"]


def test_who_asks_no_more_is_not_waited_for() -> None:
    node = Node()
    node.admit({"a": gateways("a", 5)})
    node.admit({"a": []})
    assert node.filling.next_due() is None
    node.admit({"a": gateways("a", 9)})
    node.filling.forget()
    assert node.filling.next_due() is None
