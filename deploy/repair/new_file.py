"""A new file that appears under its name only when it is complete, and replaces another one only on request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cavsync.atomic import atomic_path, check_writable
from cavsync.errors import ConfigError


def check_place(source: Path, output: Path, *, overwrite: bool) -> None:
    """Check before any work that `output` may be written.

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
    """Give the path of an empty file with the ending of `output`, which becomes `output` when the block ends.

    Any exception removes it.

    Raises:
        ConfigError: the folder cannot be written to, or `output` was created during the block.
    """
    with ExitStack() as opened:
        with _explained(output):
            temporary = opened.enter_context(atomic_path(output, overwrite=overwrite, suffix=output.suffix))
        yield temporary
        with _explained(output):
            opened.close()


@contextmanager
def _explained(output: Path) -> Iterator[None]:
    """Turn an OSError into a ConfigError of one sentence."""
    try:
        yield
    except FileExistsError:
        raise ConfigError(f"{output} was created meanwhile: give another name, or --overwrite") from None
    except OSError as error:
        raise ConfigError(
            f"{output} cannot be written ({error.strerror}): give another name, or a folder that is yours"
        ) from None
