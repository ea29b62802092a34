"""Real clips made to tell nothing, and clips without a face: the face path decides none, and each says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared_folder import shared_folder
from sync_clips import write_clip

from cavsync.deploy import Bundle, FileScore, score_file
from cavsync.deploy.faces.graphs import open_face_finder
from cavsync.deploy.runtime.default_bundle import default_bundle
from cavsync.deploy.stream.scorer import NO_FACE
from cavsync.deploy.verdict.face_view import HARDLY_MOVE, JITTER
from cavsync.media import AudioChunk, MediaReader, VideoFrame
from cavsync.media.face import LEFT_EYE_OUTER, RIGHT_EYE_OUTER

pytestmark = pytest.mark.shared

Array = np.ndarray[Any, Any]
NO_OFFSET = (
    "lips and sound move, but no offset within ±1000 ms fits clearly (dubbed, another speaker, an offset beyond the "
    "range, or too little speech)"
)
SPEAKER = "grid/brbk7n.mpg"
# Sentences of GRID have one rhythm, so that one may fit another speaker's lips.
OTHER = "hdtf/WDA_BobMenendez_000.mp4"


def parts_of(name: str) -> tuple[Array, Array]:
    """Frames (n, H, W, 3) and samples (m,) at 16 kHz of a clip at 25 frames per second."""
    frames, samples = [], []
    with MediaReader(shared_folder("data") / "clips" / name) as reader:
        for item in reader:
            if isinstance(item, VideoFrame):
                frames.append(item.rgb)
            elif isinstance(item, AudioChunk):
                samples.append(item.samples)
    return np.stack(frames), np.concatenate(samples)


def covered(frames: Array, paint: Callable[[tuple[int, ...]], Array]) -> Array:
    """Paint a box below the eyes that moves with them: one that follows the chin would show speech."""
    finder, changed = open_face_finder(), frames.copy()
    for index, frame in enumerate(frames):
        (face,) = finder.push(frame, index / 25)
        eyes = face.points[[RIGHT_EYE_OUTER, LEFT_EYE_OUTER], :2]
        middle, width = eyes.mean(axis=0), np.linalg.norm(eyes[1] - eyes[0])
        left, right = middle[0] + np.array([-0.65, 0.65]) * width
        top, bottom = middle[1] + np.array([0.6, 1.8]) * width
        box = changed[index, round(top) : round(bottom), round(left) : round(right)]
        box[:] = paint(box.shape)
    return changed


def scored(frames: Array, samples: Array, path: Path) -> FileScore:
    write_clip(path, frames=frames, samples=samples, audio_rate_hz=16_000)
    return score_file(path, Bundle.open(default_bundle()), path="face", window_seconds=2.0)


def photo(frames: Array) -> Array:
    """The middle frame, with the noise of a camera."""
    noise = np.random.default_rng(0).normal(0, 3, frames.shape)
    return np.clip(frames[len(frames) // 2] + noise, 0, 255).astype(np.uint8)


def grains(shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(0).integers(0, 255, shape)


@pytest.mark.parametrize(
    ("case", "reasons"),
    [
        ("silent", {"the audio is silent (below -60 dBFS)"}),
        ("dubbed", {NO_OFFSET}),
        ("photo", {HARDLY_MOVE, JITTER}),
        ("mask", {HARDLY_MOVE, JITTER}),
        ("grains", {HARDLY_MOVE, JITTER}),
        ("hum", {"the sound hardly changes, so it shows no moment that the lips could fit"}),
    ],
)
def test_what_tells_nothing_is_not_decided_and_says_why(case: str, reasons: set[str], tmp_path: Path) -> None:
    frames, samples = parts_of(SPEAKER)
    changes: dict[str, Callable[[], tuple[Array, Array]]] = {
        "silent": lambda: (frames, np.zeros_like(samples)),
        "dubbed": lambda: (frames, parts_of(OTHER)[1][: len(samples)]),
        "photo": lambda: (photo(frames), samples),
        "mask": lambda: (covered(frames, lambda shape: np.full(shape, (190, 210, 220))), samples),
        "grains": lambda: (covered(frames, grains), samples),
        "hum": lambda: (frames, 0.1 * np.sin(2 * np.pi * 200 / 16_000 * np.arange(len(samples), dtype=np.float32))),
    }
    score = scored(*changes[case](), tmp_path / "clip.mkv")
    assert not any(record.is_measured for record in score.records)
    assert (score.summary.score.state, score.summary.score.is_measured) == ("undetermined", False)
    assert score.summary.score.reason in reasons
    assert {record.reason for record in score.records} <= reasons


def test_the_speaker_itself_is_decided(tmp_path: Path) -> None:
    score = scored(*parts_of(SPEAKER), tmp_path / "clip.mkv").summary.score
    assert score.is_measured
    assert abs(score.audio_offset_ms or 0) < 120


@pytest.mark.parametrize("name", ["vggsound-a/0P_wTB0WmZY_000030.mp4", "vggsound-a/4LcMAREn89c_000013.mp4"])
def test_a_clip_without_a_face_rests_on_the_whole_picture(name: str) -> None:
    opened, path = Bundle.open(default_bundle()), shared_folder("data") / "clips" / name
    auto, whole, face = (score_file(path, opened, path=one) for one in ("auto", "whole", "face"))
    assert auto.summary.to_dict() == whole.summary.to_dict()
    assert [record.to_dict() for record in auto.records] == [record.to_dict() for record in whole.records]
    assert {(one.reason, one.is_measured) for one in (*face.records, face.summary.score)} == {(NO_FACE, False)}


def test_a_cry_is_no_speech() -> None:
    """Its loudness follows the mouth too slowly to say when: the best lag stands out by 0.7 s, from a smooth curve."""
    path = shared_folder("data") / "clips" / "research" / "avsync15-gallery" / "baby_crying.mp4"
    score = score_file(path, Bundle.open(default_bundle()))
    assert not any(record.is_measured for record in (*score.records, score.summary.score))
    assert score.summary.score.reason == NO_OFFSET
