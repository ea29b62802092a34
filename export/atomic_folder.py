"""Write a folder whole or not at all: in a scratch folder beside it, put in its place by renaming."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cavsync.errors import ExportError


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
    try:
        fresh = scratch / "fresh"
        fresh.mkdir()
        yield fresh
        _swap(fresh, out_dir, scratch / "old")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _swap(fresh: Path, out_dir: Path, old: Path) -> None:
    """Whatever happens, `out_dir` is the old folder or the new one."""
    try:
        if out_dir.exists():
            out_dir.rename(old)
        fresh.rename(out_dir)
    finally:
        if old.exists() and not out_dir.exists():
            old.rename(out_dir)
