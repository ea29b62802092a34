"""Folders that cannot be looked into are named: what is in them is missing in the archive."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from refused_folder import refuse

from cavsync.deploy.archive.sources import find_sources
from cavsync.errors import MediaError

pytest.importorskip("fsspec", reason="archives need the extra 'ray'")


def test_a_folder_without_permission_is_named(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, clips / "more")
    found = find_sources(str(clips), "path")
    assert [source.name for source in found.sources] == [str(clips / "a.mkv"), str(clips / "b.mkv")]
    ((folder, error),) = found.unreadable
    assert folder.name == f"{clips}/more/"
    assert error.startswith(f"{clips}/more cannot be listed (Permission denied): check its permissions")
    assert found.num_rows == 3


def test_a_source_without_permission_is_an_error(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, clips)
    with pytest.raises(MediaError, match=r"clips cannot be listed \(Permission denied\): check its permissions"):
        find_sources(str(clips), "path")


def test_paths_beyond_what_the_system_takes(tmp_path: Path) -> None:
    """A folder so deep that no path can name it, as archives that were unpacked from elsewhere have."""
    folder = os.open(tmp_path, os.O_RDONLY)
    deep = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=deep)
        deep, before = os.open("d" * 250, os.O_RDONLY, dir_fd=deep), deep
        os.close(before)
    os.close(os.open("a.mkv", os.O_CREAT | os.O_WRONLY, dir_fd=deep))
    os.close(deep)
    os.close(folder)
    ((source, error),) = find_sources(str(tmp_path), "path").unreadable
    assert source.name.endswith("d" * 250 + "/")
    assert "(File name too long)" in error


def test_links_to_nothing_are_errors_of_their_own_and_pipes_are_passed_over(tmp_path: Path) -> None:
    """A pipe could be read for ever."""
    (tmp_path / "gone.mkv").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.mkv")
    (tmp_path / "folder.mkv").mkdir()
    found = find_sources(str(tmp_path), "path")
    assert [source.name for source in found.sources] == [str(tmp_path / "gone.mkv")]


def test_a_folder_of_a_web_server_that_answers_no_is_named(web: str, clips: Path) -> None:
    (clips / "closed").mkdir()
    try:
        found = find_sources(f"{web}/", "path")
    finally:
        (clips / "closed").rmdir()
    assert [source.name for source in found.sources] == [f"{web}/{name}" for name in ("a.mkv", "b.mkv", "more/a.mkv")]
    ((folder, error),) = found.unreadable
    assert folder.name == f"{web}/closed/"
    assert error.startswith(f"{web}/closed/ cannot be read (403")
    with pytest.raises(MediaError, match="cannot be read"):
        find_sources(f"{web}/nowhere/", "path")
