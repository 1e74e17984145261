"""The headers of a live call's INVITE, from the variables FreeSWITCH makes of them (FREESWITCH.md §3); pure.

Owns: which variable holds which header. Refuses: to interpret a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fscontrol.calls.called_number import REQUEST_URI, TO
from fscontrol.esl.event import Event


def header_values(call: Event) -> Callable[[str], Iterable[str]]:
    """How to get a source's values from a call's variables (FREESWITCH.md §3)."""

    def values_of(source: str) -> list[str]:
        if source == REQUEST_URI:
            return _present(call.variable("sip_req_uri") or call.variable("sip_req_user"))
        if source == TO:
            # sip_to_user is FreeSWITCH's reading; the header itself is what was sent.
            return _present(call.variable("sip_full_to") or call.variable("sip_to_uri"))
        # sip_i_* holds all values of a repeated header; sip_h_* only the last, under the sender's spelling.
        names = (f"sip_i_{source.lower().replace('-', '_')}", f"sip_h_{source}", f"sip_h_{source.lower()}")
        value = next(filter(None, map(call.variable, names)), None)
        if value is None and source == "History-Info":
            value = call.variable("sip_history_info")
        if value is not None and value.startswith("ARRAY::"):
            return value.removeprefix("ARRAY::").split("|:")
        return _present(value)

    return values_of


def _present(value: str | None) -> list[str]:
    return [value] if value else []
