"""The preprocessor's rules and dangers, each as FreeSWITCH has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fscontrol.simulator.configuration import ConfigurationUnreadable, load
from fscontrol.simulator.preprocessor import preprocess


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<a/>\n", "<a/>\n"),
        ('<?xml version="1.0"?>\n<a/>\n', "<a/>\n"),
        ("<include>\n<a/>\n</include>\n", "<a/>\n"),
        ("<include><a/></include>\n", ""),
        ("<a/></include>\n<b/>\n", "<b/>\n"),
        ('<X-PRE-PROCESS cmd="set" data="n = v w"/>\n<a b="$${n}"/>\n', '<a b="v w"/>\n'),
        ('<x-pre-process CMD="SET" DATA="n=v"/>\n$${n}', "v"),
        ('<a b="$${unknown}"/>\n', '<a b=""/>\n'),
        ('<a b="$${open"/>\n', '<a b="$${open"/>\n'),
        ('<a b="&#36;&#36;{n}"/>\n', '<a b="&#36;&#36;{n}"/>\n'),
        ('<a b="x-pre-process"/>\n<b/>\n', "<b/>\n"),
        ('<!--#set "n=v"-->\n$${n}\n', "\nv\n".replace("\nv", "v", 1)),
        ('<X-PRE-PROCESS cmd="include" data="nothing-here/*.xml"/>\n<a/>\n', "<a/>\n"),
        ('<X-PRE-PROCESS cmd="include"/>\n<a/>\n', "<a/>\n"),
    ],
)
def test_one_file(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "freeswitch.xml").write_text(text)
    assert preprocess(tmp_path / "freeswitch.xml").text == expected


def test_exec_is_recorded_and_never_run(tmp_path: Path) -> None:
    mark = tmp_path / "was-run"
    (tmp_path / "freeswitch.xml").write_text(
        f'<X-PRE-PROCESS cmd="exec" data="touch {mark}"/>\n<X-PRE-PROCESS cmd="exec-set" data="n=touch {mark}"/>\n'
        f'<X-PRE-PROCESS cmd="set" data="c=exec"/>\n<X-PRE-PROCESS cmd="$${{c}}" data="third"/>\n'
    )
    assert preprocess(tmp_path / "freeswitch.xml").executed_commands == (
        f"touch {mark}",
        f"n=touch {mark}",
        "third",
    )
    assert not mark.exists()


def test_includes_are_relative_to_their_file_sorted_and_without_dotfiles(tmp_path: Path) -> None:
    (tmp_path / "sub" / "deeper").mkdir(parents=True)
    (tmp_path / "freeswitch.xml").write_text('<X-PRE-PROCESS cmd="include" data="sub/*.xml"/>\n')
    (tmp_path / "sub" / "b.xml").write_text('<X-PRE-PROCESS cmd="include" data="deeper/*.xml"/>\n')
    (tmp_path / "sub" / "a.xml").write_text("<a/>\n")
    (tmp_path / "sub" / ".hidden.xml").write_text("<hidden/>\n")
    (tmp_path / "sub" / "deeper" / "c.xml").write_text("<c/>\n")
    assert preprocess(tmp_path / "freeswitch.xml").text == "<a/>\n<c/>\n"


def test_a_file_that_includes_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "freeswitch.xml").write_text('<a/>\n<X-PRE-PROCESS cmd="include" data="freeswitch.xml"/>\n')
    assert preprocess(tmp_path / "freeswitch.xml").text.count("<a/>") == 101


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "Cannot Open log directory or XML Root!"),
        ("", "Cannot Open log directory or XML Root!"),
        ("<document>\n<a>\n</b>\n</document>\n", "[error near line 3]: unexpected closing tag </b>"),
    ],
)
def test_unreadable_configurations_in_freeswitch_words(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "freeswitch.xml").write_text(text)
    with pytest.raises(ConfigurationUnreadable) as refused:
        load(tmp_path, {})
    assert str(refused.value) == words


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    (tmp_path / "freeswitch.xml").write_text(
        f'<!DOCTYPE d [<!ENTITY e SYSTEM "{secret}">]>\n<document><section name="dialplan"><context name="c">'
        '<extension name="x"><condition><action application="set">&e;</action></condition></extension>'
        "</context></section></document>"
    )
    assert "the secret" not in repr(load(tmp_path, {}))
