"""How a trunk and its state are shown, as models; a part of `answers`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from fscontrol.calls.breaker import BreakerState
from fscontrol.http.described import Described
from fscontrol.model.inbound_rule import BearerToken
from fscontrol.model.trunk import Secret, Trunk

_Moment = Annotated[float, Field(description="Seconds since the epoch.")]


class BreakerShown(Described):
    """A trunk's circuit breaker; `until`: when a call may try again. `trips`: times in a row that it opened."""

    state: BreakerState
    since: _Moment | None
    until: _Moment | None
    why: str
    trips: int


class FiguresOfDirection(Described):
    """Of the last hour: `asr` in percent, `acd` and `pdd` in seconds; 0 where nothing says anything."""

    asr: float
    acd: int
    mos: float
    pdd: float
    attempts: int
    answered: int


class FiguresShown(FiguresOfDirection):
    """Both directions together and each; `concurrent` are the calls in progress."""

    concurrent: int
    inbound: FiguresOfDirection
    outbound: FiguresOfDirection


class TrunkState(Described):
    """How a trunk does."""

    is_cb_tripped: bool
    breaker: BreakerShown
    figures: FiguresShown


class ShownTrunk(Trunk, TrunkState):
    """A trunk without its secrets, and how it does."""

    password: Secret = Field(default=SecretStr(""), exclude=True)
    api_bearer_token: BearerToken = Field(default=SecretStr(""), exclude=True)
