"""The configuration a FreeSWITCH would have after loading a tree: profiles, gateways, dialplan, lists, variables.

Owns: parsing the preprocessed text and giving it types. Refuses: XML that does not parse (`ConfigurationUnreadable`
with FreeSWITCH's words, so that the old configuration stays), entities and anything from the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from fscontrol.simulator.network_lists import NetworkList, read_lists
from fscontrol.simulator.preprocessor import preprocess
from fscontrol.simulator.xml_curl import Binding, read_binding

_MISMATCH = re.compile(r"Opening and ending tag mismatch: .* and (\S+)")


class ConfigurationUnreadable(Exception):
    """The XML did not load; the text is what FreeSWITCH puts in brackets behind `+OK`."""

    def __init__(self, words: str, executed_commands: tuple[str, ...] = ()) -> None:
        self.executed_commands = executed_commands
        super().__init__(words)


@dataclass(frozen=True, slots=True)
class GatewayVariable:
    """A channel variable a gateway sets; `direction` is inbound, outbound or empty for both."""

    name: str
    value: str
    direction: str


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """One `<gateway>` as written: its parameters (the last of a name counts) and its variables."""

    name: str
    params: Mapping[str, str]
    variables: tuple[GatewayVariable, ...] = ()


@dataclass(frozen=True, slots=True)
class ProfileConfig:
    """One sofia profile: settings by name and gateways in the order of the XML."""

    name: str
    settings: Mapping[str, str]
    gateways: tuple[GatewayConfig, ...]
    inbound_acls: tuple[str, ...] = ()
    """Network lists a caller must be in one of; none: everybody may call."""

    @property
    def sip_ip(self) -> str:
        """The address the profile listens on."""
        return self.settings.get("sip-ip", "127.0.0.1")

    @property
    def sip_port(self) -> int:
        """The UDP and TCP port."""
        return _number(self.settings.get("sip-port", ""), 5060)

    @property
    def tls(self) -> bool:
        """Whether gateways may use TLS."""
        return _is_true(self.settings.get("tls", "false"))

    @property
    def ignores_credentials(self) -> bool:
        """`accept-blind-auth`: with `auth-calls` off, a caller's Authorization is not looked at."""
        return _is_true(self.settings.get("accept-blind-auth", "false"))

    @property
    def contact_ip(self) -> str:
        """What Contact headers name: `ext-sip-ip` when it is set."""
        external = self.settings.get("ext-sip-ip", "")
        return external if external and not external.lower().startswith("auto") else self.sip_ip

    @property
    def url(self) -> str:
        """The profile's own SIP URI."""
        return f"sip:mod_sofia@{self.contact_ip}:{self.sip_port}"


@dataclass(frozen=True, slots=True)
class Condition:
    """One `<condition>` of the dialplan with its actions; an empty field is always true."""

    field: str
    expression: str
    actions: tuple[tuple[str, str], ...]
    anti_actions: tuple[tuple[str, str], ...] = ()
    break_on: str = "on-false"


@dataclass(frozen=True, slots=True)
class Extension:
    """One `<extension>`; without `continue_` the first that matches ends the search."""

    name: str
    conditions: tuple[Condition, ...]
    continue_: bool = False


@dataclass(frozen=True, slots=True)
class Configuration:
    """All of a tree that the stand-in acts on."""

    profiles: Mapping[str, ProfileConfig] = field(default_factory=dict)
    contexts: Mapping[str, tuple[Extension, ...]] = field(default_factory=dict)
    modules: frozenset[str] = frozenset()
    network_lists: Mapping[str, NetworkList] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    executed_commands: tuple[str, ...] = ()
    xml_curl: Binding | None = None
    """Where configurations are asked for first; None without mod_xml_curl."""


