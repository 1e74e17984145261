"""The wall before admission: the networks that may call, as the list FreeSWITCH checks before it asks us.

Owns: the text of the list, its delivery, reloading it on every node that has an older one, and counting what it
refuses. Refuses: a network that FreeSWITCH would read as everybody (`0.0.0.0/32`, run), a `reloadacl` when nothing
changed (it rebuilds all lists under a lock every INVITE waits for), and to trust `+OK acl reloaded`, which FreeSWITCH
says as well when it could not read the file.

Admission stays the judge: the wall only keeps strangers from asking. Without a file nobody may call; the last one
delivered is in force until the control plane is there.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import gevent
from gevent.event import Event as Flag
from lxml import etree

from fscontrol.errors import CommandRefused, FscontrolError, RenderError
from fscontrol.esl import commands
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.model.networks import Network, plain_network
from fscontrol.sofia.deliver import write_private_file
from fscontrol.sofia.xml import checked, environment
from fscontrol.telemetry.greenlets import spawn
from fscontrol.telemetry.threads import on_a_thread

log = logging.getLogger(__name__)

CALLERS = "fscontrol_callers"
CALLERS_FILE = "autoload_configs/acl/callers.xml"
EVERYBODY: tuple[Network, ...] = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
RELOAD_SECONDS = 30.0
"""Deadline of one reload: with thousands of gateways in files, the XML alone takes seconds."""
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 300.0
_IN_ONE_NODE = 30
_WHAT = "the list of callers"


def callers_of(networks: Iterable[Network]) -> tuple[Network, ...]:
    """The networks as FreeSWITCH is told them: sorted, each once, IPv4 in its own form, no unspecified address."""
    plain = set(map(plain_network, networks))  # FreeSWITCH leaves out IPv4 written as IPv6 (run)
    safe = (n for n in plain if not (n.num_addresses == 1 and n.network_address.is_unspecified))
    return tuple(sorted(safe, key=lambda n: (n.version, int(n.network_address), n.prefixlen)))


def render_callers(networks: Iterable[Network]) -> str:
    """The file that acl.conf.xml includes, checked: what FreeSWITCH will read is what was asked for."""
    callers = callers_of(networks)
    nodes = [callers[at : at + _IN_ONE_NODE] for at in range(0, len(callers), _IN_ONE_NODE)]
    text = checked(environment().get_template("callers.xml").render(nodes=nodes), _WHAT)
    if networks_in(text) != callers:
        raise RenderError(f"{_WHAT} did not survive rendering unchanged")
    return text


def networks_in(text: str) -> tuple[Network, ...]:
    """The networks of a rendered file; none for text that is no such file."""
    try:
        nodes = etree.fromstring(text.encode()).findall("node")
        return tuple(ipaddress.ip_network(cidr) for node in nodes for cidr in node.get("cidr", "").split(","))
    except (etree.XMLSyntaxError, ValueError):
        return ()


def open_wall(config_dir: Path) -> None:
    """Let everybody ask until the first list is delivered: a tree without us answers 503, as it should, and not 403."""
    path = config_dir / CALLERS_FILE
    if not path.exists():
        write_private_file(path, render_callers(EVERYBODY))


def was_refused(event: Event) -> bool:
    """Whether a CHANNEL_HANGUP_COMPLETE tells of a call the wall refused.

    FreeSWITCH sends one without the caller's address: the refusal comes before it is noted (run). Its log has it.
    """
    return (
        event.get("Call-Direction") == "inbound"
        and event.get("Hangup-Cause") == "CALL_REJECTED"
        and event.variable("sip_network_ip") is None
    )


class CallerWall:
    """Keeps the list of every node what `networks` says.

    `complete` is false while the networks are not all known yet, right after the start: until then nobody is taken off
    the list. `enabled` false lets everybody ask. `is_ours` says of a node's name whether we steer it now,
    `config_dir_of` where it reads its configuration.
    """

    def __init__(
        self,
        nodes: Iterable[NodeClient],
        config_dir_of: Callable[[str], Path],
        networks: Callable[[], Iterable[Network]],
        complete: Callable[[], bool] = lambda: True,
        *,
        enabled: bool = True,
        is_ours: Callable[[str], bool] = lambda _node: True,
    ) -> None:
        self.refused_on: Counter[str] = Counter()
        self._nodes = list(nodes)
        self._paths = {node.name: config_dir_of(node.name) / CALLERS_FILE for node in self._nodes}
        self._networks = networks
        self._complete = complete
        self._enabled = enabled
        self._is_ours = is_ours
        self._loaded: dict[str, str] = {}
        self._woken = Flag()
        self._asked = 1
        self._tried = 0
        self._failures = 0
        self._progress = Flag()
        self._stopping = False
        self._greenlet: gevent.Greenlet[..., object] | None = None
        for node in self._nodes:
            node.on_up(lambda name=node.name: self.look_again(name))  # type: ignore[misc]
            node.on_event(
                "CHANNEL_HANGUP_COMPLETE",
                lambda event, name=node.name: self._count(name, event),  # type: ignore[misc]
            )

    def start(self) -> None:
        """Begin; the list is delivered at once and loaded by every node as it connects."""
        self._woken.set()
        self._greenlet = spawn("caller wall", self._run)

    def stop(self) -> None:
        """End; the list stays as it is."""
        self._stopping = True
        self._woken.set()
        if self._greenlet is not None:
            self._greenlet.join(timeout=2)
            self._greenlet.kill(timeout=1)

    def wake(self) -> None:
        """The networks changed. Many calls make one reload."""
        self._asked += 1
        self._woken.set()

    def settle(self, timeout: float) -> bool:
        """Wait until what was woken for so far is in force on every connected node; False when not, or not yet."""
        asked, deadline = self._asked, time.monotonic() + timeout
        while self._tried < asked:
            left = deadline - time.monotonic()
            if left <= 0 or self._stopping:
                return False
            self._progress.clear()
            self._progress.wait(min(left, 0.25))
        return not self._failures

    def _run(self) -> None:
        while not self._stopping:
            self._woken.wait(self._retry_seconds())
            self._woken.clear()
            asked = self._asked
            self._failures = 0 if self._bring_in_force() else self._failures + 1
            self._tried = asked
            self._progress.set()

    def _retry_seconds(self) -> float | None:
        if not self._failures:
            return None
        return min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(self._failures - 1, 16))

    @property
    def _ours(self) -> list[NodeClient]:
        return [node for node in self._nodes if node.connected and self._is_ours(node.name)]

    def _bring_in_force(self) -> bool:
        if any(node.connected for node in self._nodes) and not self._ours:
            return True  # whoever steers the nodes does it
        try:
            return self._load_everywhere(self._deliver())
        except FscontrolError as error:
            log.error("the list of callers is not delivered; the last stays", extra={"reason": str(error)})
        except Exception:
            log.exception("the list of callers is not delivered; the last stays")
        return False

    def _deliver(self) -> dict[Path, str]:
        networks = set(self._networks()) if self._enabled else set(EVERYBODY)
        keep = not self._complete()
        # On a thread: rendering thousands is CPU and fsync waits for the disk; calls in progress must not.
        # Of one that is away too: it may boot without us.
        mine = (node for node in self._nodes if not node.connected or self._is_ours(node.name))
        paths = sorted({self._paths[node.name] for node in mine})
        return on_a_thread(lambda: {path: _write(path, networks, keep=keep) for path in paths})

    def _load_everywhere(self, texts: Mapping[Path, str]) -> bool:
        """Reload where the list is older; whether every connected node has it now."""
        # One that became ours meanwhile has woken us again.
        wanted = [(n, texts[self._paths[n.name]]) for n in self._ours if self._paths[n.name] in texts]
        behind = [(node, text) for node, text in wanted if self._loaded.get(node.name) != text]
        workers = [spawn(f"reload callers {node.name}", self._load, node, text) for node, text in behind]
        gevent.joinall(workers)
        return all(not node.connected or self._loaded.get(node.name) == text for node, text in behind)

    def _load(self, node: NodeClient, text: str) -> None:
        callers = networks_in(text)
        try:
            require_reloaded(node.request(commands.reload_acl(), RELOAD_SECONDS))
            # The last one proves the most: whatever cut the list short would have lost it.
            if callers and node.request(commands.is_in_acl(str(callers[-1][0]), CALLERS)) != "true":
                raise CommandRefused(
                    f"{callers[-1]} is not on the list after reloadacl: does it read {self._paths[node.name]}?"
                )
        except FscontrolError as error:
            log.error("the list of callers is not loaded", extra={"node": node.name, "reason": str(error)})
            return
        self._loaded[node.name] = text
        log.info("the list of callers is loaded", extra={"node": node.name, "networks": len(callers)})

    @property
    def refused(self) -> int:
        """Calls the nodes refused by the list, as their events told."""
        return self.refused_on.total()

    def look_again(self, name: str) -> None:
        """A node is back, or ours to steer now."""
        # It may have been another process meanwhile, or missed a change: what it has loaded is not known.
        self._loaded.pop(name, None)
        self._woken.set()

    def _count(self, name: str, event: Event) -> None:
        if was_refused(event):
            self.refused_on[name] += 1
            log.info(
                "call refused by the list of callers",
                extra={"node": name, "sip_call_id": (event.variable("sip_call_id") or "")[:256]},
            )


def _write(path: Path, networks: set[Network], *, keep: bool) -> str:
    try:
        delivered = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        delivered = ""
    text = render_callers(networks.union(networks_in(delivered)) if keep else networks)
    if text != delivered:
        write_private_file(path, text)
    return text


def require_reloaded(answer: str) -> None:
    """Raises `CommandRefused` unless FreeSWITCH says that it rebuilt the lists."""
    if answer.strip() != "+OK acl reloaded":
        raise CommandRefused(f"reloadacl answered {answer.strip()[:120]!r}")
