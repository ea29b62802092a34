"""Write a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cavsync.errors import ConfigError


def check_writable(path: Path | str) -> None:
    """Find out before hours of work whether `path` can be written afterwards.

    Raises:
        ConfigError: the folder is missing or cannot be written to, or `path` is a folder.
    """
    folder = Path(path).parent
    if Path(path).is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ConfigError(f"{path} cannot be written: give a file in a folder that exists and is yours")


def write_text_atomically(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8 beside `path` and move it into place: readers see the old file or the new one.

    Raises:
        ConfigError: the folder is missing or cannot be written to.
    """
    path = Path(path)
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
        # mkstemp keeps others out; a report is to be read like any other new file.
        os.chmod(temporary, 0o666 & ~_umask())  # noqa: PTH101
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written ({error.strerror}): give a file in a folder that exists") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
