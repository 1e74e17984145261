"""The body of a refusal as each published door has it; `problems.py` chooses by the path.

Owns: the forms, and the numbers of the provisioning contract's errors. Refuses: statuses; those are one table's, in
`problems.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

from fscontrol import errors
from fscontrol.errors import FscontrolError, InvalidDocument, Problem
from fscontrol.model.findings import parts_of

Form = Callable[[FscontrolError], dict[str, Any]]


class RpcError(IntEnum):
    """The published errors of the provisioning contract (CONTRACTS.md §6)."""

    SUCCESS = 0
    ERR_INVALID_TRUNK = 1
    ERR_INVALID_DESTINATION = 2
    ERR_RATE_LIMITED = 3
    ERR_CIRCUIT_BREAKER = 4
    ERR_INTERNAL_ERROR = 5
    ERR_VALIDATION_FAILED = 6
    ERR_UNAUTHORIZED = 7


def form_for(path: str) -> Form:
    """The form that the door of this path answers in."""
    return next((form for prefix, form in _FORMS.items() if path.startswith(prefix)), own)


def own(error: FscontrolError) -> dict[str, Any]:
    """Our own doors: `detail` repeats the message because clients of the backend's API look there (CONTRACTS.md §5)."""
    message = _message(error)
    body: dict[str, Any] = {"success": False, "error": error.id, "message": message, "detail": message}
    if isinstance(error, InvalidDocument):
        body["problems"] = [{"path": item.path, "message": item.message} for item in error.problems]
    return body


def backend(error: FscontrolError) -> dict[str, Any]:
    """The backend's API: `detail` lists what is wrong with a document that does not validate."""
    body = own(error)
    if isinstance(error, InvalidDocument):
        body["detail"] = [_located(item) for item in error.problems]
    return body


def rpc(error: FscontrolError) -> dict[str, Any]:
    """Provisioning: a number, its name, and the fields it is about."""
    number = rpc_number(error)
    told: dict[str, Any] = {"code": int(number), "name": number.name, "message": _message(error)}
    if isinstance(error, InvalidDocument):
        told["message"] = "; ".join(f"{item.path}: {item.message}" for item in error.problems)
        told["fields"] = [{"field": item.path, "message": item.message} for item in error.problems]
    return {"error": told}


def rpc_number(error: FscontrolError) -> RpcError:
    """The number of an error of ours."""
    match error:
        case errors.NotFound():
            return RpcError.ERR_INVALID_TRUNK
        case errors.Unauthorized() | errors.Forbidden():
            return RpcError.ERR_UNAUTHORIZED
        case errors.TooManyRequests():
            return RpcError.ERR_RATE_LIMITED
        case errors.RequestError() | errors.UrlRefused():
            return RpcError.ERR_VALIDATION_FAILED
        case _:
            return RpcError.ERR_INTERNAL_ERROR


def livekit(error: FscontrolError) -> dict[str, Any]:
    """The LiveKit-style envelope, the same for everything; `data.errors` for a document that does not validate."""
    if isinstance(error, errors.Unauthorized):
        return {"success": False, "message": "Invalid or inactive API key", "data": {}}
    if isinstance(error, InvalidDocument):
        found = [_located(item) for item in error.problems]
        return {"success": False, "message": _message(error), "data": {"errors": found}}
    return {"success": False, "message": _message(error), "data": {}}


def _located(item: Problem) -> dict[str, Any]:
    """A problem as clients of the published APIs know it."""
    if item.path.startswith("?"):
        loc: list[str | int] = ["query", item.path.removeprefix("?")]
    elif item.path.startswith("header "):
        loc = ["header", item.path.removeprefix("header ")]
    else:
        loc = ["body", *parts_of(item.path)]
    return {"loc": loc, "msg": item.message, "type": item.kind}


def _message(error: FscontrolError) -> str:
    return str(error) or type(error).__name__


_FORMS: dict[str, Form] = {
    "/api/v1/": backend,
    "/calls/": backend,
    "/rpc/": rpc,
    "/sip/": livekit,
    "/call/": livekit,
}
