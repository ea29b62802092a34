"""libcavsync answers as `SyncScorer` does where faces are judged: one and several, lost and found, in any stream.

The faces are those of `fake_faces`: a mouth as open as its half of the frame is bright, none where that is black.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_clips import LEFT, RIGHT, absent, closed, frames_of, speaking
from fake_bundle import write_fake_bundle
from native_library import NativeError, NativeLibrary, NativeScorer
from native_streams import Stream, assert_same, fed, push
from sync_clips import make_audio

from cavsync.deploy import Bundle, SyncScorer
from cavsync.manifest import MANIFEST_NAME, describe_files, read_manifest

Array = np.ndarray[Any, Any]
AUDIO_HZ = 16_000
BUNDLE = 3


def stream_of(times: Array, *levels: Array, offset_ms: float = 0.0, seconds: float | None = None) -> Stream:
    """Frames of equal columns with these brightnesses, and the sound of `speaking` with an offset, in small pieces."""
    stream = Stream()
    frames = frames_of(*levels)
    stream.pieces += [(float(time), frame) for time, frame in zip(times, frames, strict=True)]
    start, end = float(times[0]), float(times[-1]) + 0.04 if seconds is None else float(times[0]) + seconds
    for number in range(round((end - start) / 0.1)):
        begin = start + 0.1 * number
        samples = make_audio(begin, AUDIO_HZ // 10, audio_offset_ms=offset_ms)
        stream.pieces.append((begin, samples, AUDIO_HZ))
    return stream.sorted()


def times_at(rate_hz: float, seconds: float, start: float = 0.0) -> Array:
    return start + np.arange(round(seconds * rate_hz)) / rate_hz


def one_speaks(rate_hz: float, offset_ms: float) -> Stream:
    times = times_at(rate_hz, 6.0)
    return stream_of(times, speaking(times), closed(times), offset_ms=offset_ms)


def two_contradict() -> Stream:
    """Both halves follow the sound, half a second apart."""
    times = times_at(25.0, 6.0)
    return stream_of(times, speaking(times), speaking(times - 0.4))


def two_take_turns() -> Stream:
    times = times_at(25.0, 8.0)
    first, second = times < 4, times >= 4
    return stream_of(
        times, np.where(first, speaking(times), closed(times)), np.where(second, speaking(times), closed(times))
    )


def lost_and_found() -> Stream:
    times = times_at(25.0, 10.0)
    seen = (times < 3.5) | (times > 6.2)
    return stream_of(times, np.where(seen, speaking(times), absent(times)), absent(times), offset_ms=-160.0)


def with_cuts() -> Stream:
    """A white frame every two seconds."""
    times = times_at(25.0, 8.0)
    levels = np.where(np.arange(len(times)) % 50 == 49, 255.0, speaking(times))
    return stream_of(times, levels, closed(times), offset_ms=80.0)


def nobody() -> Stream:
    times = times_at(25.0, 5.0)
    return stream_of(times, absent(times), absent(times))


def none_moves() -> Stream:
    times = times_at(25.0, 5.0)
    return stream_of(times, closed(times), closed(times))


def silent() -> Stream:
    stream = one_speaks(25.0, 0.0)
    return Stream([(piece[0], piece[1] * 0, *piece[2:]) if len(piece) == 3 else piece for piece in stream.pieces])


def sound_ends_early() -> Stream:
    times = times_at(25.0, 7.0)
    return stream_of(times, speaking(times), closed(times), seconds=3.0)


def set_back() -> Stream:
    """Both clocks begin again, with stray frames at one time on the way."""
    first, second = times_at(25.0, 4.0, 100.0), times_at(25.0, 6.0, 0.013)
    stream = Stream(
        stream_of(first, speaking(first), closed(first)).pieces
        + stream_of(second, closed(second), speaking(second), offset_ms=120.0).pieces
    )
    for _ in range(3):
        stream.pieces.insert(60, (5000.0, np.zeros((96, 192, 3), np.uint8)))
    return stream


def with_holes() -> Stream:
    times = np.concatenate([times_at(25.0, 4.0), times_at(25.0, 5.0, 20.0)])
    levels = speaking(times)
    stream = Stream([(float(time), frame) for time, frame in zip(times, frames_of(levels, closed(times)), strict=True)])
    for start in (0.0, 20.0):
        for number in range(40):
            begin = start + 0.1 * number
            stream.pieces.append((begin, make_audio(begin, AUDIO_HZ // 10), AUDIO_HZ))
    return stream.sorted()


def of_other_size() -> Stream:
    """The size of the picture changes on the way, which is a cut."""
    times = times_at(25.0, 8.0)
    stream = stream_of(times, speaking(times), closed(times), offset_ms=-100.0)
    larger = {piece[0]: np.repeat(np.repeat(piece[1], 4, 0), 4, 1) for piece in stream.pieces if len(piece) == 2}
    return Stream(
        [(piece[0], larger[piece[0]]) if len(piece) == 2 and piece[0] >= 4 else piece for piece in stream.pieces]
    )


def irregular() -> Stream:
    times = np.cumsum(np.random.default_rng(4).uniform(0.012, 0.09, 120))
    return stream_of(times, speaking(times), closed(times), offset_ms=60.0)


STREAMS: dict[str, Callable[[], Stream]] = {
    "in_sync": lambda: one_speaks(25.0, 0.0),
    "late_at_30": lambda: one_speaks(30.0, -240.0),
    "early_at_59.94": lambda: one_speaks(60000 / 1001, 200.0),
    "late_at_15": lambda: one_speaks(15.0, -120.0),
    "beyond_the_range": lambda: one_speaks(25.0, -900.0),
    **{one.__name__: one for one in (two_contradict, two_take_turns, lost_and_found, with_cuts, nobody, none_moves)},
    **{one.__name__: one for one in (silent, sound_ends_early, set_back, with_holes, of_other_size, irregular)},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "live": {"max_lead_seconds": 5.6, "group_seconds": 0.32, "profile": "ebu-r37"},
    "adaptive": {"adaptive": True},
    "other_grid": {"window_seconds": 1.5, "max_offset_ms": 400.0, "hop_ms": 20.0, "frame_rate_hz": 12.5},
}


@pytest.fixture(scope="module")
def face_bundle(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_bundle(tmp_path_factory.mktemp("faces"), face_places=(LEFT, RIGHT))


@pytest.fixture(scope="module")
def opened(library: NativeLibrary, face_bundle: Path) -> tuple[Any, Bundle]:
    return library.open_bundle(face_bundle), Bundle.open(face_bundle, threads=1)


@pytest.mark.parametrize(("path", "options"), [("auto", name) for name in OPTIONS] + [("face", "live")])
@pytest.mark.parametrize("name", STREAMS)
def test_decisions_are_those_of_python(
    library: NativeLibrary, opened: tuple[Any, Bundle], name: str, path: str, options: str
) -> None:
    stream = STREAMS[name]()
    native = NativeScorer(library, opened[0], path=path, **OPTIONS[options])
    found = fed(native, stream)
    native.close()
    wanted = fed(SyncScorer(opened[1], path=path, **OPTIONS[options]), stream)
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        assert_same(one, other)


def test_streams_cover_every_path_and_reason(library: NativeLibrary, opened: tuple[Any, Bundle]) -> None:
    """Without this, the comparison could agree on nothing but refusals."""
    states, reasons = set(), ""
    for make in STREAMS.values():
        native = NativeScorer(library, opened[0], path="auto", profile="ebu-r37")
        for record in fed(native, make()):
            states.add((record["path"], record["state"]))
            reasons += f"{record['reason']}\n"
        native.close()
    assert {("face", "in_sync"), ("face", "audio_early"), ("face", "audio_late"), ("face", "undetermined")} <= states
    assert ("whole", "undetermined") in states
    for words in ("one face says", "the face says", "the lips hardly move", "the audio is silent"):
        assert words in reasons, words


def test_results_do_not_depend_on_when_they_are_computed(library: NativeLibrary, opened: tuple[Any, Bundle]) -> None:
    stream = set_back()
    native = NativeScorer(library, opened[0], path="auto")
    at_the_end = fed(native, stream)
    native.reset()
    found: list[dict[str, Any]] = []
    for number, piece in enumerate(stream.pieces):
        push(native, piece)
        if number % 11 == 0:
            found += native.process()
    assert found
    assert found + native.flush() == at_the_end
    native.close()


def test_face_graphs_are_opened_by_the_first_scorer_of_faces(library: NativeLibrary, tmp_path: Path) -> None:
    """So that the whole picture alone costs neither their memory nor their time; hashes are checked with the bundle."""
    folder = write_fake_bundle(tmp_path / "bundle", face_places=(LEFT, RIGHT))
    manifest = read_manifest(folder)
    assert manifest.faces is not None
    name = manifest.faces.graphs["face_mesh"].file
    (folder / name).write_bytes(b"no graph")
    with pytest.raises(NativeError, match=f"{name} differs from the hash in the manifest") as failure:
        library.open_bundle(folder)
    assert failure.value.status == BUNDLE
    files = describe_files(folder, list(manifest.files))
    (folder / MANIFEST_NAME).write_bytes(replace(manifest, files=files).to_bytes())
    bundle = library.open_bundle(folder)
    NativeScorer(library, bundle, path="whole").close()
    for path in ("auto", "face", "auto"):
        with pytest.raises(NativeError, match=f"{name} is not a usable ONNX graph") as failure:
            NativeScorer(library, bundle, path=path)
        assert failure.value.status == BUNDLE
    NativeScorer(library, bundle, path="whole").close()
