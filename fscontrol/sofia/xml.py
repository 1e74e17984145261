"""Text that is safe in FreeSWITCH's XML, and the check every rendered file passes before it is installed.

Owns: the Jinja environment for `templates/freeswitch`, the escaping of every value put into it, and the check of the
result. Refuses (`RenderError`): control characters, `x-pre-process` in a value, text that is not well-formed, and
`<include>` sharing a line with anything else.

FreeSWITCH preprocesses XML line by line before parsing (FREESWITCH.md §2): `$${name}` expands anywhere,
`X-PRE-PROCESS cmd="exec"` runs a shell, and a line holding `<include>` is dropped whole. Data that reached XML
unescaped would be remote code execution.
"""

from __future__ import annotations

import functools
import re
import sys
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from lxml import etree
from markupsafe import Markup, escape

from fscontrol.errors import RenderError

# XML 1.0 §2.2 allows tab, LF and CR; a value needs none of them, and a line end would start a line of its own.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_INCLUDE_TAG = re.compile(r"</?include\s*/?>", re.IGNORECASE)


def xml_value(value: object) -> Markup:
    """A value as XML text or attribute: `& < > " '` escaped and `$` written `&#36;`, so that nothing expands.

    Raises `RenderError` for what no escape can make safe.
    """
    if isinstance(value, Markup):
        return value
    if isinstance(value, bool):
        value = "true" if value else "false"
    text = str(value)
    if _FORBIDDEN.search(text):
        raise RenderError("a value holds control characters, which FreeSWITCH's XML cannot carry")
    if "x-pre-process" in text.lower():
        raise RenderError("a value holds 'x-pre-process', which FreeSWITCH's preprocessor would act on")
    return Markup(str(escape(text)).replace("$", "&#36;"))  # noqa: S704  (escaped on this very line)


def templates_directory() -> Path:
    """Where the templates are: beside the package in a checkout, under `share/fscontrol` when installed."""
    checkout = Path(__file__).resolve().parents[2] / "templates"
    return checkout if checkout.is_dir() else Path(sys.prefix) / "share" / "fscontrol" / "templates"


@functools.cache
def environment() -> Environment:
    """The one Jinja environment; autoescape on, undefined names are errors, every value goes through `xml_value`."""
    return Environment(
        loader=FileSystemLoader(templates_directory() / "freeswitch"),
        autoescape=True,
        finalize=xml_value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def checked(text: str, what: str) -> str:
    """`text` if it is well-formed and the preprocessor will read it as written; raises `RenderError` naming `what`."""
    parsed(text, what)
    return text


def parsed(text: str, what: str) -> etree._Element:
    """The same check, and what the text says."""
    for tag in _INCLUDE_TAG.finditer(text):
        start, end = text.rfind("\n", 0, tag.start()) + 1, text.find("\n", tag.end())
        if text[start : end if end >= 0 else None].strip() != tag[0]:
            number = text.count("\n", 0, start) + 1
            raise RenderError(
                f"{what}, line {number}: <include> must stand alone, or the preprocessor drops the line"
            )
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise RenderError(f"{what} is not well-formed: line {error.lineno}: {error.msg}") from None
