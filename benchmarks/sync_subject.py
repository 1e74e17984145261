"""A control plane and a FreeSWITCH of their own to push to: two processes, watched from outside."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from fscontrol import settings as configuration
from fscontrol.cli.freeswitch_config import node_config
from fscontrol.esl import commands
from fscontrol.esl.client import NodeClient
from fscontrol.simulator.freeswitch_process import FreeswitchProcess
from fscontrol.simulator.server import StandIn
from fscontrol.sofia.acl import open_wall
from fscontrol.sofia.deliver import write_tree
from fscontrol.sofia.tree import render_tree

KEY = "benchmark-key-0123456789"
HOST = "127.0.0.1"
_MUTATIONS = ("startgw", "killgw", "rescan", "register")
_CPUCLOCK_SCHED = 2  # the kernel's clock of all that a process's threads ran (linux/posix-timers.h)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one push, in seconds: until its answer, and of the control plane's processor time."""

    answer: float
    cpu: float


class Subject:
    """Started on entering, ended on leaving; everything it writes is below `work`.

    `program` is a real FreeSWITCH's; None has the stand-in, in this process. `changes`: of the settings;
    `core`: the one the control plane is kept on.
    """

    def __init__(
        self,
        program: str | None,
        delivery: str,
        work: Path,
        changes: Mapping[str, str] | None = None,
        core: int | None = None,
    ) -> None:
        self.work = work
        self._core = core
        self._environment = environment_of(work, delivery) | dict(changes or {})
        self._settings = configuration.load(self._environment, None)
        config = node_config(self._settings, self._settings.nodes[0])
        self._switch: FreeswitchProcess | StandIn
        if program is None:
            write_tree(work / "conf", render_tree(config))
            port = self._settings.nodes[0].port
            self._switch = StandIn(work / "conf", config.esl_password, esl_port=port, node_name=config.node)
        else:
            self._switch = FreeswitchProcess(program, config, work)
        self._process: subprocess.Popen[bytes] | None = None
        self._node = NodeClient(self._settings.nodes[0], self._settings.esl_password, 60.0, random.random)

    def __enter__(self) -> Self:
        open_wall(self.work / "conf")
        if isinstance(self._switch, StandIn):
            self._switch.start()
        else:
            self._switch.start(60.0)
        with (self.work / "serve.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fscontrol", "serve"],
                env=self._environment, cwd=self.work, stdout=log, stderr=log,
            )  # fmt: skip
        if self._core is not None:
            os.sched_setaffinity(self._process.pid, {self._core})
        self._node.start()
        until = time.monotonic() + 30
        while not self._is_ready():
            if time.monotonic() > until:
                raise TimeoutError((self.work / "serve.log").read_text())
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._node.stop()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
        self._switch.stop()

    def push(
        self, organization: int, trunks: list[dict[str, Any]], numbers: list[dict[str, Any]] | None = None
    ) -> Cost:
        """Push an organisation whole. FreeSWITCH's own processor time is not counted."""
        body: dict[str, Any] = {"organization_id": organization, "trunks": trunks}
        if numbers is not None:
            body["phone_numbers"] = numbers
        cpu, began = self.cpu(), time.perf_counter()
        answer = self.ask("POST", "/api/sync-organization", body)
        took = time.perf_counter() - began
        if answer.status_code != 200:
            raise RuntimeError(f"{answer.status_code}: {answer.text[:300]}")
        return Cost(took, self.cpu() - cpu)

    def leave_the_node(self) -> None:
        """Nobody but the control plane is on the Event Socket from now on: each listener costs FreeSWITCH's time."""
        self._node.stop()

    @property
    def settings(self) -> configuration.Settings:
        """The control plane's."""
        return self._settings

    @property
    def stand_in(self) -> StandIn:
        """The FreeSWITCH in this process."""
        if not isinstance(self._switch, StandIn):
            raise TypeError("a real FreeSWITCH is another process")
        return self._switch

    def cpu(self) -> float:
        """Processor seconds of the control plane so far, all threads; of its workers, too."""
        return sum(time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED) for pid in self.pids())

    def pids(self) -> list[int]:
        """The control plane's processes: the one that was started, and its workers."""
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        return [self._pid, *map(int, children)]

    def mutations(self) -> int | None:
        """How many commands so far changed gateways; None of a real FreeSWITCH, which does not tell."""
        if not isinstance(self._switch, StandIn):
            return None
        return sum(any(word in command for word in _MUTATIONS) for command in self._switch.commands)

    def startgw(self) -> float:
        """Seconds of one `startgw` of a name that is nowhere: the reload, the question and the reading of an answer."""
        began = time.perf_counter()
        self._node.request(commands.start_gateway("external", "nobody"))
        return time.perf_counter() - began

    def resident_mb(self) -> float:
        """The control plane's memory, in megabytes."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024

    @property
    def _pid(self) -> int:
        if self._process is None:
            raise RuntimeError("not started")
        return self._process.pid

    def ask(self, method: str, path: str, body: object = None) -> requests.Response:
        """One request."""
        headers = {"Authorization": f"Bearer {KEY}"}
        return requests.request(
            method, f"http://{self._settings.http}{path}", json=body, headers=headers, timeout=180
        )

    def _is_ready(self) -> bool:
        try:
            return self._node.connected and self.ask("GET", "/readyz").status_code == 200
        except requests.ConnectionError:
            return False


def environment_of(work: Path, delivery: str) -> dict[str, str]:
    """The settings of a control plane and its node, below `work`, on ports of their own."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "SIP_BRIDGE_API_KEY": KEY,
        "FSCONTROL_HTTP": f"{HOST}:{_free()}",
        "FSCONTROL_CALL_SOCKET": f"{HOST}:{_free()}",
        "FSCONTROL_NODES": f"fs1={HOST}:{_free()}",
        "FSCONTROL_ESL_PASSWORD": "benchmark-esl-password",
        "FSCONTROL_SIP_PORT": str(_free()),
        "FSCONTROL_STORE_URL": f"sqlite:///{work}/fscontrol.db",
        "FSCONTROL_CONFIG_DIR": str(work / "conf"),
        "FSCONTROL_APPLY_TIMEOUT_SECONDS": "120",
        "FSCONTROL_MAX_BODY_BYTES": str(64 << 20),
        "FSCONTROL_GATEWAY_NETWORKS": "127.0.0.0/8",
        "FSCONTROL_DELIVERY": delivery,
        "FSCONTROL_XML_CURL_PASSWORD": "benchmark-xml-password",
        "FSCONTROL_LOG_LEVEL": "WARNING",
        "FSCONTROL_RATE_LIMIT": "off",
        "FSCONTROL_RATE_LIMIT_WRITES": "off",
    }


def trunks(count: int, changed: int = 0) -> list[dict[str, Any]]:
    """`count` trunks that do not register; `changed` tells one version of the first from another."""
    ports = [20_000 + n for n in range(count)]
    if changed:
        ports[0] = 30_000 + changed
    return [
        {"id": f"{n:08d}", "name": f"{n:08d}", "gateway": f"{HOST}:{port}", "register": False}
        for n, port in enumerate(ports)
    ]


def _free() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
