"""What one node may ask us for over HTTP, and keeping it asking.

Owns: the gateways the store wants on a node, by name; the answer to one question for them; telling FreeSWITCH that it
need not read the files while we serve it. Refuses: whatever is not a gateway of ours; FreeSWITCH then takes what its
own tree says.

A question costs the same at 10 and at 10,000 gateways: one look-up, one gateway rendered.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping

from fscontrol.errors import EslError
from fscontrol.esl import commands
from fscontrol.esl.client import NodeClient
from fscontrol.model.gateway import Gateway
from fscontrol.sofia.render import render_served
from fscontrol.sofia.tree import LIVE, LIVE_VARIABLE, PROFILE

log = logging.getLogger(__name__)

MODULE = "mod_xml_curl"
NOT_FOUND = """<document type="freeswitch/xml">
<section name="result">
<result status="not found"/>
</section>
</document>
"""
"""What FreeSWITCH takes for "not mine": it goes on to its static XML, and logs nothing."""
PROBE = "fscontrol.conf"
"""A configuration only we have: `xml_locate configuration configuration name fscontrol.conf` proves the way to us."""
_PROBE_ANSWER = f"""<document type="freeswitch/xml">
<section name="configuration">
<configuration name="{PROBE}">
<served/>
</configuration>
</section>
</document>
"""
_EVERY_NEW_ONE = "_all_"


class ServedGateways:
    """The gateways of one node, kept by the reconciler's passes and asked for by the node's door."""

    def __init__(self) -> None:
        self._by_name: dict[str, Gateway] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._offered = NOT_FOUND

    def __len__(self) -> int:
        return len(self._by_name)

    def replace(self, organization: str, gateways: Iterable[Gateway]) -> None:
        """From now on these are the organisation's; none: it has none any more."""
        wanted = {gateway.name: gateway for gateway in gateways}
        for name in self._names.pop(organization, frozenset()) - wanted.keys():
            # A name that another organisation has meanwhile is not ours to take away.
            if (known := self._by_name.get(name)) is not None and known.organization == organization:
                del self._by_name[name]
        if wanted:
            self._by_name |= wanted
            self._names[organization] = frozenset(wanted)

    @contextlib.contextmanager
    def offering(self, document: str) -> Iterator[None]:
        """Answer `startgw _all_` with this meanwhile. Only what is new: sofia complains of all that is loaded."""
        self._offered = document
        try:
            yield
        finally:
            self._offered = NOT_FOUND

    def answer(self, question: Mapping[str, str]) -> str:
        """The XML for one question of mod_xml_curl (its form's fields). Raises `RenderError`.

        Only `startgw` and `rescan` say `reconfig`: a profile that starts is to read its settings and gateways from the
        tree.
        """
        asked = question.get("section"), question.get("tag_name"), question.get("key_name")
        if asked != ("configuration", "configuration", "name"):
            return NOT_FOUND
        if question.get("key_value") == PROBE:
            return _PROBE_ANSWER
        about = question.get("key_value"), question.get("profile"), question.get("reconfig")
        if about != ("sofia.conf", PROFILE, "true"):
            return NOT_FOUND
        name = question.get("gateway", "")
        if name == _EVERY_NEW_ONE:
            return self._offered
        gateway = self._by_name.get(name)
        return NOT_FOUND if gateway is None else render_served(PROFILE, (gateway,))


def follow(node: NodeClient, *, over_http: bool) -> None:
    """At every (re)connect tell the node whether its reloads need the gateway files; before the reconciler follows it.

    Over HTTP they do not, and that is what makes a change cost the same at any size: each `startgw` reloads the static
    XML first (FREESWITCH.md §1). A FreeSWITCH that starts anew has lost the variable and boots on the files.
    """
    node.on_up(lambda: _tell(node, over_http=over_http))


def release(node: NodeClient) -> None:
    """We leave in good order: what the operator does to the node meanwhile shall find the files again."""
    if node.connected:
        _tell(node, over_http=False, reload=True)


def _tell(node: NodeClient, *, over_http: bool, reload: bool = False) -> None:
    try:
        if over_http and node.request(commands.module_exists(MODULE)).strip() != "true":
            log.error(
                "the node has no mod_xml_curl: its gateways are started from files",
                extra={"node": node.name},
            )
            over_http = False
        node.request(commands.set_global(LIVE_VARIABLE, LIVE if over_http else ""))
        if reload:
            node.request(commands.reload_xml())
    except EslError as error:
        # It costs time at each startgw, and nothing else.
        log.warning("the node still reads the gateway files", extra={"node": node.name, "reason": str(error)})
