"""`POST /api/calls/{call_sid}/…`: what can be done to a live call; and `POST /api/v1/calls/{call_sid}/terminate`.

Served by every control plane, whoever steers the call's node. A lease keeps two from reconciling one node by views of
their own; this is one order for one call, asked of FreeSWITCH's own state and done once. To refuse it while a lease
changes hands would leave an operator with a caller whom nobody can hang up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self, TypeVar

from flask import Blueprint, Response, jsonify
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.config import JsonDict

from fscontrol.calls.book import CallBook
from fscontrol.calls.control import CallControl
from fscontrol.calls.live import Outcome
from fscontrol.calls.transfer import CallTransfer
from fscontrol.errors import CallOver, InvalidDocument, MalformedBody, Problem, UnsafeArgument
from fscontrol.esl import call_commands
from fscontrol.http import body
from fscontrol.http.answers import Acted, Said
from fscontrol.http.audit import note
from fscontrol.http.auth import require_sight
from fscontrol.http.operation import operation
from fscontrol.model.access import Role
from fscontrol.model.inbound_rule import WebUrl
from fscontrol.store.base import Store

Cause = Literal[
    "NORMAL_CLEARING",
    "USER_BUSY",
    "CALL_REJECTED",
    "NO_ANSWER",
    "NORMAL_TEMPORARY_FAILURE",
    "UNALLOCATED_NUMBER",
    "MANAGER_REQUEST",
]


def _checked(check: Callable[[str], str], words: str) -> AfterValidator:
    """A field that becomes part of a command: what the command would refuse is a problem of the document."""

    def validate(value: str) -> str:
        try:
            return check(value)
        except UnsafeArgument:
            raise ValueError(words) from None

    return AfterValidator(validate)


Number = Annotated[str, Field(pattern=r"^\+?[0-9]{1,32}$")]
Digits = Annotated[str, Field(pattern=r"^[0-9*#A-DwW]{1,64}$")]
SipUri = Annotated[
    str, _checked(call_commands.sip_uri, "must be sip:user@host[:port][;transport=udp|tcp|tls]")
]
MediaFile = Annotated[
    str,
    _checked(
        call_commands.media_file,
        "must be the name of a file in the media directory: letters, digits, _ . - /",
    ),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


def _shown(example: JsonDict) -> ConfigDict:
    """What is shown of a body to whoever reads the documentation."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class Nothing(_Body):
    """An action without a choice."""


class Terminate(_Body):
    """Why, as FreeSWITCH calls it; after the answer the far end gets BYE in any case."""

    model_config = _shown({"cause": "NORMAL_CLEARING"})

    cause: Cause = "NORMAL_CLEARING"


class Transfer(_Body):
    """Where to: a number by bridge, or a SIP URI by bridge or REFER."""

    model_config = _shown({"number": "+15551234567"})

    number: Number | None = None
    sip_uri: SipUri | None = None
    method: Literal["bridge", "refer"] = "bridge"
    caller_id: Number | None = None

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.number is None) == (self.sip_uri is None):
            raise ValueError("give number or sip_uri, one of them")
        if self.method == "refer" and (self.sip_uri is None or self.caller_id is not None):
            raise ValueError("method refer goes with sip_uri alone")
        return self


class Play(_Body):
    """What to play: a file of the media directory or the audio of a URL."""

    model_config = _shown({"file": "one-moment.wav"})

    file: MediaFile | None = None
    url: WebUrl | None = None
    mix: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.file) == bool(self.url):
            raise ValueError("give file or url, one of them")
        return self


class Dtmf(_Body):
    """What to send; `w` waits half a second, `W` a whole one."""

    model_config = _shown({"digits": "12w#"})

    digits: Digits


class Mute(_Body):
    """Who is not to be heard."""

    model_config = _shown({"who": "caller"})

    who: Literal["caller", "assistant", "both"] = "caller"


class Record(_Body):
    """Whether to begin or to end it."""

    model_config = _shown({"action": "start"})

    action: Literal["start", "stop"]


_SUMMARIES = {
    "terminate": "Hang up a call",
    "transfer": "Connect the caller to somebody else",
    "play": "Play a file or the audio of a URL",
    "stop": "End what is being played",
    "dtmf": "Send keys",
    "hold": "Put the caller on hold",
    "resume": "Take the caller off hold",
    "mute": "Have the caller or the assistant not heard",
    "unmute": "Have everybody heard again",
    "record": "Begin or end a recording of both sides",
}
_B = TypeVar("_B", bound=_Body)


