"""SRT input through an `ffmpeg` program, for PyAV builds whose FFmpeg lacks SRT.

The program gets the address, passphrase included, as an argument: other users of the machine can see it in the process
list.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
import threading
import time

from cavsync.errors import MediaError
from cavsync.file_names import redact

POLL_SECONDS = 0.1
# The raw data format copies the bytes unparsed, so timestamps stay as they are.
COMMAND = ("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-f", "data", "-i")
OUTPUT = ("-map", "0", "-c", "copy", "-f", "data", "-flush_packets", "1", "pipe:1")


class Relay:
    """A readable file-like object with the output of its own `ffmpeg` process.

    `read` returns b"" at the end of the stream, after `first_seconds` (later `read_seconds`) without data, and once
    `stopped` is set. `why` then holds the reason; it is empty when stopped.

    Raises:
        MediaError: no `ffmpeg` program is installed.
    """

    def __init__(self, url: str, first_seconds: float, read_seconds: float, stopped: threading.Event) -> None:
        program = shutil.which(COMMAND[0])
        if program is None:
            raise MediaError(
                f"{redact(url)} cannot be opened: PyAV's FFmpeg has no SRT, and no ffmpeg program was found to receive "
                "it; install ffmpeg, or PyAV built with libsrt",
                reason="unsupported",
            )
        self.name = redact(url)
        self.why = ""
        self._url = url
        self._wait_seconds = first_seconds
        self._read_seconds = read_seconds
        self._stopped = stopped
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [program, *COMMAND[1:], url, *OUTPUT],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            # Ctrl-C must not reach the program: `close` ends it.
            start_new_session=True,
        )

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes as soon as any arrive."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + self._wait_seconds
        while not self._stopped.is_set():
            ready, _, _ = select.select([descriptor], [], [], POLL_SECONDS)
            if ready:
                self._wait_seconds = self._read_seconds
                data = os.read(descriptor, size)
                if not data:
                    self.why = self._last_error()
                return data
            if time.monotonic() > deadline:
                self.why = f"nothing arrived for {self._wait_seconds:g} s"
                return b""
        return b""

    def close(self) -> None:
        """Kill the program and release its pipes."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def _last_error(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").replace(self._url, self.name).split("\n")
        messages = [line.strip() for line in lines if line.strip()]
        return redact(messages[-1]) if messages else "the sender ended the stream"
