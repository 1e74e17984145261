"""A real FreeSWITCH as a child process on a rendered configuration tree.

Owns: finding the program, starting it below one directory, waiting until it can be used, ending it by its process
id. Refuses: writing anything outside that directory, root privileges, and processes it did not start.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from fscontrol.errors import ConfigurationError, NodeUnreachable
from fscontrol.esl import commands
from fscontrol.esl.frames import Frame, FrameReader
from fscontrol.sofia.tree import GATEWAY_DIRECTORY, PROFILE, NodeConfig, render_tree

_COMPLAINT = re.compile(r"\[(WARNING|ERR|CRIT|ALERT)\]")
_LOG_LINES = 12
_NO_PROFILE = b"Error Creating SIP UA"  # how mod_sofia says that a profile cannot bind; it does not try again
_PR_SET_PDEATHSIG = 1


def find_freeswitch(environment: Mapping[str, str]) -> str | None:
    """The program to run: `FREESWITCH_BIN` if set (None when that is no executable), else `freeswitch` on PATH."""
    named = environment.get("FREESWITCH_BIN")
    return shutil.which(named or "freeswitch", path=environment.get("PATH"))


class FreeswitchProcess:
    """One FreeSWITCH in the foreground, everything it writes below `directory`.

    The configuration is in `directory/conf`; gateways are files in `gateway_directory`.
    """

    def __init__(self, program: str, config: NodeConfig, directory: Path) -> None:
        self.config = config
        self.directory = directory
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def configuration_directory(self) -> Path:
        """Where the tree is."""
        return self.directory / "conf"

    @property
    def gateway_directory(self) -> Path:
        """Where FreeSWITCH reads gateways from, one `*.xml` each."""
        return self.configuration_directory / GATEWAY_DIRECTORY

    @property
    def pid(self) -> int | None:
        """The process id; None when it is not running."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, deadline: float = 40.0) -> None:
        """Write the tree, start the program and wait until it can be controlled and called, at most `deadline` seconds.

        Raises `ConfigurationError` when it ends by itself or can have no SIP profile (a port in use, a module
        missing), `NodeUnreachable` when it is not up in time; the message holds the end of its log, and nothing is
        left running.
        """
        if self.pid is not None:
            raise ConfigurationError(["this FreeSWITCH is already running"])
        self._write_tree()
        with (self.directory / "console.log").open("wb") as console:
            self._process = subprocess.Popen(  # noqa: S603  (a program the operator named)
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                umask=0o077,  # FreeSWITCH writes the whole configuration, secrets included, into its log directory
                start_new_session=True,  # an interrupt at the terminal is ours to handle, in our order
                preexec_fn=_end_with_parent,  # noqa: PLW1509  (one thread at this point: a prctl and nothing else)
            )
        try:
            self._wait_until_up(time.monotonic() + deadline)
        except BaseException:
            self.stop()
            raise

    def stop(self, deadline: float = 2.5) -> None:
        """End it: SIGTERM, so that it hangs up and unregisters, and SIGKILL after `deadline` seconds.

        Calls get their BYE at once and gateways unregister within a second; what FreeSWITCH then waits for, 4 to 5
        seconds in all, has no use to anyone.
        """
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(deadline)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def log_tail(self) -> str:
        """The last complaints it wrote, else the last lines of its log, else of its console."""
        for name in ("log/freeswitch.log", "console.log"):
            path = self.directory / name
            lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
            if lines:
                return "\n".join(([line for line in lines if _COMPLAINT.search(line)] or lines)[-_LOG_LINES:])
        return "(it wrote nothing)"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _write_tree(self) -> None:
        for relative, text in render_tree(self.config).items():
            path = self.configuration_directory / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(text, "utf-8")
        self.gateway_directory.mkdir(parents=True, exist_ok=True)

    def _command(self) -> list[str]:
        # FreeSWITCH takes -conf only together with -log and -db. -nocal skips measuring the clock, which is for
        # hardware of another decade; -np leaves the scheduling priority alone, so no privileges are needed.
        command = [self._program, "-nf", "-nc", "-np", "-nocal", "-nonat", "-nonatmap"]
        for option in (
            "conf",
            "log",
            "db",
            "run",
            "temp",
            "cache",
            "storage",
            "recordings",
            "certs",
            "scripts",
        ):
            path = self.directory / option
            path.mkdir(parents=True, exist_ok=True)
            command += [f"-{option}", str(path)]
        return command

    def _wait_until_up(self, until: float) -> None:
        process = self._process
        while process is not None:
            if process.poll() is not None:
                raise ConfigurationError(
                    [
                        f"FreeSWITCH ended with status {process.returncode}; its log ends with:\n{self.log_tail()}"
                    ]
                )
            if self._is_up():
                return
            if _NO_PROFILE in self._log():
                raise ConfigurationError(
                    [f"FreeSWITCH cannot take SIP calls; its log ends with:\n{self.log_tail()}"]
                )
            if time.monotonic() > until:
                raise NodeUnreachable(
                    f"FreeSWITCH did not come up in time; its log ends with:\n{self.log_tail()}"
                )
            time.sleep(0.05)

    def _log(self) -> bytes:
        path = self.directory / "log" / "freeswitch.log"
        return path.read_bytes() if path.is_file() else b""

    def _is_up(self) -> bool:
        """Whether the Event Socket takes our password, is this very process's, and the SIP profile is there.

        Being greeted is not enough: the profile binds its port in a thread of its own, and a FreeSWITCH that was left
        running would greet as well.
        """
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.config.esl_host, self.config.esl_host)  # noqa: S104
        try:
            with socket.create_connection((host, self.config.esl_port), timeout=2.0) as connection:
                reader = FrameReader()
                _next_frame(connection, reader)
                _ask(connection, reader, commands.auth(self.config.esl_password))
                home = _ask(connection, reader, commands.api("global_getvar", "conf_dir"))
                profile = _ask(connection, reader, commands.profile_status(PROFILE))
        except OSError:
            return False
        return home == bytes(self.configuration_directory) and b"<profile-info>" in profile


def _end_with_parent() -> None:
    """Ask Linux for SIGTERM when we die: killed ourselves, we cannot end it, and it would go on registering."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _ask(connection: socket.socket, reader: FrameReader, command: commands.Command) -> bytes:
    connection.sendall(command.encode())
    return _next_frame(connection, reader).body


def _next_frame(connection: socket.socket, reader: FrameReader) -> Frame:
    while (frame := reader.next_frame()) is None:
        data = connection.recv(65536)
        if not data:
            raise ConnectionError("FreeSWITCH closed the Event Socket")
        reader.receive_data(data)
    return frame
