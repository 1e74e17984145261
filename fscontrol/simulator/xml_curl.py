"""mod_xml_curl: what FreeSWITCH asks over HTTP before it looks into its own tree.

Owns: the question, its deadline, and the answer as FreeSWITCH reads it, preprocessor and all. Refuses, with a line in
the log and the static XML instead: any status but 200, an answer that is too long, late or no XML. The stand-in asks
for what the control plane answers (sofia.conf at `startgw` and `rescan`, and `xml_locate`); FreeSWITCH asks for every
configuration it opens (acl.conf, timezones.conf, …), to be told "not found".
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import gevent
import requests
from lxml import etree

from fscontrol.simulator.preprocessor import preprocess_text

log = logging.getLogger(__name__)

_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Binding:
    """One `<binding>` of xml_curl.conf. `timeout` in seconds, 0 is for ever."""

    url: str
    credentials: str = field(default="", repr=False)
    timeout: int = 0
    most_bytes: int = _MOST_BYTES
    verify: str | bool = False
    """Whether the certificate of an https:// URL is checked, and against which file; by default it is not."""
    certificate: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """An answer that counts: the document, and the shell commands FreeSWITCH would have run while reading it."""

    root: etree._Element | None
    executed_commands: tuple[str, ...] = ()


def read_binding(params: Mapping[str, str]) -> Binding | None:
    """The binding its parameters make; None without a URL."""
    url = params.get("gateway-url", "")
    timeout, most = params.get("timeout", ""), params.get("response-max-bytes", "")
    return (
        Binding(
            url=url,
            credentials=params.get("gateway-credentials", ""),
            timeout=int(timeout) if timeout.isdigit() else 0,
            most_bytes=int(most) if most.isdigit() else _MOST_BYTES,
            verify=params.get("enable-cacert-check") == "true" and (params.get("ssl-cacert-file") or True),
            certificate=(params["ssl-cert-path"], params["ssl-key-path"])
            if "ssl-cert-path" in params
            else None,
        )
        if url
        else None
    )


def ask(
    binding: Binding, question: Mapping[str, str], directory: Path, variables: Mapping[str, str]
) -> Located | None:
    """What FreeSWITCH finds when it asks `question`; None: it goes on to its static XML.

    `directory` and the global `variables` are the preprocessor's.
    """
    try:
        with gevent.Timeout(binding.timeout or None):
            answer = _post(binding, question)
    except (requests.RequestException, gevent.Timeout) as error:
        log.warning("CURL returned error: %s", type(error).__name__)
        return None
    if answer is None:
        return None
    document = preprocess_text(answer, directory, variables)
    try:
        root = etree.fromstring(
            document.text.encode(), etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
        )
    except etree.XMLSyntaxError:
        log.warning("Error Parsing Result!")
        return Located(None, document.executed_commands)
    result = root.find("section[@name='result']/result")
    if result is not None and result.get("status", "").lower() == "not found":
        root = None
    return Located(root, document.executed_commands)


def _post(binding: Binding, question: Mapping[str, str]) -> str | None:
    user, _, password = binding.credentials.partition(":")
    answer = requests.post(
        binding.url,
        data=question,
        auth=(user, password) if binding.credentials else None,
        headers={"User-Agent": "freeswitch-xml/1.0"},
        timeout=binding.timeout or None,
        verify=binding.verify,
        cert=binding.certificate,
    )
    if answer.status_code != 200:
        log.warning("Received HTTP error %d trying to fetch %s", answer.status_code, binding.url)
        return None
    if len(answer.content) > binding.most_bytes:
        log.warning("Oversized file detected [%d bytes]", len(answer.content))
        return None
    return answer.content.decode("utf-8", "replace")
