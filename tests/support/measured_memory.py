"""The most memory that reading a file takes, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

READ = """
import resource, sys
from cavsync.errors import MediaError
from cavsync.media import MediaReader

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

before = peak()
try:
    with open(sys.argv[1], "rb") as file:
        with MediaReader(sys.argv[1], file=file if sys.argv[2] == "confined" else None) as reader:
            for _ in reader:
                pass
    print("read")
except MediaError as error:
    print(error)
print(peak() - before)
"""


def read_measured(path: Path, *, confined: bool) -> tuple[str, int]:
    """Return "read" or the refusal, and the bytes by which the process grew."""
    command = [sys.executable, "-P", "-c", READ, str(path), "confined" if confined else "plain"]
    words, grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return words, int(grown)
