"""Rendered gateways: a hostile value survives as it is or is refused, and the preprocessor finds nothing to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from markupsafe import Markup

from fscontrol.errors import RenderError
from fscontrol.model.gateway import Gateway
from fscontrol.simulator.preprocessor import preprocess
from fscontrol.sofia import render
from fscontrol.sofia.render import render_gateways
from fscontrol.sofia.xml import checked, xml_value

SURVIVES = [
    "plain",
    "",
    " spaces  kept ",
    "a&b",
    "&amp;",
    "&#36;",
    "a<b>c",
    "]]>",
    "<!--",
    "-->",
    '<!--#set "a=b"-->',
    "<?xml?>",
    "<![CDATA[",
    "<include>",
    "</include>",
    "<include/>",
    'it\'s "quoted"',
    "$${api_password}",
    "$${",
    "${system(id)}",
    "$",
    "{{ 7 * 7 }}",
    "{% for x in y %}",
    '"/></gateway><gateway name="evil"><param name="a" value="b',
    "é€\U0001f600",
    "\ufffd",
    "\u00a0",
    "%0A",
    "\\n",
]
REFUSED = [
    "\0", "a\nb", "a\rb", "a\tb", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\ud800", "\udfff", "\ufffe", "\uffff",
    "x-pre-process", '<X-PRE-PROCESS cmd="exec" data="id"/>', "aX-Pre-Processb",
]  # fmt: skip
VARIABLES = {"api_password": "expanded", "x": "expanded", "": "expanded"}


def gateway(value: str, name: str = "7.t.ab12cd34", parameter: str = "password") -> Gateway:
    return Gateway(name, "7", "t", True, (("proxy", "a.example.com"), (parameter, value)))


def values(text: str) -> dict[str | None, list[tuple[str | None, str | None]]]:
    root = etree.fromstring(text.encode())
    assert root.tag == "include"
    return {
        element.get("name"): [(p.get("name"), p.get("value")) for p in element.findall("param")]
        for element in root.findall("gateway")
    }


@pytest.mark.parametrize("value", SURVIVES)
def test_a_value_survives(value: str) -> None:
    found = values(render_gateways("7", [gateway(value)]))
    assert found == {"7.t.ab12cd34": [("proxy", "a.example.com"), ("password", value)]}


@pytest.mark.parametrize("value", SURVIVES)
def test_a_name_survives_too(value: str) -> None:
    made = render_gateways("7", [Gateway(value, "7", "t", True, ((value, "x"),))])
    assert values(made) == {value: [(value, "x")]}


@pytest.mark.parametrize("value", REFUSED)
@pytest.mark.parametrize("where", ["value", "parameter", "name"])
def test_a_value_is_refused_without_repeating_it(value: str, where: str) -> None:
    canary = "canary-9f2c"
    made = {
        "value": gateway(canary + value),
        "parameter": gateway("x", parameter=canary + value),
        "name": gateway("x", name=canary + value),
    }[where]
    with pytest.raises(RenderError) as refusal:
        render_gateways("7", [made])
    assert canary not in str(refusal.value) + repr(refusal.value)


@pytest.mark.parametrize("value", SURVIVES)
def test_the_preprocessor_finds_nothing(tmp_path: Path, value: str) -> None:
    """What FreeSWITCH's XML parser is given after its preprocessor has been over the file."""
    file = tmp_path / "gateways.xml"
    file.write_text(render_gateways("7", [gateway(value), gateway(value, name="7.u.ab12cd35")]))
    result = preprocess(file, VARIABLES)
    assert result.executed_commands == ()
    assert result.variables == VARIABLES
    found = [
        [(p.get("name"), p.get("value")) for p in element.findall("param")]
        for element in etree.fromstring(f"<root>{result.text}</root>").findall("gateway")
    ]
    assert found == [[("proxy", "a.example.com"), ("password", value)]] * 2


def test_no_gateways_is_an_empty_file() -> None:
    assert values(render_gateways("7", [])) == {}


