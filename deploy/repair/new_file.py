"""A file that gets its name only once it is complete, and replaces an existing file only on request."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cavsync.atomic import check_writable
from cavsync.errors import ConfigError


def check_place(source: Path, output: Path, *, overwrite: bool) -> None:
    """Check before any work that `output` can be written.

    Raises:
        ConfigError: `output` is `source` (perhaps by another path), exists already, or is not writable.
    """
    if output.exists() and source.exists() and output.samefile(source):
        raise ConfigError(f"{output} is the input itself: give another name, the input is never changed")
    if os.path.lexists(output) and not overwrite and not output.is_dir():
        raise ConfigError(f"{output} exists already: give another name, or --overwrite")
    check_writable(output)


@contextmanager
def new_file(output: Path, *, overwrite: bool) -> Iterator[Path]:
    """Create an empty temporary file next to `output`, and rename it to `output` on success; remove it on failure.

    Raises:
        ConfigError: the folder is not writable, or another program has created `output` meanwhile.
    """
    # The name is not derived from the output's, which may already have the greatest length allowed.
    temporary = output.parent / f".cavsync-{secrets.token_hex(6)}{output.suffix}"
    try:
        # Not tempfile, which would restrict the permissions to the user.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise ConfigError(f"{output} cannot be written ({error.strerror}): give a writable folder") from None
    try:
        yield temporary
        _publish(temporary, output, overwrite=overwrite)
    finally:
        temporary.unlink(missing_ok=True)


def _publish(temporary: Path, output: Path, *, overwrite: bool) -> None:
    try:
        if not overwrite:
            try:
                # Unlike a rename, a hard link fails where the name exists.
                output.hardlink_to(temporary)
                return
            except FileExistsError:
                raise ConfigError(f"{output} was created meanwhile: give another name, or --overwrite") from None
            except OSError:
                # Some file systems have no hard links.
                if os.path.lexists(output):
                    raise
        temporary.replace(output)
    except OSError as error:
        raise ConfigError(f"{output} cannot be written ({error.strerror}): give another name") from None
