"""`cavsync` with the arguments of this script, except that scoring clip1.mkv ends the process by a fault."""

import os
import signal
from typing import Any

from cavsync import deploy
from cavsync.cli.main import main

plain = deploy.score_file


def score(source: str, *rest: Any, **options: Any) -> Any:
    """Score a file, unless it is the one that ends the process."""
    if source.endswith("clip1.mkv"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return plain(source, *rest, **options)


deploy.score_file = score  # type: ignore[assignment]
main()
