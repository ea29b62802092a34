"""The media files below a folder, or below an address, and the folders that could not be looked into."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from cavsync.deploy.archive.addresses import scheme_of
from cavsync.deploy.archive.storage import PACKAGES, Version, file_system, local_version, readable, version_of
from cavsync.errors import MediaError
from cavsync.media.files import OnUnreadable, is_media_name, media_names

Entry = dict[str, Any]
Named = tuple[str, Version]


def local_files(folder: Path, on_unreadable: OnUnreadable) -> list[Named]:
    """Return the media files below a folder, sorted, without hidden ones; folders behind links are skipped.

    A link that leads nowhere is among them: it is an error of that file. MediaError if `folder` cannot be listed.
    """

    def kept_out(name: str, sentence: str) -> None:
        on_unreadable(f"{name}/", f"{sentence}; what is in it was not scored")

    return [(name, local_version(name)) for name in sorted(media_names(folder, kept_out)) if not _is_special(name)]


def remote_files(address: str, on_unreadable: OnUnreadable) -> list[Named]:
    """Return the media files below an address with their versions, sorted; MediaError if it cannot be listed."""
    files, root = file_system(address)
    if scheme_of(address) in PACKAGES:
        # These stores list everything below a prefix in one go.
        with readable(address):
            found: dict[str, Entry] = files.find(root, detail=True)
        entries: Iterable[Entry] = found.values()
    else:
        entries = _walk(files, root, on_unreadable)
    wanted = [entry for entry in entries if is_media_name(entry["name"]) and not _is_hidden(entry["name"], root)]
    return sorted(
        ((files.unstrip_protocol(entry["name"]), version_of(entry)) for entry in wanted if not _is_folder(entry)),
        key=lambda named: named[0],
    )


def _walk(files: Any, root: str, on_unreadable: OnUnreadable) -> Iterator[Entry]:
    """Yield the entries of a folder and of those below it; fsspec's own walk leaves out what it cannot list."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        address = files.unstrip_protocol(folder)
        try:
            with readable(address):
                entries: list[Entry] = files.ls(folder, detail=True)
        except MediaError as error:
            if folder == root:
                raise
            on_unreadable(address, f"{error}; what is in this folder was not scored")
            continue
        yield from entries
        waiting += [one["name"] for one in entries if _is_folder(one) and not _is_hidden(one["name"], root)]


def _is_folder(entry: Entry) -> bool:
    return bool(entry["type"] == "directory")


def _is_special(path: str) -> bool:
    """Whether it is something else than a file, such as a pipe, which could be read for ever."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - many files
    except OSError:
        return False


def _is_hidden(name: str, root: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name.removeprefix(root)).parts)
