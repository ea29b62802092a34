"""Run an example as a user would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from documents import ROOT
from waiting import PATIENCE_SECONDS


def run_example(name: str, *arguments: Path | str, folder: Path) -> str:
    """Run an example in `folder` and return what it prints."""
    command = [sys.executable, "-P", ROOT / "examples" / name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout
