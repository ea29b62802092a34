"""Files and sources of which nothing can be measured, with a reason that names the cause."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from situation import Situation, converted, ffmpeg


def piped(base: Path, folder: Path, *options: str) -> Path:
    """Return a named pipe into which a thread writes the clip once."""
    clip, pipe = folder / "clip.mp4", folder / "pipe"
    ffmpeg("-i", base, "-c", "copy", *options, clip)
    os.mkfifo(pipe)

    def send() -> None:
        try:
            pipe.write_bytes(clip.read_bytes())
        except BrokenPipeError:
            return

    threading.Thread(target=send, daemon=True).start()
    return pipe


def piped_with_index_at_end(base: Path, folder: Path) -> Path:
    # Larger than what FFmpeg reads ahead.
    return piped(base, folder, "-vf", "scale=320:240,noise=alls=60:allf=t", "-c:v", "mjpeg", "-q:v", "2")


def piped_with_index_in_front(base: Path, folder: Path) -> Path:
    return piped(base, folder, "-movflags", "+faststart")


SITUATIONS = [
    Situation("index at the end", converted("clip.mp4", "-c", "copy"), 0),
    Situation("index at the end in a pipe", piped_with_index_at_end, None, "index at the end .*faststart"),
    Situation("index in front in a pipe", piped_with_index_in_front, 0),
    Situation("one frame a second", converted("clip.mp4", "-vf", "fps=1"), None, "only 6 video frames in the window"),
    Situation(
        "one frame every four seconds",
        converted("clip.mkv", "-stream_loop", "11", "-i", "CLIP", "-map", "1", "-vf", "fps=1/4", "-c:a", "copy"),
        None,
        "only one frame every 4.0 s",
    ),
    Situation("no sound at all", converted("clip.mp4", "-an", "-c", "copy"), None, "no audio track"),
    Situation("no picture at all", converted("clip.mp4", "-vn", "-c", "copy"), None, "no video track"),
    Situation("silence", converted("clip.mp4", "-af", "volume=0", "-c:v", "copy"), None, "the audio is silent"),
    Situation(
        "still picture", converted("clip.mp4", "-vf", "select='eq(n,0)',loop=149:1", "-c:a", "copy"), None, "static"
    ),
]
