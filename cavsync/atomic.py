"""Write files and folders whole or not at all.

Content is written under a temporary name in the target's folder, brought to the disk with fsync, and renamed. Readers
see the old content or the new one, also after a power failure. Any exception before the renaming, KeyboardInterrupt
included, leaves the old content and no temporary file; only a killed process leaves one (see `remove_leftovers`).

A symbolic link at the path of a file is itself replaced: the file that it points to is never changed. New files get the
permissions of an ordinary `open`, replaced ones keep theirs.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cavsync.errors import ConfigError, DataError

# Linux's AT_FDCWD and RENAME_EXCHANGE.
AT_CURRENT_FOLDER, EXCHANGE = -100, 2
_LEFTOVER = re.compile(r"\.cavsync-[0-9a-f]{12}\.part(\.[^.]*)?")


def check_writable(path: Path | str) -> None:
    """Check that `path` can be written, before hours of work whose result goes there.

    Raises:
        ConfigError: the folder is missing or cannot be written to, or `path` is a folder, a device or a pipe.
    """
    path = Path(path)
    folder = path.parent
    try:
        is_usable = (path.is_file() or not path.exists()) and folder.is_dir() and os.access(folder, os.W_OK)
    except (OSError, ValueError) as error:
        # Too long a name, a folder that cannot be entered, a zero byte.
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} cannot be written ({reason}): give another name or folder") from None
    if not is_usable:
        raise ConfigError(f"{path} cannot be written: give a file in a folder that exists and is yours")


def require_new_folder(path: Path, remedy: str) -> None:
    """Check that `path` is absent or an empty folder; `remedy` says what else to do.

    Raises:
        ConfigError: something is there.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"'{path}' exists and is not an empty folder: {remedy}")


def write_text_atomically(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, line ends as they are; ConfigError as for `write_bytes_atomically`."""
    write_bytes_atomically(path, text.encode("utf-8"))


def write_bytes_atomically(path: Path | str, content: bytes) -> None:
    """Write `content` as the whole of `path`.

    Raises:
        ConfigError: the folder is missing, full or cannot be written to, or `path` is no regular file.
    """
    path = Path(path)
    try:
        with atomic_file(path) as stream:
            stream.write(content)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}): give a file in a folder that exists") from None


@contextmanager
def atomic_file(target: Path) -> Iterator[BinaryIO]:
    """Open a stream whose content becomes the file `target` when the block ends; OSError as for `atomic_path`."""
    with atomic_path(target) as temporary, temporary.open("wb") as stream:
        yield stream


@contextmanager
def atomic_path(target: Path, *, overwrite: bool = True, suffix: str = "") -> Iterator[Path]:
    """Give the path of an empty file that becomes `target` when the block ends, for libraries that open paths.

    Args:
        target: the file to write; its folder must exist.
        overwrite: whether to replace a file of that name.
        suffix: ending of the temporary name, for libraries that derive a format from it.

    Raises:
        FileExistsError: `target` exists at the end of the block, and `overwrite` is False.
        OSError: the folder cannot be written to, or `target` is a folder, a device or a pipe.
    """
    _require_regular(target)
    temporary = target.parent / f"{_temporary_name()}{suffix}"
    # O_EXCL: a link or file that somebody else put at this name is not written through.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        if target.exists():
            # The writer itself must be able to open it, whatever the old file allowed.
            temporary.chmod(stat.S_IMODE(target.stat().st_mode) & 0o777 | 0o600)
        yield temporary
        publish(temporary, target, overwrite=overwrite)
    finally:
        temporary.unlink(missing_ok=True)


def publish(finished: Path, target: Path, *, overwrite: bool = True) -> None:
    """Rename a finished file to `target` on the same file system, after its content has reached the disk.

    Raises:
        FileExistsError: `target` exists, and `overwrite` is False.
        OSError: the disk is full, or the folder cannot be written to.
    """
    _sync(finished)
    if overwrite:
        finished.replace(target)
    else:
        _take_free_name(finished, target)
    _sync_names(target.parent)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of the folder `target` when the block ends.

    Parents of `target` are created. If `target` is a symbolic link, the folder that it points to is replaced. The
    parent of the given folder is a private scratch folder, deleted at the end: other temporary files may lie there.

    Raises:
        NotADirectoryError: `target` is a file.
        OSError: the disk is full, or the parent cannot be written to.
    """
    target = target.resolve()
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.parent / _temporary_name()
    fresh, old = scratch / "fresh", scratch / "old"
    scratch.mkdir(mode=0o700)
    try:
        fresh.mkdir()
        yield fresh
        _sync_tree(fresh)
        _swap(fresh, target, old)
        _sync_names(target.parent)
    finally:
        # If the old folder could not be put back, keep it where its owner can find it.
        if target.exists() or not old.exists():
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system releases when the process ends. DataError if another one holds it."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise DataError(f"{folder} is being written by another process: wait for it or stop it") from None
    finally:
        os.close(descriptor)


def is_leftover(name: str) -> bool:
    """Whether a file or folder has the temporary name of something that is, or was, being written."""
    return _LEFTOVER.fullmatch(name) is not None


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of killed processes in `folder`; call it only while nobody is writing there."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if not is_leftover(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _temporary_name() -> str:
    """A short name: that of the target may be as long as names can be."""
    return f".cavsync-{secrets.token_hex(6)}.part"


def _require_regular(target: Path) -> None:
    """Raise OSError for a path that a renaming would destroy or cannot replace, such as /dev/null."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "it is no regular file", str(target))


def _take_free_name(finished: Path, target: Path) -> None:
    try:
        # A hard link, unlike a renaming, fails where the name is taken.
        target.hardlink_to(finished)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems have no hard links.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        finished.replace(target)


def _swap(fresh: Path, target: Path, old: Path) -> None:
    """Put `fresh` in the place of `target`; after an exception `target` is the old folder."""
    if target.exists():
        fresh.chmod(stat.S_IMODE(target.stat().st_mode))
        if _exchange(fresh, target):
            return
    try:
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    finally:
        if old.exists() and not target.exists():
            old.rename(target)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two folders in one step, so that `second` exists at any moment; False where the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    paths = (os.fsencode(first), os.fsencode(second))
    return bool(rename(AT_CURRENT_FOLDER, paths[0], AT_CURRENT_FOLDER, paths[1], EXCHANGE) == 0)


def _sync(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_names(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where its file system and permissions allow to ask for that."""
    try:
        _sync(folder)
    except PermissionError:
        # A folder may be writable without being readable.
        return
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def _sync_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            if not path.is_symlink():
                _sync(path)
        _sync_names(Path(parent))
