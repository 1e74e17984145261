"""Inbound rules: what each decides, what is asked of a push, and how it is carried out on the call socket."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr, ValidationError

from fscontrol.calls import rules
from fscontrol.calls.finding import Trail
from fscontrol.calls.routing import Reason, Reject
from fscontrol.calls.rule_actions import Play, RuleActions
from fscontrol.calls.rules import (
    GoOn,
    InboundRules,
    NotifyThenReject,
    PlayAndHangUp,
    RejectByRule,
    RuleAction,
)
from fscontrol.errors import AudioRefused, CallerGone, FscontrolError, UrlUnavailable
from fscontrol.esl.call_socket import CallSession
from fscontrol.model.call import CallRecord
from fscontrol.model.inbound_rule import InboundRule
from fscontrol.model.trunk import Trunk

AUDIO = "https://audio.example.com/closed.wav"
HOOK = "https://hooks.example.com/calls"
TOKEN = "bearer-canary-51c0"


def trunk(**fields: object) -> Trunk:
    return Trunk.model_validate({"id": "t", "name": "t", "gateway": "192.0.2.1", **fields})


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({}, GoOn()),
        ({"inbound_rule": 3}, GoOn()),
        ({"inbound_rule": "assistant", "reject_audio_url": AUDIO}, GoOn()),
        ({"inbound_rule": 0}, RejectByRule(603, "the trunk's inbound_rule is reject")),
        (
            {"inbound_rule": "REJECT", "reject_sip_code": 486},
            RejectByRule(486, "the trunk's inbound_rule is reject"),
        ),
        (
            {"inbound_rule": "reject", "reject_audio_url": AUDIO},
            PlayAndHangUp(AUDIO, 603, "the trunk's inbound_rule is reject"),
        ),
        (
            {"inbound_rule": 1, "inbound_audio_url": AUDIO},
            PlayAndHangUp(AUDIO, 603, "the trunk's inbound_rule is play_and_hangup"),
        ),
        (
            {
                "inbound_rule": 2,
                "inbound_webhook_url": HOOK,
                "api_bearer_token": TOKEN,
                "reject_sip_code": 480,
            },
            NotifyThenReject(HOOK, SecretStr(TOKEN), 480, "the trunk's inbound_rule is notify_and_hangup"),
        ),
        ({"reject_incoming_calls": True}, RejectByRule(603, "the trunk has reject_incoming_calls")),
        (
            {"reject_incoming_calls": True, "inbound_rule": 2, "inbound_webhook_url": HOOK},
            RejectByRule(603, "the trunk has reject_incoming_calls"),
        ),
        (
            {"reject_incoming_calls": True, "reject_audio_url": AUDIO, "reject_sip_code": 404},
            PlayAndHangUp(AUDIO, 404, "the trunk has reject_incoming_calls"),
        ),
    ],
)
def test_what_a_rule_decides(fields: dict[str, object], action: RuleAction) -> None:
    assert rules.decide(rules.rules_of(trunk(**fields))) == action


@pytest.mark.parametrize(
    "fields",
    [
        {"inbound_rule": 4},
        {"inbound_rule": -1},
        {"inbound_rule": True},
        {"inbound_rule": "sometimes"},
        {"inbound_rule": "play_and_hangup"},
        {"inbound_rule": 2, "inbound_audio_url": AUDIO},
        {"reject_sip_code": 200},
        {"reject_sip_code": 302},
        {"reject_sip_code": 700},
        {"inbound_audio_url": "ftp://x.example/a.wav"},
        {"inbound_audio_url": "https://user:secret@x.example/a.wav"},
        {"inbound_audio_url": "https:///a.wav"},
        {"inbound_audio_url": "https://x.example:99999/a.wav"},
        {"inbound_audio_url": "https://x.example/a b.wav"},
        {"inbound_audio_url": "https://x.example/ä.wav"},
        {"inbound_webhook_url": "file:///etc/passwd"},
        {"inbound_webhook_url": "https://x.example/" + "a" * 2048},
        {"api_bearer_token": "two words"},
        {"api_bearer_token": "a\nb"},
        {"terminate_on_hold": "perhaps"},
    ],
)
def test_what_a_push_may_not_say(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        trunk(**fields)


def test_the_token_is_shown_nowhere() -> None:
    given = trunk(inbound_rule=2, inbound_webhook_url=HOOK, api_bearer_token=TOKEN)
    rule = rules.rules_of(given)
    for shown in (repr(given), given.model_dump_json(), repr(rule), str(rule), repr(rules.decide(rule))):
        assert "canary" not in shown


@dataclass
class Session:
    """A call socket: what was executed, and whether the caller is still there."""

    executed: list[tuple[str, str]] = field(default_factory=list)
    is_gone: bool = False
    is_slow: bool = False

    def execute(self, application: str, argument: str = "") -> None:
        self.executed.append((application, argument))

    def run_unless_gone(self, work: Callable[[], Any], _timeout: float) -> Any:
        if self.is_gone:
            raise CallerGone("gone")
        return None if self.is_slow else work()


@dataclass
class Web:
    """The outside: audio and webhook."""

    error: FscontrolError | None = None
    posted: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)

    def file_for(self, url: str) -> Path:
        if self.error:
            raise self.error
        return Path("/media/fetched/abc.wav")

    def post(self, url: str, body: bytes, headers: Mapping[str, str], _deadline: float) -> int:
        if self.error:
            raise self.error
        self.posted.append((url, body, dict(headers)))
        return 202


RECORD = CallRecord(
    call_sid="sip-1", direction="inbound", from_number="+15559876543", to_number="+15551230001"
)
PLAYS = InboundRules(rule=InboundRule.PLAY_AND_HANGUP, inbound_audio_url=AUDIO, reject_sip_code=486)
TELLS = InboundRules(
    rule=InboundRule.NOTIFY_AND_HANGUP,
    inbound_webhook_url=HOOK,
    api_bearer_token=SecretStr(TOKEN),
    reject_sip_code=480,
)


def apply(session: Session, web: Web, given: InboundRules) -> tuple[Reject | Play | None, Trail]:
    trail = Trail()
    actions = RuleActions(web, web, 2.0, lambda: 1_700_000_000.0)
    return actions.apply(cast(CallSession, session), RECORD, given, trail), trail


def test_an_assistants_call_goes_on_untouched() -> None:
    session = Session()
    decision, trail = apply(session, Web(), InboundRules())
    assert (decision, trail.steps, session.executed) == (None, [], [])


def test_a_rejected_call_hears_the_trunks_code() -> None:
    decision, trail = apply(Session(), Web(), InboundRules(rule=InboundRule.REJECT, reject_sip_code=600))
    assert isinstance(decision, Reject)
    assert (decision.reason, decision.sip_status) == (Reason.REJECTED_BY_RULE, 600)
    assert [(step.step, step.decision) for step in trail.steps] == [("rule", "rejected_by_rule")]


def test_the_audio_is_found_before_the_answer_and_handed_over_after_it() -> None:
    session = Session()
    decision, _trail = apply(session, Web(), PLAYS)
    assert isinstance(decision, Play)
    assert session.executed == []
    decision.hand_over(cast(CallSession, session))
    ((application, argument),) = session.executed
    assert application == "transfer"
    assert argument.endswith("playback:/media/fetched/abc.wav,hangup:NORMAL_CLEARING' inline")


@pytest.mark.parametrize(
    ("web", "slow", "why"),
    [
        (Web(AudioRefused("it is a page of text")), False, "page of text"),
        (Web(UrlUnavailable("too slow")), False, "too slow"),
        (Web(), True, "no audio within 2 s"),
    ],
)
def test_without_the_audio_the_call_is_refused_with_the_code(web: Web, slow: bool, why: str) -> None:
    decision, trail = apply(Session(is_slow=slow), web, PLAYS)
    assert isinstance(decision, Reject)
    assert decision.sip_status == 486
    assert why in trail.steps[0].detail


def test_the_webhook_is_told_with_bearer_and_signature_and_the_call_refused() -> None:
    web = Web()
    decision, trail = apply(Session(), web, TELLS)
    assert isinstance(decision, Reject)
    assert decision.sip_status == 480
    ((url, body, headers),) = web.posted
    told = json.loads(body)
    assert (url, told["event"], told["call_sid"], told["to_number"]) == (
        HOOK,
        "call.incoming",
        "sip-1",
        "+15551230001",
    )
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    expected = hmac.new(TOKEN.encode(), b"1700000000." + body, "sha256").hexdigest()
    assert headers["X-Signature"] == f"t=1700000000,v1={expected}"
    assert "canary" not in str(trail.steps)


def test_without_a_token_nothing_is_signed() -> None:
    web = Web()
    apply(Session(), web, InboundRules(rule=InboundRule.NOTIFY_AND_HANGUP, inbound_webhook_url=HOOK))
    assert web.posted[0][2].keys() == {"Content-Type", "Idempotency-Key"}


@pytest.mark.parametrize(("web", "slow"), [(Web(UrlUnavailable("down")), False), (Web(), True)])
def test_a_silent_webhook_changes_nothing_for_the_caller(web: Web, slow: bool) -> None:
    decision, _trail = apply(Session(is_slow=slow), web, TELLS)
    assert isinstance(decision, Reject)
    assert decision.sip_status == 480


@pytest.mark.parametrize("given", [PLAYS, TELLS])
def test_a_caller_who_leaves_is_not_waited_for(given: InboundRules) -> None:
    with pytest.raises(CallerGone):
        apply(Session(is_gone=True), Web(), given)
