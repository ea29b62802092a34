"""With this folder in PYTHONPATH, scoring a file named crash, hang, memory, slow or defect does that to its process."""

import os
import signal
import sys
import time
from typing import Any

if "cavsync.deploy.archive.scoring_program" in sys.orig_argv:
    from cavsync.deploy.archive import rows

    plain = rows.score_file

    def poisoned(source: str, *rest: Any, **options: Any) -> Any:
        """Score a file, or do to the process what its name says."""
        name = os.path.basename(source).partition(".")[0]  # noqa: PTH119 - nothing more is imported here
        if name == "crash":
            signal.raise_signal(signal.SIGSEGV)
        while name == "hang":
            time.sleep(1)
        pieces = []
        while name == "memory":
            pieces.append(b"\1" * (32 << 20))
            time.sleep(0.01)
        for _ in range(16 if name == "slow" else 0):
            time.sleep(0.5)
            options["on_progress"](0.0, None)
        if name == "defect":
            raise TypeError("a list was expected")
        return plain(source, *rest, **options)

    rows.score_file = poisoned
