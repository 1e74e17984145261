"""What people do instead: render every gateway with Jinja into one file, reload the XML and `rescan` the profile.

The loop of LibreSBC and of most deployments, less its database: nothing is stored, sealed, compared, fsynced or
verified, and a gateway that changed is killed before the new one is there.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from benchmarks.results import spread
from benchmarks.sync_subject import HOST, Cost, environment_of, trunks
from fscontrol import settings as configuration
from fscontrol.cli.freeswitch_config import node_config
from fscontrol.esl import commands
from fscontrol.esl.link import Link
from fscontrol.simulator.freeswitch_process import FreeswitchProcess

_TIMES = 5
_TEMPLATE = """<include>
{% for trunk in trunks %}
  <gateway name="{{ trunk.name }}">
    <param name="proxy" value="{{ trunk.gateway }}"/>
    <param name="register" value="false"/>
    <param name="extension" value="auto_to_user"/>
    <param name="caller-id-in-from" value="true"/>
  </gateway>
{% endfor %}
</include>
"""


def run(program: str, counts: Sequence[int]) -> list[str]:
    """The lines of its table."""
    lines = [
        "### Beside it: a plain loop that renders all with Jinja and `rescan`s",
        "",
        "On FreeSWITCH, from files. Its CPU has no HTTP, no store, no check and no proof in it, and the gateway that",
        "changed is killed before the new one is there: a refusal of the carrier leaves none.",
        "",
        "| trunks | first: CPU, ms | answer, s | one changed: CPU, ms | answer, s | beside 50 |",
        "|---|---|---|---|---|---|",
    ]
    least = 0.0
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="fscontrol-bench-") as work:
            first, changed = _measure(program, Path(work), count)
        cpus = [1000 * cost.cpu for cost in changed]
        middle = sorted(cpus)[len(cpus) // 2]
        least = least or middle
        answers = spread([cost.answer for cost in changed], 3)
        cells = f"{count:,}", f"{1000 * first.cpu:.0f}", f"{first.answer:.3f}", spread(cpus), answers
        lines.append(f"| {' | '.join(cells)} | {middle / least:.1f} |")
    return lines


def _measure(program: str, work: Path, count: int) -> tuple[Cost, list[Cost]]:
    settings = configuration.load(environment_of(work, "files"), None)
    config = node_config(settings, settings.nodes[0])
    freeswitch = FreeswitchProcess(program, config, work)
    freeswitch.start(60.0)
    link = Link(HOST, config.esl_port, config.esl_password, 120.0)
    try:
        link.connect()
        loop = _Loop(link, freeswitch.gateway_directory / "gateways.xml")
        first = loop.sync(trunks(count), ())
        return first, [loop.sync(trunks(count, change), ("00000000",)) for change in range(1, _TIMES + 1)]
    finally:
        link.stop()
        freeswitch.stop()


class _Loop:
    def __init__(self, link: Link, file: Path) -> None:
        self._link = link
        self._file = file
        self._template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(_TEMPLATE)

    def sync(self, wanted: list[dict[str, Any]], changed: Sequence[str]) -> Cost:
        cpu, began = time.process_time(), time.perf_counter()
        self._file.write_text(self._template.render(trunks=wanted))
        self._file.chmod(0o600)
        for name in changed:
            self._link.request(commands.kill_gateway("external", name))
            while self._is_there(name):
                time.sleep(0.1)
        self._link.request(commands.api("reloadxml"))
        self._link.request(commands.api("sofia", "profile external rescan"))
        while not all(map(self._is_there, (wanted[0]["name"], wanted[-1]["name"]))):
            time.sleep(0.05)
        return Cost(time.perf_counter() - began, time.process_time() - cpu)

    def _is_there(self, name: str) -> bool:
        listed = self._link.request(commands.api("sofia", "profile external gwlist up")).text
        return name in listed.split() if listed else False
