"""What a push costs: first ones, one changed trunk among few and among many, one that changes nothing; and memory."""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.sync_subject import Subject, trunks
from fscontrol.simulator.freeswitch_process import find_freeswitch

TITLE = (
    "Pushes to a real FreeSWITCH, trunks without registration. *answer* is the push's, *CPU* the control plane's."
    " About a second of a change is FreeSWITCH's: its worker removes the replaced gateway once a second."
)
CHANGES = 9
SMALL, LARGE = 50, 5_000
DELIVERIES = ("files", "xml_curl")


def run() -> list[str]:
    """The section's lines."""
    program = find_freeswitch(os.environ)
    if program is None:
        return ["No FreeSWITCH here (FREESWITCH_BIN, or `freeswitch` on PATH): nothing measured."]
    return [*_changes(program), "", *_first_pushes(program)]


def _first_pushes(program: str) -> list[str]:
    lines = [
        "| delivery | one organisation's trunks | first push, answer | CPU | the same again | one changed, answer | CPU"
        " | memory before | after |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for delivery in DELIVERIES:
        for count in (1_000, LARGE):
            with _subject(program, delivery) as subject:
                idle = subject.resident_mb()
                first = subject.push(1, trunks(count))
                again = [subject.push(1, trunks(count)) for _ in range(3)]
                changed = [subject.push(1, trunks(count, change)) for change in range(1, 4)]
                cells = [
                    delivery, f"{count:,}", f"{first[0]:.2f} s", f"{first[1]:.2f} s",
                    f"{_median(again, 0):.2f} s, CPU {_median(again, 1):.2f} s",
                    f"{_median(changed, 0):.2f} s", f"{_median(changed, 1):.2f} s",
                    f"{idle:.0f} MB", f"{subject.resident_mb():.0f} MB",
                ]  # fmt: skip
                lines.append(f"| {' | '.join(cells)} |")
    return lines


def _changes(program: str) -> list[str]:
    lines = [
        f"One trunk changed in an organisation of {SMALL}, the others on the node in organisations of {SMALL} too:",
        "",
        "| delivery | trunks on the node | `startgw` | answer | CPU |",
        "|---|---|---|---|---|",
    ]
    for delivery in DELIVERIES:
        found = {}
        for count in (SMALL, LARGE):
            with _subject(program, delivery) as subject:
                for organization in range(count // SMALL):
                    subject.push(organization, trunks(SMALL))
                changed = [subject.push(0, trunks(SMALL, change)) for change in range(1, CHANGES + 1)]
                startgw = statistics.median(subject.startgw() for _ in range(CHANGES))
            found[count] = (startgw, _median(changed, 0), _median(changed, 1))
            milliseconds = (f"{1000 * value:.1f} ms" for value in found[count])
            lines.append(f"| {delivery} | {count:,} | {' | '.join(milliseconds)} |")
        ratios = (
            f"{many / max(few, 1e-4):.1f}" for few, many in zip(found[SMALL], found[LARGE], strict=True)
        )
        lines.append(f"| {delivery} | ratio | {' | '.join(ratios)} |")
    return lines


@contextlib.contextmanager
def _subject(program: str, delivery: str) -> Iterator[Subject]:
    with (
        tempfile.TemporaryDirectory(prefix="fscontrol-bench-") as work,
        Subject(program, delivery, Path(work)) as subject,
    ):
        yield subject


def _median(values: Sequence[tuple[float, float]], which: int) -> float:
    return statistics.median(value[which] for value in values)
