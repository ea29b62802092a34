"""Files and folders are written whole or not at all, whatever fails, and nothing else is left behind."""

import errno
import os
import secrets
import signal
import stat
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavsync import atomic
from cavsync.atomic import (
    atomic_file,
    atomic_folder,
    atomic_path,
    check_writable,
    is_leftover,
    remove_leftovers,
    write_bytes_atomically,
    write_text_atomically,
)
from cavsync.errors import ConfigError

Write = Callable[..., None]


def stream(target: Path, content: bytes, error: BaseException | None = None) -> None:
    with atomic_file(target) as opened:
        opened.write(content)
        end(error)


def path(target: Path, content: bytes, error: BaseException | None = None) -> None:
    with atomic_path(target, suffix=".mp4") as temporary:
        temporary.write_bytes(content)
        end(error)


def folder(target: Path, content: bytes, error: BaseException | None = None) -> None:
    with atomic_folder(target) as fresh:
        (fresh / "inner").mkdir()
        (fresh / "inner" / "file").write_bytes(content)
        (fresh / "file").write_bytes(content)
        end(error)


def end(error: BaseException | None) -> None:
    if error is not None:
        raise error


WRITERS = pytest.mark.parametrize("write", [stream, path, folder])


def read(target: Path) -> set[bytes]:
    """The contents of a file, or of all files of a folder; empty where the target does not exist."""
    files = [target] if target.is_file() else [item for item in target.rglob("*") if item.is_file()]
    return {file.read_bytes() for file in files}


def names(folder_path: Path) -> list[str]:
    """Names in a folder, hidden ones included."""
    return sorted(item.name for item in folder_path.iterdir())


