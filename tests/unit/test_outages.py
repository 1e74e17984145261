"""A trouble that lasts is told twice: when it begins, and when it is over."""

from fscontrol.telemetry.outages import Outage


def test_only_the_ends_are_news() -> None:
    outage = Outage()
    assert not outage.ends()
    assert [outage.begins() for _ in range(3)] == [True, False, False]
    assert [outage.ends() for _ in range(3)] == [True, False, False]
    assert outage.begins()
