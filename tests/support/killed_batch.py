"""A batch of `cavsync score` that is repeatedly killed and resumed.

The parent imports everything and scores nothing, so that a forked child begins within a fraction of a second.
"""

import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from cavsync import deploy
from cavsync.cli.main import main as command

PAUSE_SECONDS = 0.002


def score(log: Path, arguments: list[str]) -> None:
    """Run the command in this process; every file that begins to be scored is a line of `log`."""
    plain = deploy.score_file

    def logged(source: str, *rest: Any, **options: Any) -> Any:
        with log.open("a", encoding="utf-8") as stream:
            stream.write(f"{source}\n")
        return plain(source, *rest, **options)

    deploy.score_file = logged
    command(["score", *arguments])


def begun(log: Path) -> list[str]:
    """Return the sources that began to be scored, in order."""
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def start(log: Path, arguments: list[str]) -> int:
    """Start the command in a forked process and return its number."""
    child = os.fork()
    if child == 0:
        # stdout is for the parent's numbers.
        os.dup2(2, 1)
        try:
            score(log, arguments)
        except SystemExit as end:
            os._exit(int(end.code or 0))
        finally:
            os._exit(99)
    return child


def kill(child: int, number: int, log: Path, num_files: int, pause_seconds: float) -> None:
    """Send the signal a moment after `num_files` files have begun, or do nothing if the process ended before."""
    while len(begun(log)) < num_files:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(PAUSE_SECONDS)
    time.sleep(pause_seconds)
    os.kill(child, number)


def main(folder: str, number: str, kills: str, most_files: str, *arguments: str) -> None:
    """Kill the batch with signal `number` that many times, each at most `most_files` files after its start, then let it
    finish; `folder` gets a log per start. Prints the status of every process as `os.waitpid` gives it."""
    random_source = random.Random(int(number))
    for run in range(int(kills) + 1):
        log = Path(folder, f"{run:02d}.log")
        child = start(log, list(arguments))
        if run < int(kills):
            kill(child, int(number), log, random_source.randint(1, int(most_files)), random_source.uniform(0, 0.05))
        sys.stdout.write(f"{os.waitpid(child, 0)[1]}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
