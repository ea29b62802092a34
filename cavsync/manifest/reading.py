"""Read a manifest, and the plain files of a bundle."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections import Counter
from io import BufferedReader
from pathlib import Path
from typing import Any

from cavsync.errors import BundleError
from cavsync.manifest.files import FileEntry
from cavsync.manifest.specs import FORMAT_VERSION, Manifest, canonical
from cavsync.records import UnfitError, parse, shown

MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20
MAX_DEPTH = 16
TOO_DEEP = f"nests values more than {MAX_DEPTH} deep"
# A system that lacks one of these flags has no such files either.
READ_PLAIN = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"))
# Escapes in canonical JSON except those of line breaks and tabs: a terminal would obey these characters.
CONTROL_CHARACTERS = re.compile(r"(?<!\\)(?:\\\\)*\\u00[01]|[\x7f-\x9f]")


def sha256_file(path: Path) -> str:
    """SHA-256 of a file in hex; the file is not held in memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def describe_files(folder: Path, names: list[str]) -> dict[str, FileEntry]:
    """Hash the named files of `folder` for `Manifest.files`."""
    return {name: FileEntry(sha256_file(folder / name), (folder / name).stat().st_size) for name in names}


def open_plain(path: Path) -> BufferedReader:
    """Open a file of a bundle for reading. Never follows a link, waits on a pipe or opens a device.

    Raises:
        OSError: the file does not exist or may not be read.
        BundleError: it is not a plain file.
    """
    if stat.S_ISREG(path.lstat().st_mode):
        stream = os.fdopen(os.open(path, READ_PLAIN), "rb")
        if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            return stream
        stream.close()
    raise BundleError(f"{path} is a link, folder or pipe, a bundle has plain files only: copy the files themselves")


def read_manifest(bundle: Path | str) -> Manifest:
    """Read the manifest of a bundle folder and check every entry; the folder's other files are not opened.

    Raises:
        BundleError: no such folder, no manifest, a changed manifest, an entry out of its limits, or a format that this
            version does not know.
    """
    path = Path(bundle) / MANIFEST_NAME
    data = _read(path)
    try:
        if len(data) > MAX_MANIFEST_BYTES:
            raise UnfitError(f"is larger than {MAX_MANIFEST_BYTES} bytes, which no manifest is")
        text = data.decode()
        content = json.loads(text, object_pairs_hook=_object)
        if not isinstance(content, dict):
            raise UnfitError("does not hold a JSON object")
        version = content.get("format_version")
        if type(version) is not int or version != FORMAT_VERSION:
            raise UnfitError(f"has bundle format {shown(version)}, this cavsync reads {FORMAT_VERSION}")
        if _depth(content) > MAX_DEPTH:
            raise UnfitError(TOO_DEEP)
        if CONTROL_CHARACTERS.search(text):
            raise UnfitError("holds control characters, names and notes should be plain text")
        digest = content.pop("digest", None)
        unsealed = canonical(content)
        sealed = canonical({**content, "digest": digest})
        if digest != hashlib.sha256(unsealed).hexdigest() or sealed != data:
            raise UnfitError("does not match its own digest, it was changed after export")
        manifest = parse(Manifest, unsealed)
        # The entries of `model` and `source` are free, but may not be NaN either.
        json.dumps(content, allow_nan=False)
    except UnfitError as error:
        problem = str(error)
    except RecursionError:
        problem = TOO_DEEP
    except ValueError:
        problem = "is not valid JSON, the bundle was changed or cut short"
    else:
        return manifest
    raise BundleError(f"{path} {problem}: export the bundle again with this version")


def _read(path: Path) -> bytes:
    try:
        with open_plain(path) as stream:
            return stream.read(MAX_MANIFEST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        problem = f"is not a bundle, it has no {MANIFEST_NAME}" if path.parent.is_dir() else "does not exist"
        raise BundleError(f"{path.parent} {problem}: give a folder that `cavsync export` wrote") from None
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}): give a folder that you may read") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = Counter(name for name, _ in pairs)
    if len(names) < len(pairs):
        raise UnfitError(f"names {shown(names.most_common(1)[0][0])} twice")
    return dict(pairs)


def _depth(value: Any) -> int:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, items), default=0)
