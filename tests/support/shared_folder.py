"""Find the shared clips and parity cases: next to the repository, or in CAVSYNC_SHARED."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def shared_folder(part: str) -> Path:
    """Return the folder `part` of the shared material, or skip the test with the reason if it is absent."""
    root = Path(os.environ.get("CAVSYNC_SHARED", REPOSITORY.parent / "shared"))
    folder = root / part
    if not folder.is_dir():
        pytest.skip(f"needs the shared folder '{part}': set CAVSYNC_SHARED to its parent")
    return folder
