"""Where the clips and parity cases lie: beside the repository, or at CAVSYNC_SHARED."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def shared_folder(part: str) -> Path:
    """The folder `part` of the shared material; skips the test, with the reason, where it is absent."""
    root = Path(os.environ.get("CAVSYNC_SHARED", REPOSITORY.parent / "shared"))
    folder = root / part
    if not folder.is_dir():
        pytest.skip(f"needs the shared folder '{part}': set CAVSYNC_SHARED to its parent")
    return folder
