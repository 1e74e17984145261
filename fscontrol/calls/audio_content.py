"""What kind of audio some bytes are; pure. By their content: a name or a Content-Type is only a claim.

Owns: the kinds that a stock FreeSWITCH (mod_sndfile) plays; it converts rates and channels itself. Refuses
(`AudioRefused`): everything else, an MP3 as much as a login page, and a WAV that has a head and nothing to play.
"""

from __future__ import annotations

import struct

from fscontrol.errors import AudioRefused

EXTENSIONS = ("wav", "aiff", "au", "flac", "ogg")
_WAV_CODINGS = {1: "PCM", 2: "MS ADPCM", 3: "float", 6: "A-law", 7: "µ-law", 0x11: "IMA ADPCM", 0x31: "GSM"}
_EXTENSIBLE = 0xFFFE
_RATES = range(4_000, 192_001)


def kind_of(data: bytes) -> str:
    """The file name extension FreeSWITCH needs to play these bytes; raises `AudioRefused` saying what they are not."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        _check_wav(data)
        return "wav"
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if data[:4] == b".snd":
        return "au"
    if data[:4] == b"fLaC":
        return "flac"
    if data[:4] == b"OggS":
        return "ogg"
    raise AudioRefused(f"it is {_name_of(data)}; WAV, AIFF, AU, FLAC and Ogg are played")


def _name_of(data: bytes) -> str:
    if not data:
        return "empty"
    if data[:3] == b"ID3" or (data[0] == 0xFF and len(data) > 1 and data[1] & 0xE0 == 0xE0):
        return "MP3, which a stock FreeSWITCH does not play"
    if data.lstrip()[:1] == b"<":
        return "a page of text"
    return "no audio that can be recognised"


def _check_wav(data: bytes) -> None:
    """Walk the chunks: a format that is known, then samples."""
    at, known = 12, False
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if name == b"fmt ":
            _check_format(data[at : at + size])
            known = True
        elif name == b"data":
            if not known:
                raise AudioRefused("it is a WAV whose samples come before their format")
            if not min(size, len(data) - at):
                raise AudioRefused("it is a WAV without a single sample")
            return
        at += size + (size & 1)
    raise AudioRefused("it is a WAV without samples")


def _check_format(chunk: bytes) -> None:
    if len(chunk) < 16:
        raise AudioRefused("it is a WAV whose format is cut off")
    coding, channels, rate = struct.unpack_from("<HHI", chunk)
    if coding == _EXTENSIBLE and len(chunk) >= 26:
        (coding,) = struct.unpack_from("<H", chunk, 24)
    if coding not in _WAV_CODINGS:
        raise AudioRefused(f"it is a WAV in the coding {coding:#x}, which is not played")
    if channels not in (1, 2) or rate not in _RATES:
        raise AudioRefused(
            f"it is a WAV of {channels} channels at {rate} Hz; one or two at 4 to 192 kHz are played"
        )
