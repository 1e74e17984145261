"""INVITEs for tests, as text."""

from __future__ import annotations

SDP = """v=0
o=pbx 53655765 2353687637 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio 41000 RTP/AVP 0 8 101
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
"""


def invite(
    request_user: str, *headers: str, to: str = "", caller: str = "+15559876543", host: str = "127.0.0.1"
) -> str:
    """An INVITE for `request_user@host`; `headers` are whole lines put before the body, `to` the user of To."""
    return "\n".join(
        [
            f"INVITE sip:{request_user}@{host}:5060 SIP/2.0",
            "Via: SIP/2.0/UDP 127.0.0.1:5121;branch=z9hG4bK-1",
            f'From: "Caller, Joe" <sip:{caller}@pbx.example.com>;tag=1SIPpTag001',
            f"To: <sip:{to or request_user}@{host}>",
            "Call-ID: 1-1@127.0.0.1",
            "CSeq: 1 INVITE",
            "Contact: sip:pbx@127.0.0.1:5121",
            "Max-Forwards: 70",
            *headers,
            "Content-Type: application/sdp",
            "Content-Length: [len]",
            "",
            SDP,
        ]
    )


def offerless(text: str) -> str:
    """An INVITE without its SDP: the caller answers our offer with the ACK (RFC 3261 §13.2.1)."""
    return text.partition("\n\n")[0].replace("Content-Type: application/sdp\n", "") + "\n\n"
