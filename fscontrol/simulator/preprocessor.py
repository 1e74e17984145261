"""FreeSWITCH's XML preprocessor, line by line, with its dangers kept visible and harmless.

Owns: what becomes of a configuration tree before the XML parser sees it (switch_xml.c of FreeSWITCH 1.10.12).
Refuses: running anything. `cmd="exec"` and `cmd="exec-set"` are recorded word for word, never executed; `env-set` and
`stun-set`, which would read the environment and the network, do nothing.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_DEEPEST_INCLUDE = 100
_DIRECTIVE = re.compile(r"x-pre-process", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Preprocessed:
    """The text for the XML parser, the global variables as they stand afterwards, and what would have been run."""

    text: str
    variables: Mapping[str, str]
    executed_commands: tuple[str, ...] = ()
    readable: bool = True
    """False when the first file could not be opened: FreeSWITCH then has no document at all."""


def preprocess(root: Path, variables: Mapping[str, str] | None = None) -> Preprocessed:
    """Preprocess the file `root` and all it includes, starting from the global variables given.

    A file that cannot be read and an include that matches nothing are silent, as in FreeSWITCH.
    """
    run = _Run(dict(variables or {}))
    readable = run.file(root, str(root.parent), 0)
    return Preprocessed("".join(run.output), run.variables, tuple(run.executed), readable)


def preprocess_text(text: str, directory: Path, variables: Mapping[str, str]) -> Preprocessed:
    """The same for a text that did not come from the tree; its includes are relative to `directory`."""
    run = _Run(dict(variables))
    run.text(text, str(directory), 0)
    return Preprocessed("".join(run.output), run.variables, tuple(run.executed))


def expand(line: str, variables: Mapping[str, str]) -> tuple[str, str]:
    """`line` with every `$${name}` replaced, and the part of the line that FreeSWITCH still sees of the original.

    FreeSWITCH ends the original line in place at the first name it expands, and looks for `<include>` in that.
    """
    if "$${" not in line:
        return line, line
    out: list[str] = []
    at = 0
    original_end: int | None = None
    while at < len(line):
        if line.startswith("$${", at):
            end = _closing_brace(line, at + 2)
            if end is not None:
                original_end = end if original_end is None else original_end
                out.append(variables.get(line[at + 3 : end], ""))
                at = end + 1
                continue
        out.append(line[at])
        at += 1
    return "".join(out), line[:original_end]


def _closing_brace(line: str, start: int) -> int | None:
    depth = 0
    for at in range(start, len(line)):
        if line[at] == "{":
            depth += 1
        elif line[at] == "}":
            depth -= 1
            if depth == 0:
                return at
    return None


def _after(text: str, word: str) -> str | None:
    """What follows the first `word` in `text`, without regard to case."""
    at = text.lower().find(word.lower())
    return None if at < 0 else text[at + len(word) :]


def _quoted(text: str | None) -> tuple[str, str] | None:
    """The first `="value"` of `text` and what stands behind it."""
    if text is None or (rest := _after(text, "=")) is None or (rest := _after(rest, '"')) is None:
        return None
    value, _, behind = rest.partition('"')
    return value, behind


class _Run:
    """One pass over the tree: variables and recorded commands are global to it, as in the FreeSWITCH process."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables
        self.executed: list[str] = []
        self.output: list[str] = []

    def file(self, path: Path, directory: str, level: int) -> bool:
        if level > _DEEPEST_INCLUDE:
            return False
        try:
            text = path.read_bytes().decode("utf-8", "surrogateescape")
        except OSError:
            return False
        self.text(text, directory, level)
        return True

    def text(self, text: str, directory: str, level: int) -> None:
        in_comment = False
        for line in re.findall(r"[^\n]*\n|[^\n]+", text):
            in_comment = self._line(line, directory, level, in_comment)

    def _line(self, line: str, directory: str, level: int, in_comment: bool) -> bool:
        """Take one line; returns whether the next one begins inside a `<!--#` comment."""
        expanded, original = expand(line, self.variables)
        # A line with <include>, </include> or <? is dropped whole, with all that shares it: a one-line file is empty.
        if "<include>" in original or "</include>" in original or "<?" in original:
            return in_comment
        if in_comment:
            before, closed, expanded = expanded.partition("-->")
            if not closed:
                return True
        directive = _DIRECTIVE.search(expanded)
        if directive:
            # The word anywhere else in a line drops the line without a trace.
            if expanded[: directive.start()].endswith("<"):
                self._directive(expanded[directive.start() :].partition("/>")[0], directory, level)
            return False
        before, comment, behind = expanded.partition("<!--#")
        if not comment:
            self.output.append(expanded)
            return False
        self.output.append(before)
        return self._comment(behind, directory, level)

    def _directive(self, text: str, directory: str, level: int) -> None:
        command = _quoted(_after(text, "cmd"))
        data = _quoted(_after(command[1], "data")) if command else None
        if command and data:
            self._command(command[0], data[0], directory, level)

    def _comment(self, text: str, directory: str, level: int) -> bool:
        """The older spelling `<!--#set "name=value"-->`; returns whether the comment stays open."""
        directive, closed, _behind = text.partition("-->")
        word, space, argument = directive.splitlines()[0].partition(" ") if directive else ("", "", "")
        if space:
            if '"' in argument:
                argument = argument.split('"')[1]
            self._command(word, argument, directory, level)
        return not closed

    def _command(self, command: str, data: str, directory: str, level: int) -> None:
        command = command.lower()
        if command == "set":
            name, equals, value = data.partition("=")
            if equals:
                self.variables[name.rstrip(" ")] = value.lstrip(" ")
        elif command in ("exec", "exec-set"):
            self.executed.append(data)
        elif command == "include":
            pattern = data if data.startswith("/") else f"{directory}/{data}"
            # glob(3) does not let * match a leading dot, which keeps unfinished `.tmp` files out; nor does Python's.
            for found in sorted(glob.glob(pattern)):  # noqa: PTH207  (a pattern relative to a file, as FreeSWITCH has it)
                self.file(Path(found), os.path.dirname(found), level + 1)  # noqa: PTH120
