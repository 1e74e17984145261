"""What a trunk's inbound rule makes of a call that has been routed (CONTRACTS.md §6); pure.

Owns: the decision, from the trunk's fields alone. Refuses: fetching, telling and playing; see `rule_actions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import SecretStr

from fscontrol.model.inbound_rule import InboundRule
from fscontrol.model.trunk import Trunk


@dataclass(frozen=True, slots=True)
class InboundRules:
    """A trunk's rule and what goes with it."""

    rule: InboundRule = InboundRule.ASSISTANT
    reject_incoming_calls: bool = False
    reject_sip_code: int = 603
    reject_audio_url: str = ""
    inbound_audio_url: str = ""
    inbound_webhook_url: str = ""
    api_bearer_token: SecretStr = field(default=SecretStr(""), repr=False)


_USUAL = InboundRules()
"""What most trunks have: one object for all of them."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """The call goes to its assistant."""


@dataclass(frozen=True, slots=True)
class RejectByRule:
    """The call is refused with the trunk's own code."""

    sip_code: int
    detail: str


@dataclass(frozen=True, slots=True)
class PlayAndHangUp:
    """The call is answered, hears the audio of `url` and ends; `sip_code` when there is no such audio."""

    url: str
    sip_code: int
    detail: str


@dataclass(frozen=True, slots=True)
class NotifyThenReject:
    """`url` is told before any answer, then the call is refused. `token` is the bearer and signs."""

    url: str
    token: SecretStr
    sip_code: int
    detail: str


RuleAction = GoOn | RejectByRule | PlayAndHangUp | NotifyThenReject


def rules_of(trunk: Trunk) -> InboundRules:
    """The rule of a trunk."""
    found = InboundRules(
        trunk.inbound_rule,
        trunk.reject_incoming_calls,
        trunk.reject_sip_code,
        trunk.reject_audio_url,
        trunk.inbound_audio_url,
        trunk.inbound_webhook_url,
        trunk.api_bearer_token,
    )
    return _USUAL if found == _USUAL else found


def decide(rules: InboundRules) -> RuleAction:
    """What to do with a call. `reject_incoming_calls` stands over the rule, whatever that is."""
    code = rules.reject_sip_code
    if rules.reject_incoming_calls:
        return _rejected(rules, "the trunk has reject_incoming_calls")
    match rules.rule:
        case InboundRule.ASSISTANT:
            return GoOn()
        case InboundRule.REJECT:
            return _rejected(rules, "the trunk's inbound_rule is reject")
        case InboundRule.PLAY_AND_HANGUP:
            return PlayAndHangUp(rules.inbound_audio_url, code, "the trunk's inbound_rule is play_and_hangup")
        case InboundRule.NOTIFY_AND_HANGUP:
            why = "the trunk's inbound_rule is notify_and_hangup"
            return NotifyThenReject(rules.inbound_webhook_url, rules.api_bearer_token, code, why)


def _rejected(rules: InboundRules, why: str) -> RuleAction:
    if rules.reject_audio_url:
        return PlayAndHangUp(rules.reject_audio_url, rules.reject_sip_code, why)
    return RejectByRule(rules.reject_sip_code, why)
