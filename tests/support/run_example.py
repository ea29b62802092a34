"""Run an example as a user would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from documents import ROOT
from waiting import PATIENCE_SECONDS


def command(name: str, *arguments: Path | str) -> list[str]:
    """The command that runs an example."""
    return [sys.executable, "-P", str(ROOT / "examples" / name), *map(str, arguments)]


def run_example(name: str, *arguments: Path | str, folder: Path) -> str:
    """Run an example in `folder` and return what it prints."""
    done = subprocess.run(
        command(name, *arguments), capture_output=True, text=True, timeout=PATIENCE_SECONDS, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
