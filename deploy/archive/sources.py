"""The files of an archive: those of a folder, a list, a table or a prefix of an object store, each once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cavsync.deploy.archive.addresses import absolute, identity, local_name, place_of, require_no_password, shown
from cavsync.deploy.archive.listing import local_files, remote_files
from cavsync.deploy.archive.lists import ENDINGS, listed_names
from cavsync.deploy.archive.storage import UNKNOWN, Version, local_version
from cavsync.errors import ConfigError, DataError, MediaError
from cavsync.file_names import escaped, is_address
from cavsync.media.files import MEDIA_ENDINGS


@dataclass(frozen=True)
class Source:
    """A file to score: an absolute path or an address, and its version as far as the listing tells."""

    name: str
    version: Version = UNKNOWN

    @property
    def row_name(self) -> str:
        """The name in the tables, which no other source has."""
        return escaped(self.name)


@dataclass(frozen=True)
class Found:
    """The files of a SRC.

    Args:
        sources: its files, each once under the first of its names, sorted by name.
        unreadable: folders that could not be listed, each with a sentence that says why.
        num_duplicates: names that were left out, because another name of the same file came before.
    """

    sources: list[Source]
    unreadable: list[tuple[Source, str]] = field(default_factory=list)
    num_duplicates: int = 0

    @property
    def num_rows(self) -> int:
        """The files and folders that get a row of their own."""
        return len(self.sources) + len(self.unreadable)


def find_sources(src: str, column: str) -> Found:
    """List the files of `src`.

    Args:
        src: a media file, a folder, a list (`.txt`, one per line), a table (`.csv` with a header, `.parquet`), or the
            address of one of these or of a prefix of an object store.
        column: the column of a table that holds paths or addresses.

    Raises:
        ConfigError: `src` is nothing of that, a table has no such column, or a package for its addresses is missing.
        DataError: a list or table cannot be read.
        MediaError: nothing is there, or no media file.
    """
    src = local_name(src)
    ending = PurePosixPath(place_of(src)).suffix.lower()
    is_list = ending in ENDINGS and not Path(src).is_dir()
    # What a list's address has in its query is not shown anywhere; those of files stand in OUT.
    require_no_password(place_of(src) if is_list else src)
    named: Iterable[Source]
    unreadable: list[tuple[Source, str]] = []

    def on_unreadable(name: str, error: str) -> None:
        unreadable.append((Source(name), error))

    if is_list:
        named = (_listed(name, src) for name in listed_names(src, ending, column))
    elif is_address(src):
        named = (Source(*one) for one in ([(src,)] if ending in MEDIA_ENDINGS else remote_files(src, on_unreadable)))
    elif Path(src).is_dir():
        named = (Source(*one) for one in local_files(Path(src).absolute(), on_unreadable))
    elif ending in MEDIA_ENDINGS:
        named = [_local(str(Path(src).absolute()))]
    else:
        raise ConfigError(
            f"{src} is not a folder, list or table: give a folder, a file ending in {', '.join(ENDINGS)}, or an address"
        )
    sources, num_duplicates = _each_once(named)
    if not sources and not unreadable:
        raise MediaError(f"{shown(src)} holds no media file (looked for {' '.join(sorted(MEDIA_ENDINGS))})")
    return Found(sources, unreadable, num_duplicates)


def _each_once(named: Iterable[Source]) -> tuple[list[Source], int]:
    """Keep the first name of each file, and count the others."""
    first: dict[str, Source] = {}
    count = 0
    for source in named:
        count += 1
        first.setdefault(identity(source.name), source)
    return sorted(first.values(), key=lambda source: source.name), count - len(first)


def _local(path: str) -> Source:
    return Source(path, local_version(path))


def _listed(name: str, src: str) -> Source:
    """An entry of a list; relative paths are meant from the folder of the list."""
    name = local_name(name)
    if is_address(name):
        require_no_password(name)
        return Source(name)
    if is_address(src) and not name.startswith("/"):
        raise DataError(
            f"{shown(src)} lists the relative path {name}: a list on a server needs addresses or absolute paths"
        )
    return _local(absolute(name, Path("/") if is_address(src) else Path(src).parent))
