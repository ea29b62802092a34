"""libcavsync answers as `SyncScorer` does, on streams with what real ones have: holes, jumps, jitter, other rates."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import put
from native_library import NativeError, NativeLibrary, NativeScorer
from native_streams import Stream, assert_same, fed, push

from cavsync.deploy import Bundle, SyncScorer
from cavsync.manifest import MANIFEST_NAME, read_manifest

MEDIA = 4


def plain(rng: np.random.Generator, **audio: Any) -> Stream:
    stream = Stream()
    stream.add_frames(np.arange(0, 6, 0.04), (24, 32), rng)
    stream.add_audio(0.0, 6.0, audio.pop("rate_hz", 16_000), rng, **audio)
    return stream.sorted()


def variable_rate(rng: np.random.Generator) -> Stream:
    stream = Stream()
    stream.add_frames(np.cumsum(rng.uniform(0.01, 0.09, 120)), (55, 97), rng)
    stream.add_audio(0.3, 6.0, 16_000, rng, late=0.2)
    return stream.sorted()


def with_holes(rng: np.random.Generator) -> Stream:
    """A second of sound is lost, then 15 s of everything."""
    stream = Stream()
    stream.add_frames(np.concatenate([np.arange(0, 6, 0.04), np.arange(21, 25, 0.04)]), (24, 32), rng)
    stream.add_audio(0.0, 3.0, 16_000, rng)
    stream.add_audio(4.0, 2.0, 16_000, rng)
    stream.add_audio(21.0, 4.0, 16_000, rng, late=-0.12)
    return stream.sorted()


def set_back(rng: np.random.Generator) -> Stream:
    """Both clocks begin again, with a stray frame and a stray packet on the way."""
    first, second = Stream(), Stream()
    first.add_frames(np.arange(100, 104, 0.04), (24, 32), rng)
    first.add_audio(100.0, 4.0, 16_000, rng)
    second.add_frames(np.arange(0.02, 5, 0.04), (24, 32), rng)
    second.add_audio(0.0, 5.0, 16_000, rng, late=0.08)
    stream = Stream(first.sorted().pieces + second.sorted().pieces)
    stream.pieces.insert(60, (5000.0, np.zeros((24, 32, 3), np.uint8)))
    stream.pieces.insert(70, (7000.0, np.zeros(1600, np.int16), 16_000))
    return stream


def only_video_set_back(rng: np.random.Generator) -> Stream:
    stream, again = Stream(), Stream()
    stream.add_frames(np.arange(50, 54, 0.04), (24, 32), rng)
    stream.add_audio(50.0, 8.0, 16_000, rng)
    again.add_frames(np.arange(10, 14, 0.04), (24, 32), rng)
    return Stream(stream.sorted().pieces + again.pieces)


def silent(rng: np.random.Generator) -> Stream:
    stream = plain(rng)
    return Stream([(piece[0], piece[1] * 0, *piece[2:]) if len(piece) == 3 else piece for piece in stream.pieces])


def static(rng: np.random.Generator) -> Stream:
    stream = plain(rng)
    frame = stream.pieces[[len(piece) for piece in stream.pieces].index(2)][1]
    return Stream([(piece[0], frame) if len(piece) == 2 else piece for piece in stream.pieces])


def without_audio(rng: np.random.Generator) -> Stream:
    return Stream([piece for piece in plain(rng).pieces if len(piece) == 2])


def short(rng: np.random.Generator) -> Stream:
    return Stream([piece for piece in plain(rng).pieces if piece[0] < 1.1])


STREAMS = {
    "in_sync": plain,
    "late_48_khz_stereo": lambda rng: plain(rng, rate_hz=48_000, channels=2, late=0.24),
    "early_44_khz_five_channels": lambda rng: plain(rng, rate_hz=44_100, channels=5, late=-0.17),
    "beyond_the_range": lambda rng: plain(rng, late=0.8),
    **{one.__name__: one for one in (variable_rate, with_holes, set_back, only_video_set_back)},
    **{one.__name__: one for one in (silent, static, without_audio, short)},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "other_grid": {"window_seconds": 1.5, "max_offset_ms": 400.0, "hop_ms": 80.0, "frame_rate_hz": 12.0},
    "one_frame": {"profile": "one-frame", "group_seconds": 0.2, "max_lead_seconds": 2.0},
    "custom": {"profile": "custom", "early_ms": 5.0, "late_ms": 250.0, "hop_ms": 20.0},
    "adaptive": {"adaptive": True, "hop_ms": 10.0},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("name", STREAMS)
def test_decisions_are_those_of_python(
    library: NativeLibrary, bundle_path: Path, name: str, options: dict[str, Any]
) -> None:
    stream = STREAMS[name](np.random.default_rng(7))
    native = NativeScorer(library, library.open_bundle(bundle_path), **options)
    found = fed(native, stream)
    wanted = fed(SyncScorer(Bundle.open(bundle_path, threads=1), path="whole", **options), stream)
    native.close()
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        assert_same(one, other)


def test_streams_cover_every_state(library: NativeLibrary, bundle_path: Path) -> None:
    """Without this, the comparison could agree on nothing but refusals."""
    bundle = library.open_bundle(bundle_path)
    states = set()
    for make in STREAMS.values():
        native = NativeScorer(library, bundle)
        states |= {record["state"] for record in fed(native, make(np.random.default_rng(7)))}
        native.close()
    assert states == {"in_sync", "audio_early", "audio_late", "undetermined"}


def test_results_do_not_depend_on_when_they_are_computed(library: NativeLibrary, bundle_path: Path) -> None:
    stream = STREAMS["set_back"](np.random.default_rng(3))
    native = NativeScorer(library, library.open_bundle(bundle_path))
    at_the_end = fed(native, stream)
    native.reset()
    found: list[dict[str, Any]] = []
    for number in range(0, len(stream.pieces), 7):
        for piece in stream.pieces[number : number + 7]:
            push(native, piece)
        found += native.process()
    assert len(found) > 0
    assert found + native.flush() == at_the_end
    native.close()


def test_frames_beyond_the_longest_example_add_no_confidence(
    library: NativeLibrary, bundle_path: Path, tmp_path: Path
) -> None:
    """As in Python: a window of 62 frames counts as one of 40, of which the calibration's longest example had so many,
    and as one of 62 where the manifest says nothing or 100."""
    confidences = {}
    for max_frames in (None, 40, 100):
        folder = Path(shutil.copytree(bundle_path, tmp_path / f"longest-{max_frames}"))
        manifest = read_manifest(folder)
        assert manifest.calibration is not None
        calibration = replace(
            manifest.calibration, features=["log_frames"], weights=[1.0], bias=-4.0, max_frames=max_frames
        )
        (folder / MANIFEST_NAME).write_bytes(replace(manifest, calibration=calibration).to_bytes())
        stream = plain(np.random.default_rng(7))
        native = NativeScorer(library, library.open_bundle(folder))
        found = fed(native, stream)
        native.close()
        wanted = fed(SyncScorer(Bundle.open(folder, threads=1), path="whole"), stream)
        assert len(found) == len(wanted) > 0
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other)
        confidences[max_frames] = [record["confidence"] for record in found]
    # sigmoid(ln 40 - 4)
    assert confidences[40] == pytest.approx([40 / (40 + math.exp(4))] * len(found), abs=1e-6)
    assert min(confidences[None]) > max(confidences[40])
    assert confidences[100] == confidences[None]


@pytest.mark.parametrize("max_frames", [0, -5, 1.5, "150", True, 10**19])
def test_a_longest_example_that_cannot_be_is_refused(
    library: NativeLibrary, bundle_path: Path, tmp_path: Path, max_frames: Any
) -> None:
    folder = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    put("calibration", "max_frames", value=max_frames)(folder)
    with pytest.raises(NativeError, match=r"calibration\.max_frames"):
        library.open_bundle(folder)


def test_a_wrong_rate_is_refused(library: NativeLibrary, bundle_path: Path) -> None:
    native = NativeScorer(library, library.open_bundle(bundle_path))
    stream = Stream([(number * 0.1, np.zeros(4800, np.float32), 44_100) for number in range(60)])
    with pytest.raises(NativeError, match=r"perhaps 48\d\d\d Hz") as failure:
        fed(native, stream)
    assert failure.value.status == MEDIA
    native.close()
