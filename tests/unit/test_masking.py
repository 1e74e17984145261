"""Numbers masked, however they are written."""

import pytest

from fscontrol.calls.masking import masked_text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("+14155552602", "+********602"),
        ("+1-415-555-2602", "+*-***-***-*602"),
        ("(415) 555-2602", "(***) ***-*602"),
        ("tel:+1.415.555.2602;ext=12", "tel:+*.***.***.*602;ext=12"),
        ("+1 415 555 2602", "+* *** *** *602"),
        ("9228", "9228"),
        ("sip:anonymous@anonymous.invalid", "sip:anonymous@anonymous.invalid"),
    ],
)
def test_masked_text(text: str, masked: str) -> None:
    assert masked_text(text) == masked
