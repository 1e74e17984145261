"""The headers of a live call's INVITE, from the variables FreeSWITCH makes of them (FREESWITCH.md §3); pure.

Owns: which variable holds which header. Refuses: to interpret a value.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

from fscontrol.calls.called_number import HEADERS, REQUEST_URI, SOURCES, TO
from fscontrol.esl.event import Event, Variables


def header_values(call: Event) -> Callable[[str], Iterable[str]]:
    """How to get a source's values from a call's variables (FREESWITCH.md §3)."""
    # Most of the headers that may name the called number are not there: all are looked for in one pass.
    found = call.variables(_AT_ONCE)
    silent = _SOURCES.difference(map(_SOURCE_OF.get, found))

    def values_of(source: str) -> tuple[str, ...]:
        if source in silent:
            return ()
        for name in _NAMES.get(source) or _names(source):
            if value := found.get(name) if name in _AT_ONCE.names else call.variable(name):
                if source not in _ONE_URI and value.startswith("ARRAY::"):
                    return tuple(value.removeprefix("ARRAY::").split("|:"))
                return (value,)
        return ()

    return values_of


@functools.lru_cache(maxsize=256)  # those that trunks name
def _names(source: str) -> tuple[str, ...]:
    """sip_i_* holds all values of a repeated header; sip_h_* only the last, under the sender's spelling."""
    return f"sip_i_{source.lower().replace('-', '_')}", f"sip_h_{source}", f"sip_h_{source.lower()}"


_NAMES = {
    **{source: _names(source) for source in HEADERS},
    "History-Info": (*_names("History-Info"), "sip_history_info"),
    REQUEST_URI: ("sip_req_uri", "sip_req_user"),
    # sip_to_user is FreeSWITCH's reading; the header itself is what was sent.
    TO: ("sip_full_to", "sip_to_uri"),
}
"""The variables that hold what may name the called number; the first that says anything counts."""
_OTHERWISE = ("sip_req_user", "sip_to_uri")
"""In every call, and asked for in hardly any."""
_ONE_URI = (REQUEST_URI, TO)
_SOURCE_OF = {name: source for source in HEADERS for name in _NAMES[source]}
_SOURCES = frozenset(HEADERS)
_AT_ONCE = Variables(name for source in SOURCES for name in _NAMES[source] if name not in _OTHERWISE)
