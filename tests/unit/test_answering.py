"""How a trunk's calls are answered, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from fscontrol.calls.answering import (
    LONGEST_VALUE,
    AnswerRules,
    answer_rules_of,
    channel_variables,
    told_by_headers,
    told_to_assistant,
    why_not_answerable,
)
from fscontrol.model.trunk import Trunk

PLAIN = "m=audio 41000 RTP/AVP 0 8 101"
SECURE = "m=audio 41000 RTP/SAVP 0 8 101"
DTLS = "m=audio 41000 UDP/TLS/RTP/SAVPF 0"


def trunk(**fields: Any) -> Trunk:
    return Trunk.model_validate({"id": "t", "name": "t", "gateway": "192.0.2.1", **fields})


@pytest.mark.parametrize(
    ("encryption", "offer", "refused"),
    [
        ("off", [PLAIN], ""),
        ("off", [SECURE], "media_encryption is off"),
        ("off", [DTLS], "media_encryption is off"),
        ("off", [SECURE, PLAIN], ""),
        ("off", [SECURE, PLAIN.replace("41000", "0")], "media_encryption is off"),
        ("optional", [PLAIN], ""),
        ("optional", [SECURE], ""),
        ("required", [SECURE], ""),
        ("required", [DTLS], ""),
        ("required", [PLAIN], "requires SRTP, and the INVITE offers RTP/AVP"),
        ("required", [SECURE.replace("41000", "0"), PLAIN], "requires SRTP"),
        ("required", ["s=-"], ""),
        ("off", [], ""),
        ("required", ["m=audio", "m=video 1 RTP/AVP 96"], ""),
    ],
)
def test_which_offers_can_be_answered(encryption: str, offer: list[str], refused: str) -> None:
    sdp = "\r\n".join(["v=0", *offer])
    why = why_not_answerable(answer_rules_of(trunk(media_encryption=encryption)), sdp)
    assert (why is not None) == bool(refused)
    assert refused in (why or "")


def test_keys_are_not_asked_of_who_offers_nothing() -> None:
    assert why_not_answerable(answer_rules_of(trunk(media_encryption="optional")), "") is None
    why = why_not_answerable(answer_rules_of(trunk(media_encryption="required")), "\r\n")
    assert why == "the trunk requires SRTP, and the INVITE has no SDP"


@pytest.mark.parametrize(
    ("encryption", "offer", "variables"),
    [
        ("off", PLAIN, {"rtp_secure_media": "forbidden", "rtp_allow_crypto_in_avp": "true"}),
        ("optional", PLAIN, {"rtp_secure_media": "forbidden", "rtp_allow_crypto_in_avp": "true"}),
        ("optional", SECURE, {"rtp_secure_media": "optional"}),
        ("required", SECURE, {"rtp_secure_media": "mandatory"}),
        ("off", f"{SECURE}\n{PLAIN}", {"rtp_secure_media": "forbidden"}),
    ],
)
def test_how_an_offer_is_answered(encryption: str, offer: str, variables: dict[str, str]) -> None:
    assert channel_variables(answer_rules_of(trunk(media_encryption=encryption)), offer) == variables


@pytest.mark.parametrize(
    ("fields", "variables"),
    [
        ({}, {}),
        ({"dtmf_mode": "info"}, {"dtmf_type": "info"}),
        (
            {"codecs": ["opus", "pcma@8000h@20i", "PCMU", "PCMA"]},
            {"absolute_codec_string": "PCMA,PCMU", "rtp_codec_negotiation": "greedy"},
        ),
        ({"codecs": []}, {}),
    ],
)
def test_what_is_set_on_the_channel(fields: dict[str, Any], variables: dict[str, str]) -> None:
    usual = channel_variables(answer_rules_of(trunk()), PLAIN)
    assert channel_variables(answer_rules_of(trunk(**fields)), PLAIN) == {**usual, **variables}


def test_what_headers_tell() -> None:
    rules = answer_rules_of(trunk(headers_to_variables={"X-A": "a", "X-B": "b", "X-C": "c"}))
    headers = {"X-A": ["first", "second"], "X-B": ["x\r\ny" + "z" * 1000]}
    told = told_by_headers(rules, lambda name: headers.get(name, []))
    assert told["a"] == "first"
    assert told["b"].startswith("x\ufffd\ufffdy")
    assert len(told["b"]) == LONGEST_VALUE
    assert "c" not in told


def test_the_trunks_agent_is_told_whatever_a_header_says() -> None:
    rules = AnswerRules(headers_to_variables=(("X-Agent", "agent_id"),), agent_id="dag-17")
    assert told_to_assistant(rules, lambda _name: ["somebody else's"]) == {"agent_id": "dag-17"}
    assert told_to_assistant(AnswerRules(), lambda _name: []) == {}
