"""Session cookies: what they stand for, until when, and that nobody else can make one."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from fscontrol.http.sessions import MOST_ENDED, Sessions, bridge_digest
from fscontrol.model.access import Principal, Role

ADA = Principal("ada", Role.ADMIN, "7")


class House:
    """Sessions with a clock that is set, over keys that can be taken back."""

    def __init__(self, installation_key: bytes = b"k" * 32) -> None:
        self.now = 1000.0
        self.known = {"digest of a-key": ADA}
        self.sessions = Sessions(
            installation_key, lambda text: f"digest of {text}", (self.known.get,), 60, lambda: self.now
        )


def test_it_stands_for_its_key_until_it_ends() -> None:
    house = House()
    cookie = house.sessions.begin("a-key")
    assert house.sessions.principal(cookie) == ADA
    house.now = 1059.9
    assert house.sessions.principal(cookie) == ADA
    house.now = 1060.0
    assert house.sessions.principal(cookie) is None


def test_it_ends_with_its_key() -> None:
    house = House()
    cookie = house.sessions.begin("a-key")
    house.known.clear()
    assert house.sessions.principal(cookie) is None
    assert house.sessions.principal(house.sessions.begin("another")) is None


def test_replicas_read_each_others_and_strangers_do_not() -> None:
    cookie = House().sessions.begin("a-key")
    assert House().sessions.principal(cookie) == ADA
    assert House(b"x" * 32).sessions.principal(cookie) is None


def test_signed_out_is_out_though_others_go_on() -> None:
    house = House()
    one, other = house.sessions.begin("a-key"), house.sessions.begin("a-key")
    assert one != other
    house.sessions.end(one)
    assert house.sessions.principal(one) is None
    assert house.sessions.principal(other) == ADA


def test_those_that_ended_are_kept_in_bounds() -> None:
    house = House()
    cookies = [house.sessions.begin("a-key") for _ in range(3)]
    house.sessions._ended = {f"{number}": 2000 for number in range(MOST_ENDED)}
    house.sessions.end(cookies[0])
    assert len(house.sessions._ended) == MOST_ENDED
    assert house.sessions.principal(cookies[0]) is None
    house.now = 2001
    house.sessions.end(house.sessions.begin("a-key"))
    assert len(house.sessions._ended) == 1, "what would have ended by itself is forgotten"


def test_a_form_belongs_to_one_cookie() -> None:
    sessions = House().sessions
    token = sessions.form_token("one")
    assert sessions.is_form_of("one", token)
    assert not sessions.is_form_of("other", token)
    assert not sessions.is_form_of("", sessions.form_token(""))
    assert sessions.begin("one").rpartition(".")[2] != token


@pytest.mark.parametrize(("key", "is_known"), [("the-key", True), ("", False)])
def test_the_installations_own_key(key: str, is_known: bool) -> None:
    of_digest = bridge_digest(SecretStr(key), str)
    assert (of_digest(key) is not None) is is_known
    assert of_digest("else") is None
