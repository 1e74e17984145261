"""The headers of a live call's INVITE, from the variables FreeSWITCH makes of them (FREESWITCH.md §3); pure.

Owns: which variable holds which header. Refuses: to interpret a value.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

from fscontrol.calls.called_number import REQUEST_URI, TO
from fscontrol.esl.event import Event


def header_values(call: Event) -> Callable[[str], Iterable[str]]:
    """How to get a source's values from a call's variables (FREESWITCH.md §3)."""
    # Most headers are not there, and are asked for under three names, twice: looked for one by one in a call's 9 kB,
    # they were half of what its route costs.
    there = call.variables("sip_i_") | call.variables("sip_h_")

    def values_of(source: str) -> list[str]:
        if source == REQUEST_URI:
            return _present(call.variable("sip_req_uri") or call.variable("sip_req_user"))
        if source == TO:
            # sip_to_user is FreeSWITCH's reading; the header itself is what was sent.
            return _present(call.variable("sip_full_to") or call.variable("sip_to_uri"))
        value = next(
            (value for name in _names(source) if name in there and (value := call.variable(name))), None
        )
        if value is None and source == "History-Info":
            value = call.variable("sip_history_info")
        if value is not None and value.startswith("ARRAY::"):
            return value.removeprefix("ARRAY::").split("|:")
        return _present(value)

    return functools.cache(values_of)  # asked for what they claim, and again for what was too long to be read


@functools.lru_cache(maxsize=256)  # those looked for in each call, and those that trunks name
def _names(source: str) -> tuple[str, ...]:
    """sip_i_* holds all values of a repeated header; sip_h_* only the last, under the sender's spelling."""
    return f"sip_i_{source.lower().replace('-', '_')}", f"sip_h_{source}", f"sip_h_{source.lower()}"


def _present(value: str | None) -> list[str]:
    return [value] if value else []
