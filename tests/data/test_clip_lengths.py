"""Video and audio of a clip must end together; the last frame counts for as long as it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from timed_frames import write_timed

from cavsync.data.clip import load_clip
from cavsync.data.shards.options import PackOptions
from cavsync.data.shards.read_video import read_video
from cavsync.errors import MediaError


def write_held(path: Path, audio_seconds: float) -> Path:
    """Five frames at 10 fps, the last of them shown for 3 s, so that the video ends at 3.4 s."""
    return write_timed(path, range(5), (1, 1, 1, 1, 30), audio_seconds)


def test_a_last_frame_that_is_held_counts_until_its_end(tmp_path: Path) -> None:
    path = write_held(tmp_path / "a.mov", 3.4)
    assert len(load_clip(path, 32).frames) == 5
    assert len(read_video(path, PackOptions()).frames) == 5


def test_what_is_cut_off_does_not_count(tmp_path: Path) -> None:
    path = write_held(tmp_path / "a.mov", 3.4)
    assert len(load_clip(path, 32, max_seconds=1.0).frames) == 5
    assert len(read_video(path, PackOptions(max_seconds=1.0)).frames) == 5


def test_tracks_that_end_apart_are_refused(tmp_path: Path) -> None:
    path = write_held(tmp_path / "a.mov", 1.0)
    for read in (lambda: load_clip(path, 32), lambda: read_video(path, PackOptions())):
        with pytest.raises(MediaError, match=r"video of 3\.40 s and audio of 1\.00 s"):
            read()
