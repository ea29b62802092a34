"""SRT where PyAV's FFmpeg was built without it: an `ffmpeg` program receives the bytes and hands them on unchanged.

It takes the address only as an argument, so that users of the same machine see its passphrase in the list of processes.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
import threading
import time

from cavsync.deploy.live.redact import redact
from cavsync.errors import MediaError

POLL_SECONDS = 0.1
# FFmpeg's raw data format: bytes in, the same bytes out; nothing is parsed, so no timestamp is touched.
COMMAND = ("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-f", "data", "-i")
OUTPUT = ("-map", "0", "-c", "copy", "-f", "data", "-flush_packets", "1", "pipe:1")


class Relay:
    """A file-like object to read from, fed by an `ffmpeg` of its own.

    `read` gives an empty answer at the end, after `read_seconds` without data, and once `stopped` is set; `why` then
    says which.

    Raises:
        MediaError: no such program.
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
            # Ctrl-C is for us: we end it in order.
            start_new_session=True,
        )

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, as soon as there are any."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + self._wait_seconds
        while not self._stopped.is_set():
            ready, _, _ = select.select([descriptor], [], [], POLL_SECONDS)
            if ready:
                self._wait_seconds = self._read_seconds
                data = os.read(descriptor, size)
                if not data:
                    self.why = self._last_words()
                return data
            if time.monotonic() > deadline:
                self.why = f"nothing came for {self._wait_seconds:g} s"
                return b""
        return b""

    def close(self) -> None:
        """End the program."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").replace(self._url, self.name).split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return redact(said[-1]) if said else "the sender ended the stream"
