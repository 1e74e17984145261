"""The configuration tree: what it consists of, that nothing put into it can change its meaning, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from lxml import etree
from pydantic import SecretStr

from fscontrol.errors import ConfigurationError, RenderError
from fscontrol.sofia.tree import NodeConfig, XmlCurl, render_tree

NODE = NodeConfig(
    node="fs1",
    esl_host="127.0.0.1",
    esl_port=8021,
    esl_password=SecretStr("a-password"),
    call_socket=(("192.0.2.7", 8085), ("192.0.2.8", 8085)),
    sip_ip="192.0.2.1",
    sip_port=5060,
    tls_port=0,
    rtp_start=10000,
    rtp_end=20000,
)


def parameters(text: str) -> dict[str, str]:
    """Every `<param name value>` of a rendered file."""
    root = etree.fromstring(text.encode())
    return {str(node.get("name")): str(node.get("value")) for node in root.iter("param")}


def profile(config: NodeConfig) -> dict[str, str]:
    return parameters(render_tree(config)["sip_profiles/external.xml"])


def test_the_tree_is_complete() -> None:
    assert sorted(render_tree(NODE)) == [
        "autoload_configs/acl.conf.xml",
        "autoload_configs/console.conf.xml",
        "autoload_configs/event_socket.conf.xml",
        "autoload_configs/hash.conf.xml",
        "autoload_configs/logfile.conf.xml",
        "autoload_configs/modules.conf.xml",
        "autoload_configs/post_load_modules.conf.xml",
        "autoload_configs/sofia.conf.xml",
        "autoload_configs/switch.conf.xml",
        "autoload_configs/timezones.conf.xml",
        "dialplan/fscontrol.xml",
        "dialplan/public.xml",
        "freeswitch.xml",
        "sip_profiles/external.xml",
        "vars.xml",
    ]


def test_rendering_is_the_same_every_time() -> None:
    assert render_tree(NODE) == render_tree(NODE)


def test_the_profile_admits_nobody_by_itself_and_challenges_nobody() -> None:
    found = profile(NODE)
    for name, value in {
        "context": "public",
        "apply-inbound-acl": "fscontrol_callers",
        "auth-calls": "false",
        "auth-messages": "false",
        "disable-register": "true",
        "accept-blind-reg": "false",
        "accept-blind-auth": "true",
        "manage-presence": "false",
        "disable-transfer": "true",
        "enable-chat": "false",
        "parse-all-invite-headers": "true",
        "inbound-late-negotiation": "true",
        "enable-3pcc": "proxy",
    }.items():
        assert found[name] == value, name


def test_the_password_is_only_in_the_file_that_needs_it() -> None:
    tree = render_tree(replace(NODE, esl_password=SecretStr("only-here-9d1c")))
    assert [path for path, text in tree.items() if "only-here-9d1c" in text] == [
        "autoload_configs/event_socket.conf.xml"
    ]


@pytest.mark.parametrize(
    "value", ["\"/><param name='x'", "<&>", "$${local_ip_v4}", "${system(id)}", "a]]>b", "-->"]
)
@pytest.mark.parametrize("field", ["node", "esl_password"])
def test_free_text_arrives_as_it_was(field: str, value: str) -> None:
    changed: dict[str, Any] = {field: SecretStr(value) if field == "esl_password" else value}
    tree = render_tree(replace(NODE, **changed))
    path, name = {
        "node": ("autoload_configs/switch.conf.xml", "switchname"),
        "esl_password": ("autoload_configs/event_socket.conf.xml", "password"),
    }[field]
    assert parameters(tree[path])[name] == value
    assert "$${" not in tree[path]


@pytest.mark.parametrize("value", ["a\nb", "a\0b", "X-Pre-Process", "\x1b[2J"])
@pytest.mark.parametrize("field", ["node", "esl_password"])
def test_what_no_escape_makes_safe_is_refused(field: str, value: str) -> None:
    changed: dict[str, Any] = {field: SecretStr(value) if field == "esl_password" else value}
    with pytest.raises(RenderError):
        render_tree(replace(NODE, **changed))


HOSTILE_HOSTS = [
    "",
    "${system(id)}",
    "stun:stun.example.com",
    "auto-nat",
    "10.0.0.1 full",
    "a|b",
    "10.0.0.1\n",
    '"',
]


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
@pytest.mark.parametrize("field", ["esl_host", "sip_ip", "external_ip", "call_socket", "esl_allow"])
def test_addresses_that_are_none_are_refused(field: str, host: str) -> None:
    if (field, host) in (("external_ip", ""), ("call_socket", "auto-nat")):
        return  # no external address, and a host name like another
    values: dict[str, Any] = {"call_socket": ((host, 8085),), "esl_allow": (host,)}
    with pytest.raises(ConfigurationError) as refusal:
        render_tree(replace(NODE, **{field: values.get(field, host)}))
    assert field in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"node": " "}, "name"),
        ({"sip_ip": "0.0.0.0"}, "sip_ip"),  # noqa: S104
        ({"external_ip": "::"}, "external_ip"),
        ({"call_socket": ()}, "call_socket"),
        ({"call_socket": (("192.0.2.7", 0),)}, "call_socket"),
        ({"esl_password": SecretStr("")}, "esl_password"),
        ({"sip_port": 0}, "sip_port"),
        ({"esl_port": 65536}, "esl_port"),
        ({"tls_port": 5060}, "tls_port"),
        ({"rtp_start": 20000, "rtp_end": 10000}, "RTP"),
        ({"max_sessions": 0}, "max_sessions"),
        ({"decision_seconds": 0}, "decision_seconds"),
        ({"media_timeout_seconds": -1}, "media_timeout_seconds"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        render_tree(replace(NODE, **changes))


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        render_tree(replace(NODE, sip_ip="auto", sip_port=0, call_socket=()))
    assert len(refusal.value.problems) == 3


def test_the_external_address_is_given_only_when_there_is_one() -> None:
    assert "ext-sip-ip" not in profile(NODE)
    assert "ext-rtp-ip" not in profile(NODE)
    behind_nat = profile(replace(NODE, external_ip="203.0.113.9"))
    assert (behind_nat["ext-sip-ip"], behind_nat["ext-rtp-ip"]) == ("203.0.113.9", "203.0.113.9")
    assert behind_nat["sip-ip"] == "192.0.2.1"


def test_tls_is_on_only_with_a_port() -> None:
    assert profile(NODE)["tls"] == "false"
    assert "tls-sip-port" not in profile(NODE)
    encrypted = profile(replace(NODE, tls_port=5061))
    assert (encrypted["tls"], encrypted["tls-sip-port"]) == ("true", "5061")


@pytest.mark.parametrize(
    ("host", "acl"),
    [
        ("127.0.0.1", "loopback.auto"),
        ("::1", "loopback.auto"),
        ("0.0.0.0", "fscontrol_esl"),  # noqa: S104
        ("192.0.2.1", "fscontrol_esl"),
    ],
)
def test_the_event_socket_admits_loopback_or_the_list(host: str, acl: str) -> None:
    tree = render_tree(replace(NODE, esl_host=host, esl_allow=("10.1.0.0/16", "fd00::/8")))
    assert parameters(tree["autoload_configs/event_socket.conf.xml"])["apply-inbound-acl"] == acl
    lists = etree.fromstring(tree["autoload_configs/acl.conf.xml"].encode())
    event_socket, callers = lists.iter("list")
    assert (event_socket.get("name"), event_socket.get("default")) == ("fscontrol_esl", "deny")
    assert (callers.get("name"), callers.get("default")) == ("fscontrol_callers", "deny")
    assert [node.get("cidr") for node in event_socket] == [
        "127.0.0.0/8",
        "::1/128",
        "10.1.0.0/16",
        "fd00::/8",
    ]


def test_every_call_goes_to_the_call_socket_and_is_refused_when_nobody_decides() -> None:
    public = etree.fromstring(render_tree(NODE)["dialplan/public.xml"].encode())
    (condition,) = public.iter("condition")
    assert condition.get("field") is None
    assert [(action.get("application"), action.get("data")) for action in condition.iter("action")] == [
        ("sched_hangup", "+15 NORMAL_TEMPORARY_FAILURE"),
        ("socket", "192.0.2.7:8085|192.0.2.8:8085 full"),
        ("respond", "503"),
        ("hangup", "NORMAL_TEMPORARY_FAILURE"),
    ]


def test_the_media_timeout_is_in_milliseconds() -> None:
    assert 'data="media_timeout=60000"' in render_tree(replace(NODE, media_timeout_seconds=60))["vars.xml"]


OVER_HTTP = replace(
    NODE, xml_curl=XmlCurl("http://192.0.2.7:8080/freeswitch/xml", SecretStr("only-here-9d1c"))
)
OVER_TLS = XmlCurl(
    "https://192.0.2.7/freeswitch/xml", SecretStr("p"), ca="/tls/ca.pem", cert="/tls/c.pem", key="/tls/k.pem"
)


def test_a_node_of_files_has_neither_the_module_nor_its_configuration() -> None:
    assert not [text for text in render_tree(NODE).values() if "xml_curl" in text or "fscontrol_live" in text]


def test_a_node_over_http_asks_with_a_deadline_and_proves_itself() -> None:
    tree = render_tree(OVER_HTTP)
    assert set(tree) - set(render_tree(NODE)) == {
        "autoload_configs/xml_curl.conf.xml",
        "sip_profiles/external-over-http/none.xml",
    }
    assert parameters(tree["autoload_configs/xml_curl.conf.xml"]) == {
        "gateway-url": "http://192.0.2.7:8080/freeswitch/xml",
        "gateway-credentials": "fs1:only-here-9d1c",
        "auth-scheme": "=basic",
        "method": "POST",
        "timeout": "3",
        "response-max-bytes": str(64 << 20),
    }
    assert [path for path, text in tree.items() if "only-here-9d1c" in text] == [
        "autoload_configs/xml_curl.conf.xml"
    ]
    modules = [
        str(m.get("module"))
        for m in etree.fromstring(tree["autoload_configs/modules.conf.xml"].encode()).iter("load")
    ]
    assert modules[-3:] == ["mod_sofia", "mod_xml_curl", "mod_event_socket"]


def test_the_gateway_files_stay_in_the_tree_until_we_say_that_we_serve() -> None:
    assert 'data="external$${fscontrol_live}/*.xml"' in render_tree(OVER_HTTP)["sip_profiles/external.xml"]


def test_over_tls_the_certificate_is_checked_and_ours_presented() -> None:
    found = parameters(render_tree(replace(NODE, xml_curl=OVER_TLS))["autoload_configs/xml_curl.conf.xml"])
    assert {name: value for name, value in found.items() if "ssl" in name or "cacert" in name} == {
        "enable-cacert-check": "true",
        "enable-ssl-verifyhost": "true",
        "ssl-cacert-file": "/tls/ca.pem",
        "ssl-cert-path": "/tls/c.pem",
        "ssl-key-path": "/tls/k.pem",
    }


@pytest.mark.parametrize("url", ["", "file:/etc/passwd", "http://h/?file:/etc/passwd", "ftp://h"])
def test_a_url_that_mod_xml_curl_would_read_as_a_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="xml_curl"):
        render_tree(replace(NODE, xml_curl=XmlCurl(url, SecretStr("p"))))


@pytest.mark.parametrize(("node", "password"), [("a:b", "p"), ("fs1", "")])
def test_credentials_that_would_be_read_otherwise_are_refused(node: str, password: str) -> None:
    with pytest.raises(ConfigurationError, match="xml_curl"):
        render_tree(replace(NODE, node=node, xml_curl=XmlCurl("http://h", SecretStr(password))))


@pytest.mark.parametrize("value", ["$${local_ip_v4}", 'a"/><X-PRE', "<include>"])
def test_what_stands_in_the_questions_address_arrives_as_it_was(value: str) -> None:
    tree = render_tree(replace(NODE, xml_curl=XmlCurl(f"http://h/{value}", SecretStr(value))))
    found = parameters(tree["autoload_configs/xml_curl.conf.xml"])
    assert (found["gateway-url"], found["gateway-credentials"]) == (f"http://h/{value}", f"fs1:{value}")
