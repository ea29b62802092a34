"""A file that appears under its name only when it is complete, and never in the place of another one unasked."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cavsync.atomic import check_writable
from cavsync.errors import ConfigError


def check_place(source: Path, output: Path, *, overwrite: bool) -> None:
    """Find out before any work whether `output` may be written.

    Raises:
        ConfigError: `output` is `source` (also by another name), exists already, or lies where nothing can be written.
    """
    if output.exists() and source.exists() and output.samefile(source):
        raise ConfigError(f"{output} is the input itself: give another name, the input is never changed")
    if os.path.lexists(output) and not overwrite and not output.is_dir():
        raise ConfigError(f"{output} exists already: give another name, or --overwrite")
    check_writable(output)


@contextmanager
def new_file(output: Path, *, overwrite: bool) -> Iterator[Path]:
    """An empty file beside `output`, with its ending, that takes its name at the end; any exception removes it.

    Raises:
        ConfigError: the folder cannot be written to, or `output` came to be meanwhile.
    """
    # A short name of its own: that of the output may be as long as names can be.
    temporary = output.parent / f".cavsync-{secrets.token_hex(6)}{output.suffix}"
    try:
        # Unlike tempfile's, its permissions are those of any new file.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise ConfigError(f"{output} cannot be written ({error.strerror}): give a folder that is yours") from None
    try:
        yield temporary
        _publish(temporary, output, overwrite=overwrite)
    finally:
        temporary.unlink(missing_ok=True)


def _publish(temporary: Path, output: Path, *, overwrite: bool) -> None:
    try:
        if not overwrite:
            try:
                # A link, unlike a renaming, fails where the name is taken.
                output.hardlink_to(temporary)
                return
            except FileExistsError:
                raise ConfigError(f"{output} came to be meanwhile: give another name, or --overwrite") from None
            except OSError:
                # Some file systems have no links.
                if os.path.lexists(output):
                    raise
        temporary.replace(output)
    except OSError as error:
        raise ConfigError(f"{output} cannot be written ({error.strerror}): give another name") from None
