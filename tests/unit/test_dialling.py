"""An E.164 number as a trunk's carrier wants it, and what the sender of a trunk is told of its caller ids."""

from __future__ import annotations

import pytest

from fscontrol.calls.dialling import dialled
from fscontrol.calls.ordering import Wanted, order
from fscontrol.errors import NotFound
from fscontrol.model.organization import Organization, PhoneNumber
from fscontrol.model.trunk import Trunk
from fscontrol.provisioning.push_warnings import warnings_of_trunk

OURS = "+15551230001"


@pytest.mark.parametrize(
    ("prefix", "leading_plus", "sent"),
    [
        ("", None, "+15559876543"),
        ("", True, "+15559876543"),
        ("", False, "15559876543"),
        ("99", None, "9915559876543"),
        ("99", True, "99+15559876543"),
        ("99", False, "9915559876543"),
    ],
)
def test_what_is_dialled(prefix: str, leading_plus: bool | None, sent: str) -> None:
    trunk = Trunk(id="a", name="a", gateway="a.example.com", tech_prefix=prefix, leading_plus=leading_plus)
    assert dialled(trunk, "+15559876543") == sent


def test_a_caller_id_that_no_call_can_show_is_told() -> None:
    numbers = ("+15551230001", "5551230002", "anonymous")
    trunk = Trunk(id="a", name="a", gateway="a.example.com", caller_id_numbers=numbers)
    (said,) = warnings_of_trunk(trunk)
    assert said.endswith(": 5551230002, anonymous")


@pytest.mark.parametrize(
    ("numbers_own", "asked", "talks"), [(4, 0, 4), (None, 0, None), (0, None, None), (4, 5, 5)]
)
def test_assistant_0_is_none(numbers_own: int | None, asked: int | None, talks: int | None) -> None:
    number = PhoneNumber(id=1, phone_number=OURS, assistant_id=numbers_own)
    organization = Organization(id=7, phone_numbers=(number,))
    wanted = Wanted(from_number=OURS, to_number="+15559876543", assistant_id=asked)
    if talks is None:
        with pytest.raises(NotFound):
            order(organization, wanted)
    else:
        assert order(organization, wanted).assistant_id == talks