def load(directory: Path, variables: Mapping[str, str]) -> Configuration:
    """Read `directory`/freeswitch.xml and all it includes, with the global variables set so far.

    Raises `ConfigurationUnreadable`. Its `executed_commands` are what the preprocessor would have run before the
    parser failed: FreeSWITCH runs them first.
    """
    document = preprocess(directory / "freeswitch.xml", variables)
    if not document.readable or not document.text.strip():
        raise ConfigurationUnreadable("Cannot Open log directory or XML Root!", document.executed_commands)
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=True,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(document.text.encode("utf-8", "surrogateescape"), parser)
    except etree.XMLSyntaxError as error:
        raise ConfigurationUnreadable(_freeswitch_words(error), document.executed_commands) from None
    modules = frozenset(_configuration_values(root, "modules.conf", "modules/load", "module"))
    return Configuration(
        profiles={profile.name: profile for profile in profiles_in(root)},
        contexts=_contexts(root),
        modules=modules,
        xml_curl=_xml_curl(root) if "mod_xml_curl" in modules else None,
        network_lists=read_lists(root),
        variables=document.variables,
        executed_commands=document.executed_commands,
    )


def _freeswitch_words(error: etree.XMLSyntaxError) -> str:
    message = error.msg or "unexpected input"
    found = _MISMATCH.search(message)
    said = f"unexpected closing tag </{found[1].rstrip(',')}>" if found else message
    return f"[error near line {error.lineno}]: {said}"


def _is_true(text: str) -> bool:
    return text.lower() in ("true", "yes", "on", "1", "enabled", "active")


def _number(text: str, default: int) -> int:
    return int(text) if text.isascii() and text.isdigit() else default


def _find(root: etree._Element, section: str, tag: str, name: str) -> etree._Element | None:
    for found in root.findall("section"):
        if found.get("name") == section:
            for child in found.findall(tag):
                if child.get("name") == name:
                    return child
    return None


def _configuration_values(root: etree._Element, name: str, path: str, attribute: str) -> Iterator[str]:
    configuration = _find(root, "configuration", "configuration", name)
    if configuration is not None:
        for child in configuration.findall(path):
            yield child.get(attribute, "")


def _xml_curl(root: etree._Element) -> Binding | None:
    found = _find(root, "configuration", "configuration", "xml_curl.conf")
    params = [] if found is None else found.findall("bindings/binding/param")
    return read_binding({param.get("name", ""): param.get("value", "") for param in params})


def profiles_in(root: etree._Element) -> Iterator[ProfileConfig]:
    """The sofia profiles of a document."""
    sofia = _find(root, "configuration", "configuration", "sofia.conf")
    if sofia is None:
        return
    for profile in sofia.findall("profiles/profile"):
        settings = {
            param.get("name", ""): param.get("value", "") for param in profile.findall("settings/param")
        }
        gateways = tuple(_gateway(element) for element in profile.findall("gateways/gateway"))
        acls = (p.get("value", "") for p in profile.findall("settings/param[@name='apply-inbound-acl']"))
        yield ProfileConfig(profile.get("name", ""), settings, gateways, tuple(filter(None, acls)))


def _gateway(element: etree._Element) -> GatewayConfig:
    # Parameters stand in <params> or directly in <gateway>: sofia looks for the wrapper first.
    params = element.find("params")
    variables = element.find("variables")
    return GatewayConfig(
        name=element.get("name", ""),
        params={
            param.get("name", ""): param.get("value", "")
            for param in (element if params is None else params).findall("param")
        },
        variables=tuple(
            GatewayVariable(item.get("name", ""), item.get("value", ""), item.get("direction", "").lower())
            for item in (element if variables is None else variables).findall("variable")
        ),
    )


def _contexts(root: etree._Element) -> dict[str, tuple[Extension, ...]]:
    contexts: dict[str, tuple[Extension, ...]] = {}
    for section in root.findall("section"):
        if section.get("name") == "dialplan":
            for context in section.findall("context"):
                contexts.setdefault(
                    context.get("name", ""), tuple(map(_extension, context.findall("extension")))
                )
    return contexts


def _extension(element: etree._Element) -> Extension:
    conditions = tuple(
        Condition(
            field=condition.get("field", ""),
            expression=condition.get("expression", "") or (condition.findtext("expression") or ""),
            actions=_actions(condition, "action"),
            anti_actions=_actions(condition, "anti-action"),
            break_on=condition.get("break", "on-false").lower(),
        )
        for condition in element.findall("condition")
    )
    return Extension(element.get("name", ""), conditions, element.get("continue", "").lower() == "true")


def _actions(condition: etree._Element, tag: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (action.get("application", ""), action.get("data") or (action.text or "").strip())
        for action in condition.findall(tag)
    )
