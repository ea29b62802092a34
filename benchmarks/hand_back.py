"""Write a run to the folder $OUT, in pieces, for machines from which only few and small files can be copied.

Where they arrive: `cat sync-tiny-run.tar.* | tar x -C build/whole-picture`.
"""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

PIECE_BYTES = 15_000_000
NOT_EXPORTED = ("optimizer.pt", "teacher.safetensors", "tensorboard", ".lock")


def hand_back(run: Path) -> list[Path]:
    """Write the run without what only resuming needs, and only its last checkpoint; return the pieces.

    Nothing is written where $OUT is not set or there is no run.
    """
    out = Path(os.environ.get("OUT", ""))
    steps = sorted(run.glob("checkpoints/step-*"), key=lambda path: int(path.name.removeprefix("step-")))
    if not os.environ.get("OUT") or not out.is_dir() or not steps:
        return []
    dropped = {path.name for path in steps[:-1]} | {*NOT_EXPORTED}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(run, run.name, filter=lambda item: None if Path(item.name).name in dropped else item)
    content = archive.getvalue()
    pieces = []
    for number, first in enumerate(range(0, len(content), PIECE_BYTES)):
        pieces.append(out / f"{run.name}.tar.{number:02}")
        pieces[-1].write_bytes(content[first : first + PIECE_BYTES])
    return pieces
