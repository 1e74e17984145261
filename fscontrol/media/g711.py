"""µ-law and linear audio, by C routines (ITU-T G.711)."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # In the standard library until Python 3.12, from the package audioop-lts after that (setup.cfg).
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

_SAMPLE_BYTES = 2


def to_ulaw(linear: bytes) -> bytes:
    """16-bit host-order samples as µ-law; an odd byte at the end is dropped."""
    return audioop.lin2ulaw(linear[:-1] if len(linear) % _SAMPLE_BYTES else linear, _SAMPLE_BYTES)


def to_linear(ulaw: bytes) -> bytes:
    """µ-law as 16-bit host-order samples."""
    return audioop.ulaw2lin(ulaw, _SAMPLE_BYTES)
