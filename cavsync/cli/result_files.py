"""The files that a command writes its results to: none may be one of its inputs, other media, or another result."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from cavsync.errors import ConfigError


def require_result_files(outputs: Iterable[Path | None], inputs: Iterable[str] = ()) -> None:
    """Check the files that will be written, replaced or appended to; None is skipped.

    Raises:
        ConfigError: one is an input, whatever its name, or an existing file with the ending of a media file, such as a
            video given after `--json` by mistake; or two are the same.
    """
    from cavsync.media.files import MEDIA_ENDINGS

    wanted = [path for path in outputs if path is not None]
    named: set[str] = set()
    for path in wanted:
        place = os.path.realpath(path)
        if place in named:
            raise ConfigError(f"{path} is to hold two kinds of results: name two files")
        named.add(place)
        if path.suffix.lower() in MEDIA_ENDINGS and path.exists():
            raise ConfigError(f"{path} is a media file, which the results would replace: name another file")
    existing = [path for path in wanted if path.exists()]
    for source in inputs if existing else ():
        for path in existing:
            if _is_same(path, source):
                raise ConfigError(f"{path} is the input {source}, which the results would replace: name another file")


def _is_same(path: Path, source: str) -> bool:
    """Whether two names are of the same file, through links too."""
    try:
        return path.samefile(source)
    except (OSError, ValueError):
        # An address, or a name that the system does not take.
        return False
