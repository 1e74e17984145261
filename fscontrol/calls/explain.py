"""What would become of a pasted INVITE: the same way-finding as for a live call, and nothing else happens."""

from __future__ import annotations

from typing import Any

from fscontrol.calls import rules
from fscontrol.calls.finding import Asked, Trail, WayFinder
from fscontrol.calls.invite_text import parse_invite
from fscontrol.calls.routing import Accept, Reason, Reject
from fscontrol.calls.rules import GoOn, PlayAndHangUp


def explain_invite(ways: WayFinder, text: str, source_ip: str) -> dict[str, Any]:
    """The decision, its reason, every candidate and step. Without `source_ip` the INVITE's own Via is taken, and said.

    Raises `MalformedBody` for text that is no INVITE, `StoreError`.
    """
    invite = parse_invite(text)
    trail = Trail()
    verdict = ways.find(Asked(source_ip or invite.sender, invite.values_of, invite.sdp, decode=True), trail)
    told = _told(verdict.decision)
    if isinstance(verdict.decision, Accept):
        told |= _by_rule(verdict.decision, trail)
    explanation: dict[str, Any] = {
        **told,
        "source_ip": source_ip or invite.sender,
        "source_ip_assumed": not source_ip,
    }
    explanation["candidates"] = [candidate.model_dump(mode="json") for candidate in verdict.candidates]
    explanation["steps"] = [step.model_dump(mode="json") for step in trail.steps]
    return explanation


def _by_rule(decision: Accept, trail: Trail) -> dict[str, Any]:
    """What the trunk's inbound rule would make of a call with this way; nothing is fetched, told or played."""
    action = rules.decide(decision.source.inbound)
    if isinstance(action, GoOn):
        return {}
    trail.note("rule", Reason.REJECTED_BY_RULE, action.detail)
    plays = isinstance(action, PlayAndHangUp)
    return {
        "decision": "play and hang up" if plays else "reject",
        "sip_status": 200 if plays else action.sip_code,
        "reason": Reason.REJECTED_BY_RULE.value,
        "detail": action.detail,
    }


def _told(decision: Accept | Reject) -> dict[str, Any]:
    nobody = dict.fromkeys(("organization_id", "trunk_id", "to_number", "assistant_id", "flow_id"))
    if isinstance(decision, Reject):
        refused = {"decision": "reject", "sip_status": decision.sip_status, "reason": decision.reason.value}
        return {**refused, "detail": decision.detail, **nobody}
    return {
        "decision": "accept",
        "sip_status": 200,
        "reason": "",
        "detail": f"{decision.claim.source} names {decision.number.phone_number}",
        "organization_id": decision.source.organization_id,
        "trunk_id": decision.source.trunk_id,
        "to_number": decision.number.phone_number,
        "assistant_id": decision.assistant_id,
        "flow_id": decision.flow_id,
    }
