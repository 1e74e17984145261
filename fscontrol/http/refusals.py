"""The form of every refusal, as a model for the OpenAPI document; `problems.py` fills it in."""

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