@given(text=st.text(st.characters(exclude_categories=("Cs",))), old=st.none() | st.binary())
def test_text_arrives_to_the_byte(text: str, old: bytes | None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Line ends included, whether or not there was a file before."""
    target = tmp_path_factory.mktemp("text") / "out.txt"
    if old is not None:
        target.write_bytes(old)
    write_text_atomically(target, text)
    assert target.read_bytes() == text.encode()
    assert list(target.parent.iterdir()) == [target]


@WRITERS
def test_replaces_and_creates(write: Write, tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        write(tmp_path / "target", content)
        assert read(tmp_path / "target") == {content}
        assert names(tmp_path) == ["target"]


@WRITERS
@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), SystemExit()])
def test_an_exception_in_the_block_changes_nothing(
    write: Write, error: BaseException, exists: bool, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    if exists:
        write(target, b"old")
    with pytest.raises(type(error)):
        write(target, b"new", error)
    assert read(target) == ({b"old"} if exists else set())
    assert names(tmp_path) == (["target"] if exists else [])


CALLS = [(os, "open"), (os, "fsync"), (Path, "replace"), (Path, "rename"), (Path, "mkdir"), (Path, "chmod")]


@WRITERS
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize(("holder", "name"), CALLS, ids=[name for _, name in CALLS])
@pytest.mark.parametrize("exchanges", [True, False])
def test_whichever_call_fails(
    write: Write,
    error: BaseException,
    holder: Any,
    name: str,
    exchanges: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The n-th call fails, for every n: the target is the old or the new one, whole, and alone in its folder."""
    real = getattr(holder, name)
    if not exchanges:
        monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    place = 0
    while True:
        target = tmp_path / f"{place}" / "target"
        target.parent.mkdir()
        write(target, b"old")
        calls = 0

        def failing(*args: Any, place: int = place, **options: Any) -> Any:
            nonlocal calls
            # Those of the clean-up itself, by shutil.
            if "dir_fd" in options:
                return real(*args, **options)
            calls += 1
            if calls == place + 1:
                raise error
            return real(*args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(holder, name, failing)
            with suppress(type(error)):
                write(target, b"new")
        assert read(target) in ({b"old"}, {b"new"})
        assert names(target.parent) == ["target"]
        if calls <= place:
            assert read(target) == {b"new"}
            return
        place += 1


@WRITERS
def test_content_is_on_the_disk_before_the_name(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync of each file with its whole content, then the renaming, then fsync of the folder."""
    target, synced = tmp_path / "target", []
    write(target, b"old")
    real = os.fsync

    def note(descriptor: int) -> None:
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((place == tmp_path, None if place.is_dir() else place.read_bytes()))
        if place.is_file():
            assert read(target) == {b"old"}
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    write(target, b"new")
    files = [content for _, content in synced if content is not None]
    assert files == [b"new"] * (2 if write is folder else 1)
    assert synced[-1] == (True, None)


@WRITERS
def test_a_kill_leaves_the_old_content_and_a_name_that_is_known(write: Write, tmp_path: Path) -> None:
    """SIGKILL just before the content is brought to the disk."""
    target = tmp_path / "target"
    write(target, b"old")
    child = os.fork()
    if child == 0:
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        write(target, b"new")
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert read(target) == {b"old"}
    left = [name for name in names(tmp_path) if name != "target"]
    assert [is_leftover(name) for name in left] == [True]
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["target"]
    remove_leftovers(tmp_path / "missing")


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_permissions_are_those_of_an_ordinary_open(mask: int, tmp_path: Path) -> None:
    """A new file gets what the umask allows; a replaced one keeps its own, so that what was private stays so."""
    before = os.umask(mask)
    try:
        (tmp_path / "ordinary").touch()
        (tmp_path / "ordinary folder").mkdir()
        write_bytes_atomically(tmp_path / "new", b"")
        folder(tmp_path / "new folder", b"")
        for name, like in (("new", "ordinary"), ("new folder", "ordinary folder")):
            assert (tmp_path / name).stat().st_mode == (tmp_path / like).stat().st_mode
        for mode in (0o600, 0o664):
            (tmp_path / "new").chmod(mode)
            write_bytes_atomically(tmp_path / "new", b"again")
            assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == mode
        (tmp_path / "new folder").chmod(0o700)
        folder(tmp_path / "new folder", b"again")
        assert stat.S_IMODE((tmp_path / "new folder").stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_links_are_not_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link at the target is replaced, one at the temporary name stops the writing; what they point to stays."""
    precious, target = tmp_path / "precious", tmp_path / "target"
    precious.write_bytes(b"precious")
    target.symlink_to(precious)
    write_bytes_atomically(target, b"new")
    assert (target.is_symlink(), target.read_bytes(), precious.read_bytes()) == (False, b"new", b"precious")
    monkeypatch.setattr(secrets, "token_hex", lambda _: "0" * 12)
    planted = tmp_path / f".cavsync-{'0' * 12}.part"
    planted.symlink_to(precious)
    with pytest.raises(ConfigError, match="File exists"):
        write_bytes_atomically(target, b"newer")
    assert (planted.is_symlink(), target.read_bytes(), precious.read_bytes()) == (True, b"new", b"precious")


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "elsewhere" / "real", tmp_path / "link"
    folder(real, b"old")
    link.symlink_to(real)
    folder(link, b"new")
    assert link.is_symlink()
    assert read(real) == {b"new"}
    assert names(real.parent) == ["real"]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """Folders, and devices and pipes, which a renaming would turn into files."""
    pipe, folder_path, file = tmp_path / "pipe", tmp_path / "folder", tmp_path / "file"
    os.mkfifo(pipe)
    folder_path.mkdir()
    file.touch()
    (tmp_path / "link").symlink_to(pipe)
    for target in (pipe, tmp_path / "link", folder_path, tmp_path / "missing" / "file", file / "below"):
        with pytest.raises(ConfigError, match="cannot be written"):
            write_text_atomically(target, "text")
        with pytest.raises(ConfigError, match="cannot be written"):
            check_writable(target)
    with pytest.raises(NotADirectoryError):
        folder(file, b"content")
    check_writable(file)
    check_writable(tmp_path / "new")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["file", "folder", "link", "pipe"]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_name_that_is_taken_meanwhile(has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `overwrite`, what came first stays, also on file systems without hard links."""
    if not has_links:

        def refuse(*_: Any) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
    with ExitStack() as opened:
        temporary = opened.enter_context(atomic_path(tmp_path / "target", overwrite=False))
        temporary.write_bytes(b"second")
        (tmp_path / "target").write_bytes(b"first")
        with pytest.raises(FileExistsError):
            opened.close()
    assert read(tmp_path / "target") == {b"first"}
    with atomic_path(tmp_path / "free", overwrite=False) as temporary:
        temporary.write_bytes(b"content")
    assert read(tmp_path / "free") == {b"content"}
    assert names(tmp_path) == ["free", "target"]


def test_two_writers_at_once(tmp_path: Path) -> None:
    """Each has a temporary file of its own; the last to finish wins."""
    with atomic_file(tmp_path / "target") as first:
        first.write(b"first")
        stream(tmp_path / "target", b"second")
        assert read(tmp_path / "target") == {b"second"}
    assert read(tmp_path / "target") == {b"first"}
    assert names(tmp_path) == ["target"]


@WRITERS
def test_names_as_long_as_names_can_be(write: Write, tmp_path: Path) -> None:
    write(tmp_path / ("n" * 255), b"content")
    assert read(tmp_path / ("n" * 255)) == {b"content"}


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_file_systems_that_cannot_sync_folders(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    for write in (stream, folder):
        write(tmp_path / write.__name__, b"content")
        assert read(tmp_path / write.__name__) == {b"content"}


def test_a_scratch_folder_for_other_files(tmp_path: Path) -> None:
    """What is put next to the fresh folder is gone at the end, and nobody else can look into it before."""
    with atomic_folder(tmp_path / "new" / "target") as fresh:
        (fresh.parent / "work").write_bytes(b"scratch")
        assert stat.S_IMODE(fresh.parent.stat().st_mode) == 0o700
    assert names(tmp_path / "new") == ["target"]
