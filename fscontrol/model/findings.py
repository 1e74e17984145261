"""What pydantic found wrong in a document, as problems in our words; pure.

Owns: the form of a path (`gateways[0].gateway`) and reading it back. Refuses: to repeat a value, which may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pydantic import ValidationError

from fscontrol.errors import Problem

_PARTS = re.compile(r"\[(\d+)\]|([^.\[]+)")
_AFTER_THE_FIRST = re.compile(r"[.\[]")
_WORDS = {"missing": "is required", "extra_forbidden": "is not known here"}


def problems_of(error: ValidationError, path: str = "") -> list[Problem]:
    """Every finding by its path below `path`."""
    found = []
    for item in error.errors(include_input=False, include_url=False, include_context=False):
        where = path
        for part in item["loc"]:
            # "[key]" is pydantic's word for a finding about a member's name.
            where += f"[{part}]" if isinstance(part, int) else "" if part == "[key]" else f".{part}"
        message = _WORDS.get(item["type"], item["msg"].removeprefix("Value error, "))
        found.append(Problem(where.removeprefix("."), message, item["type"]))
    return found


def parts_of(path: str) -> list[str | int]:
    """A path as its parts: `gateways[0].gateway` → gateways, 0, gateway."""
    return [int(index) if index else name for index, name in _PARTS.findall(path)]


def renamed(problems: Iterable[Problem], names: Mapping[str, str]) -> list[Problem]:
    """The same for a sender who calls our fields otherwise; under "" stands the name for the document as a whole."""
    found = []
    for problem in problems:
        ours = _AFTER_THE_FIRST.split(problem.path, maxsplit=1)[0]
        path = names.get(ours, ours) + problem.path[len(ours) :]
        found.append(Problem(path, problem.message, problem.kind))
    return found
