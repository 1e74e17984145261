"""The dialplan applications a leg can run.

Owns: what each does to a channel. Refuses: media, and applications nobody here needs. The `socket` application stands
in `call_socket.py`, `playback` and `bridge` in `live.py`.
"""

from __future__ import annotations

from gevent.event import Event

from fscontrol.simulator.causes import known_cause
from fscontrol.simulator.gateway import leading_number
from fscontrol.simulator.leg import Application, Leg
from fscontrol.simulator.live import bridge, playback
from fscontrol.simulator.live_api import words_of

_A_LONG_TIME = 10 * 365 * 86_400.0


def _set(leg: Leg, data: str) -> None:
    name, equals, value = data.partition("=")
    # `name=` and `_undef_` both remove the variable.
    leg.channel.set(name.strip(), "" if value == "_undef_" or not equals else value)


def _export(leg: Leg, data: str) -> None:
    plain = data.removeprefix("nolocal:")
    if plain == data:
        _set(leg, plain)
    name = plain.partition("=")[0]
    exported = leg.channel.get("export_vars")
    leg.channel.set("export_vars", f"{exported},{name}" if exported else name)


def _multiset(leg: Leg, data: str) -> None:
    separator = " "
    if data.startswith("^^") and len(data) > 2:
        separator, data = data[2], data[3:]
    for pair in data.split(separator):
        if "=" in pair:
            _set(leg, pair)


def _unset(leg: Leg, data: str) -> None:
    leg.channel.set(data.strip(), "")


def _respond(leg: Leg, data: str) -> None:
    leg.respond(leading_number(data) if data else 200)


def _hangup(leg: Leg, data: str) -> None:
    leg.hang_up(known_cause(data) if data else "NORMAL_CLEARING")


def _transfer(leg: Leg, data: str) -> None:
    words = words_of(data)
    if len(words) > 1 and words[1].lower() == "inline":
        leg.transfer_inline(words[0])
    elif words:
        leg.transfer_to(words[0], words[2] if len(words) > 2 else "")


def _sleep(leg: Leg, data: str) -> None:
    leg.pause(leading_number(data) / 1000)


def _until_the_end(leg: Leg, _data: str) -> None:
    leg.pause(_A_LONG_TIME)


def _sched_hangup(leg: Leg, data: str) -> None:
    when, _, cause = data.partition(" ")
    seconds = float(leading_number(when.lstrip("+")))
    if not when.startswith("+"):
        seconds -= leg.node.wall()

    def hang_up_then() -> None:
        leg.node.wait(Event(), seconds)
        leg.hang_up(known_cause(cause) if cause else "ALLOTTED_TIMEOUT")

    timer = leg.node.spawn(hang_up_then, "sched_hangup")
    leg.cancel_timers.append(lambda: timer.kill(block=False))


def _sched_cancel(leg: Leg, _data: str) -> None:
    for cancel in leg.cancel_timers:
        cancel()
    leg.cancel_timers.clear()


def _nothing(_leg: Leg, _data: str) -> None:
    """Media and logging: done at once."""


APPLICATIONS: dict[str, Application] = {
    "answer": lambda leg, _data: leg.answer(),
    "pre_answer": lambda leg, _data: leg.pre_answer(),
    "ring_ready": lambda leg, _data: leg.ring(),
    "park": lambda leg, _data: leg.park(),
    "respond": _respond,
    "hangup": _hangup,
    "set": _set,
    "export": _export,
    "multiset": _multiset,
    "unset": _unset,
    "transfer": _transfer,
    "sleep": _sleep,
    "sched_hangup": _sched_hangup,
    "sched_cancel": _sched_cancel,
    "playback": playback,
    "bridge": bridge,
}
APPLICATIONS |= dict.fromkeys(("echo", "endless_playback"), _until_the_end)
APPLICATIONS |= dict.fromkeys(("record_session", "stop_record_session", "tone_detect"), _nothing)
APPLICATIONS |= dict.fromkeys(("start_dtmf", "stop_dtmf", "send_dtmf", "flush_dtmf"), _nothing)
APPLICATIONS |= dict.fromkeys(("log", "info", "verbose_events", "limit", "set_user"), _nothing)