def door(store: Store, book: CallBook, control: CallControl, transfer: CallTransfer) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("control", __name__)

    def act(name: str, kind: type[_B], run: Callable[[str, _B], Outcome]) -> None:
        @operation(
            _SUMMARIES[name],
            Role.ADMIN,
            tag="calls",
            request=kind,
            answers={200: Acted},
            errors=(400, 404, 409, 422, 502, 503),
        )
        def view(call_sid: str) -> Response:
            asked = _read(kind)
            return _answer(call_sid, act_on(store, book, call_sid, name, lambda sid: run(sid, asked)))

        routes.add_url_rule(f"/api/calls/<call_sid>/{name}", name, view, methods=["POST"])

    act("terminate", Terminate, lambda sid, asked: control.terminate(sid, asked.cause))
    act("transfer", Transfer, lambda sid, asked: _transfer(transfer, sid, asked))
    act("play", Play, lambda sid, a: control.play(sid, file=a.file or "", url=a.url or "", mix=a.mix))
    act("stop", Nothing, lambda sid, _asked: control.stop(sid))
    act("dtmf", Dtmf, lambda sid, asked: control.send_dtmf(sid, asked.digits))
    act("hold", Nothing, lambda sid, _asked: control.hold(sid))
    act("resume", Nothing, lambda sid, _asked: control.resume(sid))
    act("mute", Mute, lambda sid, asked: control.mute(sid, asked.who))
    act("unmute", Nothing, lambda sid, _asked: control.unmute(sid))
    act("record", Record, lambda sid, asked: _record(control, sid, asked))

    @routes.post("/api/v1/calls/<call_sid>/terminate")
    @operation(
        "End a call, as the backend does",
        Role.ADMIN,
        tag="calls",
        answers={200: Said},
        errors=(400, 404, 502, 503),
        names_organization=False,
    )
    def terminate_v1(call_sid: str) -> Response:
        owner = book.get(call_sid).organization_key
        require_sight(owner, f"call {call_sid!r}")
        # The backend's own contract (CONTRACTS.md §5): what is not going on is a bad request, however it ended.
        try:
            outcome = control.terminate(call_sid)
        except CallOver as error:
            raise MalformedBody(str(error)) from None
        if outcome.already:
            raise MalformedBody(f"the call {call_sid} is not ongoing")
        note(store, "terminate", f"call {call_sid}", owner)
        return jsonify({"success": True, "message": outcome.message})

    return routes


def act_on(store: Store, book: CallBook, call_sid: str, name: str, run: Callable[[str], Outcome]) -> Outcome:
    """Do something to a call that who asks may see, and note it unless it was done already; `name` is the action."""
    owner = book.get(call_sid).organization_key
    require_sight(owner, f"call {call_sid!r}")
    outcome = run(call_sid)
    if not outcome.already:
        note(store, name, f"call {call_sid}", owner)
    return outcome


def _transfer(transfer: CallTransfer, call_sid: str, asked: Transfer) -> Outcome:
    if asked.number is not None:
        return transfer.to_number(call_sid, asked.number, asked.caller_id or "")
    uri = asked.sip_uri or ""
    if asked.method == "refer":
        return transfer.refer(call_sid, uri)
    return transfer.to_uri(call_sid, uri, asked.caller_id or "")


def _record(control: CallControl, call_sid: str, asked: Record) -> Outcome:
    return control.start_recording(call_sid) if asked.action == "start" else control.stop_recording(call_sid)


def _read(kind: type[_B]) -> _B:
    """The body as that document; raises `InvalidDocument` with every problem by its path."""
    given = body.json_body(optional=True)
    if not isinstance(given, dict):
        raise MalformedBody("the body must be a JSON object")
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise InvalidDocument(
            [_problem(item["loc"], item["type"], item["msg"]) for item in error.errors()]
        ) from None


def _problem(loc: tuple[int | str, ...], kind: str, message: str) -> Problem:
    words = {"missing": "is required", "extra_forbidden": "is not known here"}
    return Problem(".".join(map(str, loc)), words.get(kind, message.removeprefix("Value error, ")))


def _answer(call_sid: str, outcome: Outcome) -> Response:
    answer: dict[str, Any] = {"success": True, "message": outcome.message, "already": outcome.already}
    if outcome.file is not None:
        answer["file"] = outcome.file
    return jsonify({**answer, "call_sid": call_sid})
