"""The start of a worker process that its parent stops."""

from __future__ import annotations

import os
import signal
from multiprocessing import parent_process
from threading import Thread


def leave_stopping_to_parent() -> None:
    """Ignore Ctrl-C, which the parent handles, and exit when the parent does. Initialiser of worker processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        # A killed parent can neither collect results nor stop its workers, and nothing is left to clean up.
        os._exit(1)
