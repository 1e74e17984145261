"""How the calls of a trunk are answered: codecs, DTMF, encryption, the longest call, and what headers tell; pure.

Owns: what of a trunk's fields (CONTRACTS.md §8) becomes which variable of FreeSWITCH's channel, all of them set before
the answer. Refuses: a call whose SDP cannot be answered as the trunk wants it; `finding` says so with a 488.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from fscontrol.calls.addresses import printable
from fscontrol.model.trunk import Trunk

HANGUP_AT_VARIABLE = "fscontrol_hangup_at"
"""Epoch second by FreeSWITCH's clock at which the call ends, wherever it is then: each parking schedules it anew."""
LONGEST_VALUE = 256
_LONGEST_SDP = 65_536
_SECURE_MEDIA = {"off": "forbidden", "optional": "optional", "required": "mandatory"}


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """A trunk's own words on its answered calls. `headers_to_variables` are pairs of header and variable."""

    codecs: tuple[str, ...] = ()
    dtmf_mode: Literal["rfc2833", "info", "none"] | None = None
    media_encryption: Literal["off", "optional", "required"] = "off"
    max_call_seconds: int | None = None
    headers_to_variables: tuple[tuple[str, str], ...] = ()
    agent_id: str = ""


_USUAL = AnswerRules()
"""What most trunks have: one object for all of them."""


def answer_rules_of(trunk: Trunk) -> AnswerRules:
    """Those of a trunk."""
    found = AnswerRules(
        trunk.carried_codecs,
        trunk.dtmf_mode,
        trunk.media_encryption,
        trunk.max_call_seconds,
        tuple(trunk.headers_to_variables.items()),
        trunk.agent_id,
    )
    return _USUAL if found == _USUAL else found


def why_not_answerable(rules: AnswerRules, sdp: str) -> str | None:
    """Why an offer cannot be answered with the encryption the trunk wants; None when it can, or offers no audio.

    An offer of RTP/SAVP alone cannot be answered in the clear (RFC 4568 §6.1), nor one of RTP/AVP encrypted. Where the
    INVITE offers nothing we would, and the keys in the caller's answer might come by a way that TLS does not cover: of
    such a call FreeSWITCH gives an address of UDP to send the ACK to (run).
    """
    if rules.media_encryption == "required" and not sdp.strip():
        return "the trunk requires SRTP, and the INVITE has no SDP"
    offered = list(_audio_profiles(sdp))
    secure = [profile for profile in offered if "SAVP" in profile]
    if rules.media_encryption == "required" and offered and not secure:
        return f"the trunk requires SRTP, and the INVITE offers {offered[0]}"
    if rules.media_encryption == "off" and secure and len(secure) == len(offered):
        return f"the trunk's media_encryption is off, and the INVITE offers {secure[0]} alone"
    return None


def channel_variables(rules: AnswerRules, sdp: str) -> dict[str, str]:
    """What is set on the channel before the answer to that offer."""
    # To keys in an offer of RTP/AVP ("encrypted, if you can") FreeSWITCH answers 488 or, allowed them, RTP/SAVP, which
    # is no answer to it (run). Allowed and forbidden to use them, it answers in the clear.
    secure = any("SAVP" in profile for profile in _audio_profiles(sdp))
    word = _SECURE_MEDIA[rules.media_encryption] if secure else "forbidden"
    variables = {"rtp_secure_media": word}
    if not secure:
        variables["rtp_allow_crypto_in_avp"] = "true"
    if rules.codecs:
        # Greedy: the trunk's order goes before the caller's.
        variables |= {"absolute_codec_string": ",".join(rules.codecs), "rtp_codec_negotiation": "greedy"}
    if rules.dtmf_mode:
        variables["dtmf_type"] = rules.dtmf_mode
    return variables


def told_by_headers(rules: AnswerRules, values_of: Callable[[str], Iterable[str]]) -> dict[str, str]:
    """The variables of a call that its INVITE's headers fill; of a repeated header the first one counts."""
    found = {}
    for header, variable in rules.headers_to_variables:
        value = next(iter(values_of(header)), None)
        if value is not None:
            found[variable] = printable(value)[:LONGEST_VALUE]
    return found


def told_to_assistant(rules: AnswerRules, values_of: Callable[[str], Iterable[str]]) -> dict[str, str]:
    """The variables of a call: those of its headers, and over them the agent that its trunk is bound to."""
    bound = {"agent_id": rules.agent_id} if rules.agent_id else {}
    return told_by_headers(rules, values_of) | bound


def _audio_profiles(sdp: str) -> Iterable[str]:
    """The transport protocols of the audio streams an SDP offers (RFC 4566 §5.14); port 0 offers none."""
    for line in sdp[:_LONGEST_SDP].splitlines():
        fields = line.split()
        if line.startswith("m=audio") and len(fields) > 3 and fields[1] != "0":
            yield fields[2].upper()
