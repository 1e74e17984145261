"""Delivered files: whole or not at all, private, and nobody else's touched."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import gevent
import pytest

from fscontrol.errors import DeliveryError
from fscontrol.sofia.deliver import GatewayFiles, organization_file, write_private_file, write_tree
from fscontrol.sofia.tree import GATEWAY_DIRECTORY


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / GATEWAY_DIRECTORY


@pytest.fixture
def files(tmp_path: Path) -> GatewayFiles:
    return GatewayFiles(tmp_path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_private_and_alone(files: GatewayFiles, directory: Path) -> None:
    assert files.write("7", "<a/>")
    (path,) = directory.iterdir()
    assert path.name == organization_file("7")
    assert path.read_text() == "<a/>"
    assert mode(path) == 0o600
    assert mode(directory) & 0o077 == 0


def test_an_open_umask_changes_nothing(files: GatewayFiles, directory: Path) -> None:
    before = os.umask(0)
    try:
        files.write("7", "<a/>")
    finally:
        os.umask(before)
    assert mode(directory / organization_file("7")) == 0o600


def test_the_same_text_is_not_written_again(files: GatewayFiles, directory: Path) -> None:
    files.write("7", "é\n")
    path = directory / organization_file("7")
    before = path.stat().st_ino
    assert not files.write("7", "é\n")
    assert path.stat().st_ino == before
    assert files.write("7", "other")
    assert files.read("7") == "other"


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"<a/>\r\n", b"", b"<a/>"])
def test_what_is_not_the_text_byte_for_byte_is_replaced(
    files: GatewayFiles, directory: Path, damage: bytes
) -> None:
    files.write("7", "<a/>\n")
    (directory / organization_file("7")).write_bytes(damage)
    assert files.write("7", "<a/>\n")
    assert (directory / organization_file("7")).read_bytes() == b"<a/>\n"


def test_a_file_that_others_could_read_is_made_private_again(files: GatewayFiles, directory: Path) -> None:
    files.write("7", "<a/>")
    (directory / organization_file("7")).chmod(0o644)
    files.write("7", "<a/>")
    assert mode(directory / organization_file("7")) == 0o600


def test_a_reader_sees_the_old_or_the_new(files: GatewayFiles, directory: Path) -> None:
    """An open file keeps the old text; the name has the new one at once, with no moment in between."""
    files.write("7", "old" * 1000)
    with (directory / organization_file("7")).open() as reader:
        files.write("7", "new")
        assert reader.read() == "old" * 1000
    assert files.read("7") == "new"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old(
    files: GatewayFiles, directory: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    files.write("7", "old")

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if step == "fsync" else Path, step, full)
    with pytest.raises(DeliveryError, match="No space left"):
        files.write("7", "new")
    monkeypatch.undo()
    assert files.read("7") == "old"
    assert [path.name for path in directory.iterdir()] == [organization_file("7")]


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "sip_profiles").write_text("a file where the directory should be")
    with pytest.raises(DeliveryError):
        GatewayFiles(tmp_path).write("7", "x")


def test_writers_at_one_moment(files: GatewayFiles, directory: Path) -> None:
    texts = [f"{n}" * 5000 for n in range(10)]
    pool = gevent.get_hub().threadpool
    jobs = [pool.spawn(files.write, "7", text) for text in texts]
    gevent.wait(jobs, timeout=10)
    assert all(job.successful() for job in jobs)
    assert files.read("7") in texts
    assert len(list(directory.iterdir())) == 1


def test_remove(files: GatewayFiles, directory: Path) -> None:
    assert not files.remove("7")
    files.write("7", "x")
    files.write("8", "x")
    assert files.remove("7")
    assert not files.remove("7")
    assert [path.name for path in directory.iterdir()] == [organization_file("8")]
    assert files.read("7") is None


def test_files_of_organisations_nobody_knows_are_told_and_left(files: GatewayFiles, directory: Path) -> None:
    assert files.organizations_unknown_to(set()) == []
    for key in ("7", "8", "a.b", "a_b"):
        files.write(key, key)
    foreign = [
        "carrier.xml",
        "fscontrol-org-7.xml",
        "fscontrol-org-7.12345678.xml.bak",
        "fscontrol-org-7.1234567g.xml",
    ]
    for name in foreign:
        (directory / name).write_text("theirs")
    unknown = files.organizations_unknown_to({"8", "a.b"})
    assert unknown == sorted([organization_file("7"), organization_file("a_b")])
    assert all((directory / name).exists() for name in (*unknown, *foreign))


def test_the_names_of_delivered_gateways_are_read_back(files: GatewayFiles, directory: Path) -> None:
    assert files.gateway_names("7") == []
    files.write(
        "7",
        '<include>\n<gateway name="7.a.0a1b2c3d">\n</gateway>\n<gateway name="7.b.1a1b2c3d">\n</gateway>\n</include>',
    )
    assert files.gateway_names("7") == ["7.a.0a1b2c3d", "7.b.1a1b2c3d"]
    (directory / organization_file("8")).write_bytes(b"\xff\xfe")
    assert files.gateway_names("8") == []


def test_leftovers_of_a_crash_go(files: GatewayFiles, directory: Path) -> None:
    files.clear_left_behind()
    files.write("7", "x")
    for name in (".fscontrol-org-7.12345678.xml.k3j2.new", ".fscontrol-org-x.12345678.xml..new"):
        (directory / name).write_text("half")
    for name in (".other.new", "fscontrol.new", ".fscontrol-org-7.swp"):
        (directory / name).write_text("theirs")
    files.clear_left_behind()
    assert {path.name for path in directory.iterdir()} == {
        organization_file("7"),
        ".other.new",
        "fscontrol.new",
        ".fscontrol-org-7.swp",
    }


def test_a_killed_writers_file_is_what_clearing_looks_for(
    files: GatewayFiles, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_arguments: object) -> None:
        raise Killed

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(Killed):
        files.write("7", "half")
    monkeypatch.undo()
    (left,) = directory.iterdir()
    assert left.name.startswith(".") and not left.name.endswith(".xml"), "FreeSWITCH's *.xml must not see it"
    files.clear_left_behind()
    assert list(directory.iterdir()) == []


def test_a_symlink_is_replaced_and_not_followed(files: GatewayFiles, directory: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("<a/>")
    directory.mkdir(parents=True)
    link = directory / organization_file("7")
    for text in ("<a/>", "<b/>"):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert files.write("7", text)
        assert not link.is_symlink()
        assert (link.read_text(), target.read_text()) == (text, "<a/>")
    link.unlink()
    link.symlink_to(target)
    assert files.organizations_unknown_to(set()) == [link.name]
    assert target.exists()


@pytest.mark.parametrize("key", ["../../etc/passwd", "a/b", "/etc", "..", ".", "a\0b", "", "é", "x" * 500])
def test_no_name_leaves_the_directory(key: str) -> None:
    name = organization_file(key)
    assert "/" not in name and "\0" not in name
    assert name.startswith("fscontrol-org-") and name.endswith(".xml")
    assert len(name) < 120


def test_keys_that_look_alike_have_files_of_their_own() -> None:
    keys = ["a.b", "a_b", "a-b", "A.B", "x" * 65, "x" * 66, "7", "07"]
    assert len({organization_file(key) for key in keys}) == len(keys)


def test_a_tree(tmp_path: Path) -> None:
    write_tree(tmp_path / "conf", {"freeswitch.xml": "<a/>", "dialplan/public.xml": "<b/>"})
    assert (tmp_path / "conf" / "dialplan" / "public.xml").read_text() == "<b/>"
    assert (tmp_path / "conf" / GATEWAY_DIRECTORY).is_dir()
    assert all(mode(path) == 0o600 for path in (tmp_path / "conf").rglob("*.xml"))


def test_a_private_file_replaces_a_public_one(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    path.chmod(0o666)
    write_private_file(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o600)
