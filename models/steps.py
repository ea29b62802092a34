"""What the scripts that make the shipped models share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def cavsync(*arguments: object) -> None:
    """Print and run a command."""
    words = [str(argument) for argument in arguments]
    print("cavsync", *words, flush=True)
    subprocess.run([sys.executable, "-P", "-c", "from cavsync.cli.main import main; main()", *words], check=True)


def link(path: Path, folder: Path) -> None:
    """Link a file into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / path.name).exists():
        (folder / path.name).symlink_to(path)


def percent(share: dict[str, float | None]) -> str:
    """Format a share with its interval."""
    mean, low, high = share["mean"], share["low"], share["high"]
    if mean is None:
        return "-"
    return f"{100 * mean:.0f}" + ("" if low is None or high is None else f" ({100 * low:.0f}-{100 * high:.0f})")
