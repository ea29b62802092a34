"""A real `cavsync serve` in its own process, on a free local port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from waiting import PATIENCE_SECONDS


@dataclass
class ServerProcess:
    process: subprocess.Popen[str]
    url: str

    @property
    def ws_url(self) -> str:
        return self.url.replace("http", "ws", 1)

    def stop(self, sig: int = signal.SIGTERM, timeout_seconds: float = PATIENCE_SECONDS) -> int:
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(timeout_seconds)


@contextmanager
def serving(bundle: Path, *options: str, environment: dict[str, str] | None = None) -> Iterator[ServerProcess]:
    """Start the server, wait until it prints its address, and stop it afterwards."""
    command = [
        sys.executable,
        "-P",
        "-c",
        "from cavsync.cli.main import main; main()",
        "serve",
        "--bundle",
        str(bundle),
    ]
    process = subprocess.Popen(
        [*command, "--port", "0", "--threads", "1", *options],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    try:
        assert process.stderr is not None
        said = ""
        while (found := re.search(r"at (http://\S+)", said)) is None:
            line = process.stderr.readline()
            assert line, f"the server ended: {said}"
            said += line
        yield ServerProcess(process, found.group(1).rstrip("/"))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()
