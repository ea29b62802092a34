"""The lock of a folder that is being packed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cavsync.errors import DataError


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system releases when the process ends. DataError if another one holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise DataError(f"{folder} is being packed by another process: wait for it or stop it") from None
    finally:
        os.close(descriptor)
