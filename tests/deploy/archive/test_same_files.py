"""A file has many names; in an archive it stands once, under the first of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from cavsync.deploy.archive.addresses import identity
from cavsync.deploy.archive.sources import find_sources
from cavsync.errors import DataError


def found(src: Path) -> tuple[list[str], int]:
    found = find_sources(str(src), "path")
    return [source.name for source in found.sources], found.num_duplicates


def listed(folder: Path, names: list[str]) -> tuple[list[str], int]:
    (folder / "list.txt").write_bytes(b"".join(os.fsencode(name) + b"\n" for name in names))
    return found(folder / "list.txt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file with a blank in its name, two links to it, a hard link, a copy, and a link to its folder."""
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "a b.mkv").write_bytes(b"content")
    (folder / "link.mkv").symlink_to("a b.mkv")
    (folder / "more.mkv").symlink_to(folder / "link.mkv")
    (folder / "hard.mkv").hardlink_to(folder / "a b.mkv")
    shutil.copy(folder / "a b.mkv", folder / "copy.mkv")
    (tmp_path / "other").symlink_to(folder)
    return folder


def test_links_below_a_folder_are_left_out_and_counted(folder: Path) -> None:
    assert found(folder) == ([str(folder / name) for name in ("a b.mkv", "copy.mkv", "hard.mkv")], 2)


@pytest.mark.parametrize(
    "first",
    [
        "clips/link.mkv",
        "./clips/../clips/more.mkv",
        "other/a b.mkv",
        "file://{0}/clips/a%20b.mkv",
        "file:{0}/clips/a b.mkv",
    ],
)
def test_the_first_name_of_a_list_wins(folder: Path, first: str) -> None:
    """Whatever it is: a link, a longer path, one through a link to the folder, an address of a local file."""
    first = first.format(folder.parent)
    others = [str(folder / "a b.mkv"), f"file://localhost{folder}/a%20b.mkv", "clips/link.mkv", "clips//a b.mkv", first]
    names, num_duplicates = listed(folder.parent, [first, *others, "clips/hard.mkv"])
    assert num_duplicates == len(others)
    assert len(names) == 2
    assert str(folder / "hard.mkv") in names
    (kept,) = {*names} - {str(folder / "hard.mkv")}
    assert os.path.samefile(kept, folder / "a b.mkv")  # noqa: PTH121 - names as they are
    if not first.startswith("file:"):
        assert kept == os.path.abspath(folder.parent / first)  # noqa: PTH100 - links are kept


def test_a_local_file_may_be_an_address_with_any_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 %41.mkv")
    (tmp_path / name).touch()
    wanted = [str(tmp_path / name)]
    assert listed(tmp_path, [f"file://{tmp_path}/caf%E9%20%2541.mkv", name]) == (wanted, 1)
    assert [source.name for source in find_sources(f"file://{tmp_path}", "path").sources] == wanted


def test_a_file_of_another_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"file://host/a\.mkv is a file of another machine"):
        listed(tmp_path, ["file://host/a.mkv"])


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("https://host/a.mkv", "HTTPS://Host:443/a.mkv"),
        ("http://host/a.mkv", "http://host:80/x/.././a.mkv"),
        ("http://host/a b%7e.mkv", "http://host/a%20b~.mkv#t=10"),
        ("http://host/caf%c3%a9.mkv", "http://host/café.mkv"),
        ("s3://bucket/a.mkv", "s3a://bucket/a.mkv"),
        ("gs://bucket/a.mkv", "gcs://bucket/a.mkv"),
    ],
)
def test_addresses_of_one_file(one: str, two: str, tmp_path: Path) -> None:
    assert listed(tmp_path, [one, two]) == ([one], 1)
    assert listed(tmp_path, [two, one]) == ([two], 1)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("http://host/a.mkv", "https://host/a.mkv"),
        ("http://host/a.mkv", "http://host:8080/a.mkv"),
        ("http://host/a.mkv", "http://host/A.mkv"),
        ("http://host/a%2Fb.mkv", "http://host/a/b.mkv"),
        ("http://host/get.mkv?id=1", "http://host/get.mkv?id=2"),
        ("s3://bucket/a//b.mkv", "s3://bucket/a/b.mkv"),
        ("s3://bucket/a/../b.mkv", "s3://bucket/b.mkv"),
        ("s3://bucket/a%20b.mkv", "s3://bucket/a b.mkv"),
        ("s3://bucket/a.mkv#1", "s3://bucket/a.mkv#2"),
    ],
)
def test_addresses_of_two_files(one: str, two: str) -> None:
    assert identity(one) != identity(two)


def test_names_that_the_system_does_not_take_are_files_of_their_own() -> None:
    assert identity("/a\0b") == "/a\0b"
    assert identity("http://[::1/a.mkv") == "http://[::1/a.mkv"
