"""The check of a folder before something is written there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cavsync.errors import ConfigError


def require_free(
    out_dir: Path, *, overwrite: bool, kind: str, is_ours: Callable[[Path], bool], option: str = "--out"
) -> None:
    """Check that `out_dir` may be written: it is absent, empty, or of our `kind` and to be replaced.

    Args:
        kind: what the folder would hold, for the message: "bundle".
        is_ours: tells whether a folder holds one of these and nothing else.
        option: how the folder is named on the command line.

    Raises:
        ConfigError: it holds something else, or something of ours without `overwrite`.
    """
    if not out_dir.exists() or (out_dir.is_dir() and not any(out_dir.iterdir())):
        return
    if not is_ours(out_dir):
        raise ConfigError(f"{out_dir} exists and is not a {kind}: choose another {option}, or remove it yourself")
    if not overwrite:
        raise ConfigError(
            f"{out_dir} holds a {kind} already: pass --overwrite to replace it, or choose another {option}"
        )
