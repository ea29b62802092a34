"""Files of local folders and object stores, read through fsspec: their versions and their content."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from cavsync.errors import CavsyncError, ConfigError, MediaError
from cavsync.file_names import is_address, redact

PIECE_BYTES = 1 << 20
# Packages of the protocols that fsspec has no reader for by itself.
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
TAGS = ("ETag", "etag", "md5Hash", "Content-MD5", "LastModified", "Last-Modified", "mtime")


@dataclass(frozen=True)
class Version:
    """A file's size and tag, which change with it: the store's ETag, or a local file's modification time in ns.

    Unknown parts are None.
    """

    size_bytes: int | None = None
    etag: str | None = None

    def differs(self, other: Version) -> bool:
        """Whether a part that both know is another."""
        pairs = ((self.size_bytes, other.size_bytes), (self.etag, other.etag))
        return any(one is not None and two is not None and one != two for one, two in pairs)


UNKNOWN = Version()


def file_system(address: str) -> tuple[Any, str]:
    """Return fsspec's file system of an address, and the path in it. ConfigError where it needs a missing package."""
    fsspec: Any = importlib.import_module("fsspec.core")
    scheme = address.partition("://")[0]
    try:
        files, path = fsspec.url_to_fs(address)
    except ImportError:
        package = PACKAGES.get(scheme)
        how = f"pip install {package}" if package else "install the package of fsspec that reads them"
        raise ConfigError(f"{scheme}:// addresses cannot be read here: {how}") from None
    except ValueError as error:
        raise ConfigError(
            f"{redact(address)} cannot be read ({redact(str(error))}): give s3://, gs://, http:// or https://"
        ) from None
    return files, path


@contextmanager
def readable(address: str, shown: str | None = None) -> Iterator[None]:
    """Turn what the library of a store raises in this block into a MediaError, which says `shown` for `address`."""
    try:
        yield
    except (CavsyncError, KeyboardInterrupt):
        raise
    # Each store has errors of its own, without a common base.
    except Exception as error:
        shown = shown or redact(address)
        text = redact(" ".join(str(error).replace(address, shown).split())) or type(error).__name__
        raise MediaError(
            f"{shown} cannot be read ({text:.200}): check the address and the credentials", reason="unreadable"
        ) from error


def local_version(path: str) -> Version:
    """Return the version of a local file; nothing is known of a missing one."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a name that is too long is an error of that file alone
    except (OSError, ValueError):
        return Version()
    return Version(found.st_size, str(found.st_mtime_ns))


def version_of(entry: dict[str, Any]) -> Version:
    """Return the version in an entry of a listing of fsspec."""
    tag = next((entry[name] for name in TAGS if entry.get(name) is not None), None)
    size = entry.get("size")
    return Version(None if size is None else int(size), None if tag is None else str(tag).strip('"'))


@contextmanager
def opened(source: str, on_bytes: Callable[[], None]) -> Iterator[tuple[IO[bytes] | None, Version]]:
    """Give what `score_file` reads, and its version: no file for a local path, else a copy of the whole content.

    Every byte of the file is needed, in an order that a store answers slowly; so it is copied, into a file without a
    name on the worker's disk. `on_bytes` is called after each piece.

    Raises:
        MediaError: the content cannot be read, or changes while it is.
    """
    if not is_address(source):
        yield None, local_version(source)
        return
    try:
        files, path = file_system(source)
    except ConfigError as error:
        # An address of another kind in a list costs itself.
        raise MediaError(str(error), reason="unreadable") from None
    with _temporary_file(source) as file:
        with readable(source):
            version = version_of(files.info(path))
            stream = files.open(path, "rb")
        with stream:
            while piece := _read(stream, source):
                with _room_for(source):
                    file.write(piece)
                    # What a buffer keeps would meet a full disk later.
                    file.flush()
                on_bytes()
        if version.size_bytes is not None and file.tell() != version.size_bytes:
            raise MediaError(
                f"{source} has {version.size_bytes} bytes, of which {file.tell()} were read: try again with --resume",
                reason="truncated",
            )
        file.seek(0)
        yield file, version


def _read(stream: Any, source: str) -> bytes:
    with readable(source):
        piece: bytes = stream.read(PIECE_BYTES)
    return piece


def _temporary_file(source: str) -> IO[bytes]:
    with _room_for(source):
        return tempfile.TemporaryFile()


@contextmanager
def _room_for(source: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MediaError(
            f"{source} does not fit into {tempfile.gettempdir()} ({error.strerror}): free space there, or set TMPDIR",
            reason="unreadable",
        ) from None
