"""A repair moves the track that was measured, with the channels of the same sound, and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest
from coded_clips import write_coded_clip

from cavsync.deploy.repair.moved_tracks import MovedTracks, moved_tracks
from cavsync.media.tracks import TrackChoice

DEFAULT = TrackChoice()


def found(path: Path, choice: TrackChoice = DEFAULT, **changes: Any) -> MovedTracks:
    return moved_tracks(path, choice, **{"all_audio": False, "is_measured": True} | changes)


def test_the_track_that_players_play_is_moved(tmp_path: Path) -> None:
    """Of three languages, the second has the default flag."""
    clip = write_coded_clip(tmp_path / "clip.mp4", num_audio=3)
    moved = found(clip)
    assert (moved.numbers, moved.measured) == ({1}, "1")
    assert moved.notes == (
        "only audio track 1 moved, not 0 (aac, 1 channel, eng), 2 (aac, 1 channel, fra): --all-audio moves all",
    )
    assert found(clip, TrackChoice((0, 2))).numbers == {0, 2}
    assert found(clip, all_audio=True).notes == ("all audio tracks are moved",)
    assert found(clip, all_audio=True).numbers == {0, 1, 2}
    assert found(clip, TrackChoice((2,)), is_measured=False).numbers == {2}


def test_one_track_needs_no_words(tmp_path: Path) -> None:
    clip = write_coded_clip(tmp_path / "clip.mp4")
    assert found(clip) == found(clip, all_audio=True) == MovedTracks(frozenset({0}), "0", ())


def test_channels_of_one_sound_are_moved_together(tmp_path: Path) -> None:
    """Four mono tracks of PCM, the last of them shorter, and one in stereo."""
    path = tmp_path / "clip.mov"
    clip = write_coded_clip(tmp_path / "clip.mp4")
    with av.open(str(clip)) as source, av.open(str(path), "w") as sink:
        video = sink.add_stream_from_template(source.streams.video[0])
        tracks = [(_pcm(sink, "mono"), length) for length in (48_000, 48_000, 48_000, 40_000)]
        tracks.append((_pcm(sink, "stereo"), 48_000))
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = video
                sink.mux(packet)
        for track, length in tracks:
            frame = av.AudioFrame("s16", track.layout.name, length)
            for plane in frame.planes:
                plane.update(b"\x01\x10" * (plane.buffer_size // 2))
            frame.sample_rate, frame.pts = 48_000, 0
            sink.mux(track.encode(frame))
            sink.mux(track.encode(None))
    moved = found(path)
    assert moved.numbers == {0, 1, 2}
    assert moved.notes[0] == "audio tracks 0, 1, 2 are moved: of one channel and equal times, they are one sound"
    assert moved.notes[1].startswith("only audio tracks 0, 1, 2 moved, not 3 (pcm_s16le, 1 channel), 4 (pcm_s16le, 2")
    assert found(path, TrackChoice((1,))).numbers == {1}
    assert found(path, TrackChoice((4,))).numbers == {4}


def _pcm(sink: Any, layout: str) -> Any:
    track = sink.add_stream("pcm_s16le", rate=48_000)
    track.layout = layout
    return track


@pytest.mark.parametrize("number", [0, 1])
def test_a_track_that_is_not_there(tmp_path: Path, number: int) -> None:
    clip = write_coded_clip(tmp_path / "clip.mp4")
    assert found(clip, TrackChoice((number,)), is_measured=False).numbers == {number}
