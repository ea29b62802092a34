"""Check the files of a bundle against its manifest: plain files of the declared size and hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from cavsync.errors import BundleError
from cavsync.manifest import FileEntry, Manifest
from cavsync.manifest.reading import open_plain
from cavsync.records import shown

# Protocol buffers cannot be larger.
MAX_GRAPH_BYTES = (2 << 30) - 1


def verify_files(bundle: Path, manifest: Manifest) -> None:
    """Check that everything a runtime opens has a hash, and the size and hash of every file.

    Raises:
        BundleError: a file has no hash, is missing, not a plain file, or differs in size or hash.
    """
    named = [graph.file for graph in manifest.graphs.values()]
    for engine in manifest.engines:
        named += [engine.file, *engine.companions]
    for name in named:
        if name not in manifest.files:
            raise BundleError(f"{bundle} names {shown(name)} without a hash: export the bundle again")
    for name, entry in manifest.files.items():
        verify_file(bundle, name, entry)


def verify_file(bundle: Path, name: str, entry: FileEntry) -> None:
    """Check the size and the hash of one file.

    Raises:
        BundleError: it is missing, not a plain file, or differs.
    """
    with _reading(bundle, name, entry) as stream:
        _check_hash(bundle / name, hashlib.file_digest(stream, "sha256").hexdigest(), entry)


def read_graph(bundle: Path, name: str, entry: FileEntry) -> bytes:
    """Read and check an ONNX file. The runtime is given these bytes, so a later change of the file has no effect.

    Raises:
        BundleError: it is missing, not a plain file, differs, or is larger than any graph.
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


@contextmanager
def _reading(bundle: Path, name: str, entry: FileEntry) -> Iterator[BufferedReader]:
    """Open a file and check its size; errors of the operating system become a BundleError."""
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
            f"{path} cannot be read ({error.strerror}): change its permissions, or copy it again"
        ) from None


def _check_hash(path: Path, sha256: str, entry: FileEntry) -> None:
    if sha256 != entry.sha256:
        raise BundleError(f"{path} differs from the hash in the manifest: the bundle was changed, export it again")
