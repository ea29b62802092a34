"""The example of a live source watches a file, and a real RTSP server on loopback."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from run_example import command, run_example
from senders import LIVE_VIDEO, free_port, need, rtsp_server, running
from sync_clips import write_clip


def late_clip(path: Path) -> Path:
    return write_clip(path, seconds=12.0, audio_offset_ms=lambda t: np.where(t < 5.0, 0.0, -300.0))


def test_a_file_is_watched(bundle_path: Path, tmp_path: Path) -> None:
    said = run_example("watch_rtsp.py", late_clip(tmp_path / "clip.mkv"), bundle_path, folder=tmp_path)
    assert "ALARM began: audio_late" in said
    assert "ALARM ended: audio_late" in said
    assert "in_sync" in said
    assert said.startswith("connected: ")


@pytest.mark.slow
def test_an_rtsp_stream_is_watched(bundle_path: Path, tmp_path: Path) -> None:
    """Its lines are read until the alarm; then the server's clip may end."""
    need("ffmpeg")
    clip, port = tmp_path / "live.mkv", free_port()
    late_clip(tmp_path / "clip.mkv")
    convert = ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", tmp_path / "clip.mkv", *LIVE_VIDEO, "-c:a", "copy"]
    subprocess.run([*convert, clip], check=True)
    with rtsp_server(clip, port) as address, running(*command("watch_rtsp.py", address, bundle_path)) as example:
        assert example.stdout is not None
        said = []
        for line in example.stdout:
            said.append(line)
            if line.startswith("ALARM began"):
                break
    assert said[0].startswith("connected: ")
    assert said[-1].startswith("ALARM began: audio_late")
