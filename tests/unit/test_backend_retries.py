"""What becomes of a message after a try; when it is tried again; the signature."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from fscontrol.backend.retries import LEAST_ATTEMPTS, LONGEST_DELAY_SECONDS, Outcome, next_attempt, outcome
from fscontrol.backend.signature import sign

DAY = 86_400.0
PASSING = {408, 409, 425, 429}


@pytest.mark.parametrize("status", range(200, 300))
def test_2xx_is_delivered(status: int) -> None:
    assert outcome(status, 1, 10 * DAY, DAY) is Outcome.DELIVERED


@pytest.mark.parametrize("status", range(400, 500))
def test_4xx_is_dead_at_once_except_those_that_pass(status: int) -> None:
    assert outcome(status, 1, 0, DAY) is (Outcome.RETRY if status in PASSING else Outcome.DEAD)


@pytest.mark.parametrize("status", [None, 100, 301, 302, 307, 408, 409, 425, 429, 500, 502, 503, 504, 599])
def test_the_rest_is_tried_again_until_it_is_too_old(status: int | None) -> None:
    assert outcome(status, 1000, DAY - 1, DAY) is Outcome.RETRY
    assert outcome(status, 1000, DAY, DAY) is Outcome.DEAD
    assert outcome(status, LEAST_ATTEMPTS - 1, 9 * DAY, DAY) is Outcome.RETRY
    assert outcome(status, LEAST_ATTEMPTS, 9 * DAY, DAY) is Outcome.DEAD


@given(attempts=st.integers(0, 10**9), chance=st.floats(0, 1), now=st.floats(0, 4e9))
def test_the_delay_is_bounded_and_never_shrinks(attempts: int, chance: float, now: float) -> None:
    def delay(tries: int) -> float:
        return next_attempt(tries, 0.0, lambda: chance)

    assert 0.5 <= delay(attempts) <= LONGEST_DELAY_SECONDS
    assert delay(attempts) <= delay(attempts + 1)
    assert next_attempt(attempts, now, lambda: chance) == pytest.approx(now + delay(attempts))


@given(attempts=st.integers(1, 100), one=st.floats(0, 1), other=st.floats(0, 1))
def test_chance_moves_it_by_half_at_most(attempts: int, one: float, other: float) -> None:
    first, second = next_attempt(attempts, 0.0, lambda: one), next_attempt(attempts, 0.0, lambda: other)
    assert first <= second * 2


def test_the_delay_doubles() -> None:
    assert [next_attempt(n, 0.0, lambda: 1.0) for n in (1, 2, 3, 4, 20)] == [
        1,
        2,
        4,
        8,
        LONGEST_DELAY_SECONDS,
    ]


def test_a_signature_is_what_the_contract_says() -> None:
    body = b'{"a":"\xc3\xa9"}'
    expected = hmac.new(b"s3cret", b"1770000000." + body, hashlib.sha256).hexdigest()
    assert sign(SecretStr("s3cret"), body, 1_770_000_000.9) == f"t=1770000000,v1={expected}"


@given(body=st.binary(), other=st.binary())
def test_another_body_or_moment_signs_otherwise(body: bytes, other: bytes) -> None:
    secret = SecretStr("s")
    assert (sign(secret, body, 1) == sign(secret, other, 1)) == (body == other)
    assert sign(secret, body, 1) != sign(secret, body, 2)
