"""Write a folder whole or not at all: in a scratch folder beside it, put in its place by renaming."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cavsync.errors import ExportError

# Linux's AT_FDCWD and RENAME_EXCHANGE.
AT_CURRENT_FOLDER, EXCHANGE = -100, 2


def require_free(
    out_dir: Path, *, overwrite: bool, kind: str, is_ours: Callable[[Path], bool], option: str = "--out"
) -> None:
    """Check that `out_dir` may be written: absent, empty, or of our `kind` and to be replaced.

    Args:
        kind: what the folder would hold, for the message: "bundle".
        is_ours: tells whether a folder holds one of these and nothing else.
        option: how the folder is named on the command line.

    Raises:
        ExportError: it holds something else, or something of ours without `overwrite`.
    """
    if not out_dir.exists() or (out_dir.is_dir() and not any(out_dir.iterdir())):
        return
    if not is_ours(out_dir):
        raise ExportError(f"{out_dir} exists and is no {kind}: choose another {option}, or remove it yourself")
    if not overwrite:
        raise ExportError(
            f"{out_dir} holds a {kind} already: pass --overwrite to replace it, or choose another {option}"
        )


@contextmanager
def fresh_folder(out_dir: Path) -> Iterator[Path]:
    """Give an empty folder beside `out_dir` that takes its place at the end; after an error nothing is left of it."""
    # A link stays a link, and the scratch folder lies where renaming is possible.
    out_dir = out_dir.resolve()
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=out_dir.parent, prefix=f".{out_dir.name}-"))
    old = scratch / "old"
    try:
        fresh = scratch / "fresh"
        fresh.mkdir()
        yield fresh
        _swap(fresh, out_dir, old)
    finally:
        # What could not be put back stays in sight.
        if out_dir.exists() or not old.exists():
            shutil.rmtree(scratch, ignore_errors=True)


def _swap(fresh: Path, out_dir: Path, old: Path) -> None:
    """Whatever happens, `out_dir` is the old folder or the new one."""
    if out_dir.exists() and _exchange(fresh, out_dir):
        return
    try:
        if out_dir.exists():
            out_dir.rename(old)
        fresh.rename(out_dir)
    finally:
        if old.exists() and not out_dir.exists():
            old.rename(out_dir)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two folders in one step, so that not even a kill finds neither; False where the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    paths = (os.fsencode(first), os.fsencode(second))
    return bool(rename(AT_CURRENT_FOLDER, paths[0], AT_CURRENT_FOLDER, paths[1], EXCHANGE) == 0)
