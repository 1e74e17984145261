"""The XML dialplan: which actions a call gets.

Owns: matching conditions and expanding `$1` and `${name}`. Refuses: running API calls in `${name(args)}`; they are
handed to a callback that records them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from fscontrol.simulator.configuration import Condition, Extension

_VARIABLE = re.compile(r"\$\{([^{}()]*)(\([^{}]*\))?\}")


def actions_for(
    context: Sequence[Extension], lookup: Callable[[str], str | None]
) -> tuple[list[tuple[str, str]], bool]:
    """The (application, data) pairs for a call, and whether any extension matched."""
    actions: list[tuple[str, str]] = []
    matched = False
    for extension in context:
        found = _extension(extension, lookup)
        if found is None:
            continue
        matched = True
        actions += found
        if not extension.continue_:
            break
    return actions, matched


def _extension(extension: Extension, lookup: Callable[[str], str | None]) -> list[tuple[str, str]] | None:
    actions: list[tuple[str, str]] = []
    for condition in extension.conditions:
        groups = _match(condition, lookup)
        if groups is None:
            actions += condition.anti_actions
            if condition.break_on in ("on-false", "always"):
                return actions or None
        else:
            actions += [(name, _with_groups(data, groups)) for name, data in condition.actions]
            if condition.break_on in ("on-true", "always"):
                break
    return actions


def _match(condition: Condition, lookup: Callable[[str], str | None]) -> tuple[str, ...] | None:
    if not condition.field:
        return ()
    name = condition.field[2:-1] if condition.field.startswith("${") else condition.field
    try:
        found = re.search(condition.expression, lookup(name) or "")
    except re.error:
        return None
    return tuple(group or "" for group in found.groups()) if found else None


def _with_groups(data: str, groups: tuple[str, ...]) -> str:
    def group(found: re.Match[str]) -> str:
        number = int(found[1])
        return groups[number - 1] if 0 < number <= len(groups) else ""

    return re.sub(r"\$(\d)", group, data) if groups else data


def named_applications(block: bytes) -> tuple[tuple[str, str], ...]:
    """What `xferext` names, in its order: each an application and, after a blank, its data."""
    lines = block.decode("utf-8", "surrogateescape").splitlines()
    fields = (line.partition(":") for line in lines)
    named = (value.lstrip(" ").partition(" ") for name, _, value in fields if name.lower() == "application")
    return tuple((application, data) for application, _, data in named)


def expanded(data: str, lookup: Callable[[str], str | None], would_run: Callable[[str], None]) -> str:
    """Application data with its variables; `would_run` is told of every API call it would have made."""

    def value(found: re.Match[str]) -> str:
        if found[2] is not None:
            would_run(f"{found[1]} {found[2][1:-1]}".strip())
            return ""
        return lookup(found[1]) or ""

    return _VARIABLE.sub(value, data)
