"""A folder that the system refuses to list, also for root, to whom it refuses none by its permissions."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest


def refuse(monkeypatch: pytest.MonkeyPatch, closed: Path) -> None:
    """Let the system refuse to list a folder, which it does not for root."""
    plain = os.scandir

    def scandir(path: Any = ".") -> Any:
        if os.fspath(path) == str(closed):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(closed))
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