@pytest.mark.parametrize("count", [99, 100, 101, 250])
def test_a_file_of_many_parts_is_these_gateways_whatever_changes(count: int) -> None:
    made = [gateway("x", name=f"7.t.{n}") for n in range(count)]
    changed, new = gateway("y", name="7.t.changed"), gateway("z", name="7.t.new")
    for wanted in (made, [*made[:50], changed, *made[51:]], [new, *made], made[1:], made[:-1], made):
        text = render_gateways("7", wanted)
        found = values(text)
        assert list(found) == [one.name for one in wanted]
        assert [dict(found[one.name])["password"] for one in wanted] == [
            dict(one.parameters)["password"] for one in wanted
        ]
        assert text.count("<include>") == text.count("</include>") == 1


def test_a_part_that_does_not_say_what_was_meant_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [gateway("x", name=f"7.t.{n}") for n in range(150)]
    render_gateways("7", made)
    element = render._element
    doubled = gateway("x", name="7.t.doubled")
    monkeypatch.setattr(render, "_element", lambda one: element(one) * (2 if one is doubled else 1))
    with pytest.raises(RenderError):
        render_gateways("7", [*made[:120], doubled, *made[120:]])


def test_order_is_kept_and_rendering_repeats() -> None:
    made = [gateway("x", name=f"7.t.{n}") for n in (3, 1, 2)]
    assert list(values(render_gateways("7", made))) == ["7.t.3", "7.t.1", "7.t.2"]
    assert render_gateways("7", made) == render_gateways("7", made)


def test_include_stands_alone_on_its_lines() -> None:
    lines = [line.strip() for line in render_gateways("7", [gateway("<include>")]).splitlines()]
    assert lines.count("<include>") == lines.count("</include>") == 1
    assert sum("include" in line for line in lines) == 3  # the escaped value is the third


@pytest.mark.parametrize(
    "text",
    [
        "<include><a/></include>",
        "<include>\n<a/></include>",
        "<a>\n</b>",
        "<a",
        "",
        "<a/><b/>",
        "<a>&undefined;</a>",
        "<include/> <a/>",
    ],
)
def test_unsafe_text_is_refused_by_name(text: str) -> None:
    with pytest.raises(RenderError, match=r"file\.xml"):
        checked(text, "file.xml")


def test_safe_text_is_returned_as_it_is() -> None:
    text = "<include>\n  <a/>\n</include>\n"
    assert checked(text, "x") is text


def test_an_external_entity_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canary")
    text = f'<!DOCTYPE a [<!ENTITY e SYSTEM "file://{secret}">]>\n<a>&e;</a>'
    try:
        assert "canary" not in checked(text, "x")
    except RenderError as refusal:
        assert "canary" not in str(refusal)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a$b", "a&#36;b"),
        ("<", "&lt;"),
        ('"', "&#34;"),
        ("'", "&#39;"),
        ("&", "&amp;"),
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (None, "None"),
        (Markup("<b>"), "<b>"),
    ],
)
def test_xml_value(value: object, text: str) -> None:
    assert str(xml_value(value)) == text


_hostile = st.text(
    alphabet=st.characters(codec=None) | st.sampled_from("<>&$\"'{}!-#/=?[]\n\r\t\ufffe"), max_size=25
) | st.sampled_from(SURVIVES + REFUSED)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=_hostile, prefix=_hostile)
def test_any_value_survives_or_is_refused(tmp_path: Path, value: str, prefix: str) -> None:
    made = Gateway("7.t.1", "7", "t", True, (("username", prefix), ("password", prefix + value)))
    try:
        text = render_gateways("7", [made])
    except RenderError:
        return
    file = tmp_path / "gateways.xml"
    file.write_text(text)
    result = preprocess(file, VARIABLES)
    assert result.executed_commands == ()
    assert result.variables == VARIABLES
    root = etree.fromstring(f"<root>{result.text}</root>")
    assert [(p.get("name"), p.get("value")) for p in root.iter("param")] == list(made.parameters)


def test_the_last_file_is_kept_for_these_gateways_alone() -> None:
    one, other = gateway("x", name="7.t.1"), gateway("y", name="7.t.1")
    assert values(render_gateways("7", [one])) == {"7.t.1": [("proxy", "a.example.com"), ("password", "x")]}
    assert values(render_gateways("7", [other])) == {"7.t.1": [("proxy", "a.example.com"), ("password", "y")]}
    assert values(render_gateways("8", [one])) == values(render_gateways("7", [one]))
    assert values(render_gateways("7", [])) == {}
