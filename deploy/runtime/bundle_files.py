"""The files of a bundle against its manifest: plain files inside the folder, of the size and hash that it says."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from cavsync.errors import BundleError
from cavsync.manifest import GRAPHS, RUNTIMES, FileEntry, Manifest, open_plain

MAX_FILES = 256
MAX_FILE_BYTES = 16 << 30
MAX_BUNDLE_BYTES = 64 << 30
# Protocol buffers end there.
MAX_GRAPH_BYTES = (2 << 30) - 1
MAX_NAME_BYTES = 200


def verify_files(bundle: Path, manifest: Manifest) -> None:
    """Check that every file that the manifest names is there with its size and hash.

    Raises:
        BundleError: a name that leaves the folder, a missing file, another size, another hash.
    """
    check_names(bundle, manifest)
    for name, entry in manifest.files.items():
        verify_file(bundle, name, entry)


def check_names(bundle: Path, manifest: Manifest) -> None:
    """Check what the manifest says of its files, without looking at them.

    Raises:
        BundleError: a name that leaves the folder or stands twice, a size without bounds, something without a hash.
    """
    if len(manifest.files) > MAX_FILES:
        raise BundleError(f"{bundle} names {len(manifest.files)} files, at most {MAX_FILES} are read: do not use it")
    seen: set[str] = set()
    for name, entry in manifest.files.items():
        if not _stays_inside(name):
            raise BundleError(f"{bundle} names the file {name!a}, which is not a plain file inside it: do not use it")
        # To some file systems they are one file.
        if name.casefold() in seen:
            raise BundleError(f"{bundle} names the file {name} in two spellings, one is expected: do not use it")
        seen.add(name.casefold())
        if not 0 <= entry.size_bytes <= MAX_FILE_BYTES:
            raise BundleError(
                f"{bundle} declares {name} with {entry.size_bytes} bytes, at most {MAX_FILE_BYTES} are read: "
                "do not use it"
            )
    total_bytes = sum(entry.size_bytes for entry in manifest.files.values())
    if total_bytes > MAX_BUNDLE_BYTES:
        raise BundleError(f"{bundle} declares {total_bytes} bytes, at most {MAX_BUNDLE_BYTES} are read: do not use it")
    _check_references(bundle, manifest)


def verify_file(bundle: Path, name: str, entry: FileEntry) -> None:
    """Check the size and the hash of one file.

    Raises:
        BundleError: it is missing, no plain file, or differs.
    """
    with _reading(bundle, name, entry) as stream:
        _check_hash(bundle / name, hashlib.file_digest(stream, "sha256").hexdigest(), entry)


def read_graph(bundle: Path, name: str, entry: FileEntry) -> bytes:
    """The bytes of an ONNX file, checked: what is opened is what was hashed, whatever happens to the file meanwhile.

    Raises:
        BundleError: it is missing, no plain file, differs, or is larger than any graph.
    """
    if entry.size_bytes > MAX_GRAPH_BYTES:
        raise BundleError(
            f"{bundle / name} has {entry.size_bytes} bytes, an ONNX graph at most {MAX_GRAPH_BYTES}: "
            "export the bundle again"
        )
    with _reading(bundle, name, entry) as stream:
        content = stream.read(entry.size_bytes)
    _check_hash(bundle / name, hashlib.sha256(content).hexdigest(), entry)
    return content


def _stays_inside(name: str) -> bool:
    """No way out of the folder on any system: drives and streams of Windows have colons."""
    return (
        name not in ("", ".", "..")
        and name.isprintable()
        and not set(name) & set("/\\:")
        and len(name.encode()) <= MAX_NAME_BYTES
    )


def _check_references(bundle: Path, manifest: Manifest) -> None:
    """Everything that a runtime will open is hashed, and the engines are of a kind that this version knows."""
    named = [spec.file for spec in manifest.graphs.values()]
    for engine in manifest.engines:
        if engine.graph not in GRAPHS or engine.runtime not in RUNTIMES:
            raise BundleError(
                f"{bundle} names an engine for {engine.graph[:40]!a} on {engine.runtime[:40]!a}, unknown to this "
                "version: export the bundle again with this version"
            )
        named += [engine.file, *engine.companions]
    for name in named:
        if name not in manifest.files:
            raise BundleError(f"{bundle} names {name[:MAX_NAME_BYTES]!a} without a hash: export the bundle again")


@contextmanager
def _reading(bundle: Path, name: str, entry: FileEntry) -> Iterator[BufferedReader]:
    """The file as a stream, of the declared size; whatever the system says against it is a sentence."""
    path = bundle / name
    try:
        with open_plain(path) as stream:
            size_bytes = os.fstat(stream.fileno()).st_size
            if size_bytes != entry.size_bytes:
                raise BundleError(
                    f"{path} differs from the hash in the manifest, it has {size_bytes} bytes instead of "
                    f"{entry.size_bytes}: copy the whole bundle or export it again"
                )
            yield stream
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{bundle} lacks {name}: copy the whole bundle or export it again") from None
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read ({error.strerror}): make it yours to read, or copy it again"
        ) from None


def _check_hash(path: Path, sha256: str, entry: FileEntry) -> None:
    if sha256 != entry.sha256:
        raise BundleError(f"{path} differs from the hash in the manifest: the bundle was changed, export it again")
