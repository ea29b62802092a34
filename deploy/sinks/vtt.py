"""WebVTT metadata cues (W3C): players hand each cue's JSON to the page while the file plays."""

from __future__ import annotations

import json

from cavsync.deploy.files.score_file import FileScore
from cavsync.deploy.verdict.records import SyncScore

HEADER = "WEBVTT\n"


def vtt_text(score: FileScore) -> str:
    """One cue per decision, from the time of the one before (or the start of the first window) to its own."""
    cues = [HEADER]
    start_seconds = score.records[0].time_seconds - score.records[0].window_seconds
    for record in score.records:
        cues.append(cue(start_seconds, record))
        start_seconds = record.time_seconds
    return "\n".join(cues)


def cue(start_seconds: float, record: SyncScore) -> str:
    """The cue of one decision, from `start_seconds` to the decision's time."""
    # A cue may not contain `-->`; the escape means the same inside a JSON string.
    payload = json.dumps(record.to_dict(), allow_nan=False).replace("-->", "--\\u003e")
    return f"{_timestamp(start_seconds)} --> {_timestamp(record.time_seconds)}\n{payload}\n"


def _timestamp(seconds: float) -> str:
    milliseconds = max(0, round(seconds * 1000))
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"
