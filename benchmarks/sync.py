"""What a push costs: first ones, one changed trunk among few and among many, one that changes nothing; and memory."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import sync_rival
from benchmarks.results import spread
from benchmarks.sync_subject import Cost, Subject, trunks
from fscontrol.simulator.freeswitch_process import find_freeswitch

TITLE = """Pushes of trunks without registration. *CPU* is the control plane's processor time, by its own clock, so that
other work on the machine counts little; *answer* is the push's, by the wall's. About a second of a change is
FreeSWITCH's, whose worker removes the replaced gateway once a second; what we do in that second beside is counted."""
_TARGETS = """\
Targets, read off the tables: one changed among 5,000 trunks costs at most 2 × one among 50 in our CPU: met where the
trunks are 100 organisations'. What is more of theirs, some 8 ms, is two looks at 5,000 names (before anything is done,
and once FreeSWITCH has told that the replaced one is gone) and one question for the new gateway alone. Until it was so
(five looks, all registrations gone over once a second for alarms, the whole list of owners read for the new one) the
ratios were 3.1 by files and 2.4 by mod_xml_curl. Missed where they are one organisation's, for its push carries it
whole: each of its rows is read, compared, planned twice (before and after the start), written and answered. Rows,
rules, fingerprints, sources, stored texts, elements, parts of the file and documents that did not change are taken from
the last time; what is left is about 0.03 ms a trunk, by py-spy and timers: 30 ms to read the rows, of which the digests
that tell known ones take 9, 20 for the plans, 20 to read what is stored six times and see that it is what we have open,
15 to seal and write it, 16 for the answer. To prove the file that FreeSWITCH boots on took 30 ms while it was parsed
whole; now each part of a hundred gateways is parsed when it is made. An unchanged push of 1,000 is to cost at most
20 ms: met. It sends no mutation, and is not read again where it is the same bytes. What memory is made of stands under
`memory`."""
CHANGES, REPEATS, FIRSTS = 7, 7, 2
SMALL, MIDDLE, LARGE = 50, 1_000, 5_000
SHAPES = (
    ("one organisation of 50", 1, SMALL),
    ("100 organisations of 50", LARGE // SMALL, SMALL),
    ("one organisation of 5,000", 1, LARGE),
)
DELIVERIES = ("files", "xml_curl")


def run() -> list[str]:
    """The section's lines."""
    program = find_freeswitch(os.environ)
    if program is None:
        lines = _all_on("the stand-in", None)
        return [*lines, "", "No real FreeSWITCH here (FREESWITCH_BIN, or `freeswitch` on PATH)."]
    lines = ["### On the stand-in, which sees every command", "", *_pushes(None)]
    return [
        *lines,
        "",
        *_all_on("FreeSWITCH", program),
        "",
        *sync_rival.run(program, (SMALL, MIDDLE, LARGE)),
        "",
        _TARGETS,
    ]


def _all_on(switch: str, program: str | None) -> list[str]:
    return [f"### On {switch}", "", *_changes(program), "", *_pushes(program)]


def _changes(program: str | None) -> list[str]:
    lines = [
        "One trunk changed. The last organisation's push carries all its 5,000 trunks.",
        "",
        "| delivery | trunks on the node | CPU, ms | beside 50 | answer, s | `startgw`, ms |",
        "|---|---|---|---|---|---|",
    ]
    for delivery in DELIVERIES:
        least = 0.0
        for shape, organizations, count in SHAPES:
            with _subject(program, delivery) as subject:
                for organization in range(organizations):
                    subject.push(organization, trunks(count))
                subject.push(0, trunks(count, CHANGES + 1))
                costs = [subject.push(0, trunks(count, change)) for change in range(1, CHANGES + 1)]
                startgw = [1000 * subject.startgw() for _ in range(CHANGES)]
            least = least or _median_cpu(costs)
            ratio = _median_cpu(costs) / least
            cells = delivery, shape, _cpu(costs), f"{ratio:.1f}", _answer(costs), spread(startgw, 1)
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _pushes(program: str | None) -> list[str]:
    lines = [
        "One organisation's first push and its repetition, and resident memory before the first and after all.",
        "",
        "| delivery | trunks | first: CPU, ms | answer, s | the same again: CPU, ms | answer, s | mutations"
        " | memory before, MB | after |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for delivery in DELIVERIES:
        for count in (MIDDLE, LARGE):
            first, again, before, after, mutations = [], [], [], [], set[str]()
            for _ in range(FIRSTS):
                with _subject(program, delivery) as subject:
                    before.append(subject.resident_mb())
                    first.append(subject.push(1, trunks(count)))
                    done = subject.mutations()
                    again += [subject.push(1, trunks(count)) for _ in range(REPEATS)]
                    mutations.add("not seen" if done is None else str((subject.mutations() or 0) - done))
                    after.append(subject.resident_mb())
            lines.append(
                f"| {delivery} | {count:,} | {_cpu(first)} | {_answer(first)} | {_cpu(again)} | {_answer(again)}"
                f" | {', '.join(sorted(mutations))} | {spread(before)} | {spread(after)} |"
            )
    return lines


def _cpu(costs: Sequence[Cost]) -> str:
    return spread([1000 * cost.cpu for cost in costs])


def _answer(costs: Sequence[Cost]) -> str:
    return spread([cost.answer for cost in costs], 3)


def _median_cpu(costs: Sequence[Cost]) -> float:
    return sorted(cost.cpu for cost in costs)[len(costs) // 2]


@contextlib.contextmanager
def _subject(program: str | None, delivery: str) -> Iterator[Subject]:
    with (
        tempfile.TemporaryDirectory(prefix="fscontrol-bench-") as work,
        Subject(program, delivery, Path(work)) as subject,
    ):
        yield subject
