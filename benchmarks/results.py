"""RESULTS.md: one section a part, each with the date and the machine it was measured on.

Owns: the file's form, and how a figure measured several times is written. Refuses: touching another part's section.
"""

from __future__ import annotations

import datetime
import os
import platform
import re
import statistics
from collections.abc import Sequence
from pathlib import Path

PATH = Path(__file__).with_name("RESULTS.md")
_HEAD = """# Benchmarks

Written by `./scripts/bench`. A figure is the median of its runs, with the least and the most in brackets. Compare
ratios: the figures themselves are one machine's, at one hour.
"""


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median, and between which values it lies."""
    median, least, most = (
        f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values))
    )
    return f"{median} ({least}–{most})"


def section(name: str, title: str, lines: Sequence[str]) -> str:
    """A part's section, with when and where."""
    when = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    machine = (
        f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, {platform.machine()}"
    )
    return "\n".join([f"## {name}", "", title, "", f"{when}; {machine}.", "", *lines, ""])


def replace(name: str, text: str, order: Sequence[str], path: Path = PATH) -> None:
    """Put a part's section in place of its old one."""
    old = path.read_text() if path.exists() else ""
    found = re.findall(r"^## (\S+)\n.*?(?=^## |\Z)", old, re.MULTILINE | re.DOTALL)
    bodies = re.split(r"^(?=## )", old, flags=re.MULTILINE)[1:]
    sections = dict(zip(found, bodies, strict=True)) | {name: text}
    ordered = sorted(sections, key=lambda each: order.index(each) if each in order else len(order))
    path.write_text("\n".join([_HEAD, *(sections[each].strip() + "\n" for each in ordered)]))
