"""FFmpeg's own description of an open container, which tells what PyAV has no attribute for."""

from __future__ import annotations

import re
import threading
from typing import Any, cast

import av.logging
from av.container import InputContainer

PROGRAM_LINE = re.compile(r"^  Program (\d+)", re.MULTILINE)
STREAM_LINE = re.compile(r"^ *Stream #0:(\d+)", re.MULTILINE)

_log_level = threading.Lock()


def description(container: InputContainer) -> str:
    """Return FFmpeg's description, which goes through its log.

    Values from the file cannot imitate its lines: they are printed behind a key, also after a line break.
    """
    with _log_level:
        before = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            # PyAV's stubs leave this method out.
            return str(cast("Any", container).dumps_format())
        finally:
            av.logging.set_level(before)


def num_streams(container: InputContainer) -> int:
    """Return the number of streams that FFmpeg has found up to now; PyAV knows those of the opening only."""
    return 1 + max((int(index) for index in STREAM_LINE.findall(description(container))), default=-1)


def programs(container: InputContainer) -> dict[int, frozenset[int]]:
    """Return the number of each programme (MPEG-TS service, HLS variant) and the indices of its tracks."""
    # What follows the last programme, under "No Program", belongs to none.
    parts = PROGRAM_LINE.split(description(container).partition("  No Program")[0])[1:]
    return {
        int(number): frozenset(map(int, STREAM_LINE.findall(part)))
        for number, part in zip(parts[::2], parts[1::2], strict=True)
    }
