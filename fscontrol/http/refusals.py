"""The forms of refusals, as models for the OpenAPI document; `error_forms.py` fills them in."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class PathProblem(BaseModel):
    """One thing wrong in a document: where, and why."""

    path: str
    message: str


class Finding(BaseModel):
    """The same as clients of the backend's API expect it."""

    loc: list[str | int]
    msg: str
    type: str


class Refusal(BaseModel):
    """Every refusal. `error` is a stable id to match on, `message` is for a person."""

    success: Literal[False]
    error: str
    message: str
    detail: str | list[Finding]
    problems: list[PathProblem] = Field(
        default=[], description="Everything wrong, of a document that does not validate."
    )


class FieldProblem(BaseModel):
    """One thing wrong in a provisioning request."""

    field: str
    message: str


class RpcProblem(BaseModel):
    """The published number of an error, its name, and what is wrong."""

    code: int
    name: str
    message: str
    fields: list[FieldProblem] = []


class RpcRefusal(BaseModel):
    """How provisioning refuses."""

    error: RpcProblem


class EnvelopeData(BaseModel):
    """Everything wrong, of a document that does not validate."""

    errors: list[Finding] = []


class EnvelopeRefusal(BaseModel):
    """How the LiveKit-style API refuses."""

    success: Literal[False]
    message: str
    data: EnvelopeData


_BY_DOOR: dict[str, type[BaseModel]] = {
    "/rpc/": RpcRefusal,
    "/sip/": EnvelopeRefusal,
    "/call/": EnvelopeRefusal,
}


def refusal_of(path: str) -> type[BaseModel]:
    """The form that the door of this path refuses in."""
    return next((form for prefix, form in _BY_DOOR.items() if path.startswith(prefix)), Refusal)
