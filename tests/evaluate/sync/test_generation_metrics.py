"""LSE and JavisScore style figures against sums by brute force, on clips whose answer is known, and in the result."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from face_clips import MIDDLE, absent, closed, frames_of, speaking
from fake_bundle import write_fake_bundle
from numpy.typing import NDArray
from sync_clips import write_clip

from cavsync.cli.main import main
from cavsync.deploy import Bundle
from cavsync.errors import ConfigError
from cavsync.evaluate.sync.cases import SyncCase
from cavsync.evaluate.sync.generation.av_align import Peaks
from cavsync.evaluate.sync.generation.lip_distance import LAGS_MS, LipDistance, lip_distance, of_rows
from cavsync.evaluate.sync.generation.measures import Generation, require_usable
from cavsync.evaluate.sync.generation.window_scores import EmbeddedClip, WindowScore, scored, window_score
from cavsync.evaluate.sync.measure import ClipResult, SyncTrials
from cavsync.evaluate.sync.report.generation_metrics import generation_figures

FloatArray = NDArray[np.float64]
SECONDS = 6.0


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a face path, both of which measure brightness and loudness."""
    return write_fake_bundle(tmp_path_factory.mktemp("bundles") / "meter", face_places=(MIDDLE,))


def face_clip(path: Path, mouth: Any, **options: Any) -> Path:
    levels = mouth(np.arange(round(SECONDS * 25)) / 25)
    return write_clip(path, frames=frames_of(levels), seconds=SECONDS, **options)


def unit(random: np.random.Generator, *shape: int) -> FloatArray:
    found = random.normal(size=shape)
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def test_distances_by_brute_force() -> None:
    """From vectors: the distance of each moment at each lag, summed; moments that lack audio at a lag do not count."""
    random = np.random.default_rng(0)
    lips, sound = unit(random, 60, 8), unit(random, 60 + 32, 8)
    lags_ms = np.arange(-16, 17) * 40.0
    similarity = np.array([[lips[t] @ sound[t + lag + 16] for lag in range(-16, 17)] for t in range(60)])
    similarity[:5, :4] = np.nan
    # Only beyond the fifteen frames.
    similarity[7, 0] = np.nan
    found = of_rows(lags_ms, similarity, np.full(60, -20.0), 0.04)
    means = [np.mean([math.dist(lips[t], sound[t + lag + 16]) for t in range(5, 60)]) for lag in range(-15, 16)]
    assert found.has_face
    assert found.distance == pytest.approx(min(means))
    assert found.confidence == pytest.approx(sorted(means)[15] - min(means))


def test_a_grid_of_other_lags_is_interpolated() -> None:
    """Every 50 ms: between two lags lies the line between their similarities."""
    lags_ms = np.arange(-13, 14) * 50.0
    similarity = np.tile(1 - np.abs(lags_ms) / 1000, (40, 1))
    found = of_rows(lags_ms, similarity, np.full(40, -20.0), 0.04)
    distances = np.sqrt(2 * np.abs(LAGS_MS) / 1000)
    assert found.distance == pytest.approx(0.0, abs=1e-9)
    assert found.confidence == pytest.approx(np.median(distances))


@pytest.mark.parametrize("part", [slice(0, 20), slice(0, 0)])
def test_less_than_a_second_is_no_evidence(part: slice) -> None:
    found = of_rows(np.arange(-15, 16) * 40.0, np.zeros((40, 31))[part], np.zeros(40)[part], 0.04)
    assert found == LipDistance(has_face=True)


def test_lips_of_clips(meter: Path, tmp_path: Path) -> None:
    """Lips that follow the sound, also where that is late, those of another voice, and what is no evidence."""
    bundle = Bundle.open(meter)
    own = lip_distance(bundle, face_clip(tmp_path / "own.mkv", speaking))
    late = lip_distance(bundle, face_clip(tmp_path / "late.mkv", speaking, audio_offset_ms=-200.0))
    other = lip_distance(bundle, face_clip(tmp_path / "other.mkv", speaking, seed=9))
    for found in (own, late, other):
        assert found.distance is not None
        assert found.confidence is not None
    assert own.distance == pytest.approx(late.distance, abs=0.05)
    assert own.distance < 0.5 * other.distance
    assert own.confidence > 2 * other.confidence
    silence = np.zeros(round(SECONDS * 48_000), np.float32)
    nothing = LipDistance(has_face=True)
    assert lip_distance(bundle, face_clip(tmp_path / "silent.mkv", speaking, samples=silence)) == nothing
    assert lip_distance(bundle, face_clip(tmp_path / "closed.mkv", closed)) == nothing
    assert lip_distance(bundle, face_clip(tmp_path / "dark.mkv", absent)) == LipDistance(has_face=False)


def brute_force(clip: EmbeddedClip) -> tuple[float, float]:
    """Window by window and frame by frame."""
    times, scores = clip.times_seconds, []
    start = times[0]
    while start + 2.0 <= times[-1] + 0.04 + 1e-6:
        frames = [n for n, time in enumerate(times) if start - 1e-6 <= time < start + 2.0 - 1e-6]
        sound = sum(clip.audio[n].astype(np.float64) for n in frames if not np.isnan(clip.audio[n]).any())
        cosines = sorted(float(clip.visual[n] @ sound / np.linalg.norm(sound)) for n in frames)
        kept = cosines[: math.ceil(0.4 * len(cosines))]
        scores.append(sum(kept) / len(kept))
        start += 0.5
    whole = sum(row.astype(np.float64) for row in clip.audio if not np.isnan(row).any())
    overall = np.mean([float(row @ whole / np.linalg.norm(whole)) for row in clip.visual])
    return float(np.mean(scores)), float(overall)


def test_windows_by_brute_force() -> None:
    random = np.random.default_rng(4)
    audio = unit(random, 130, 6).astype(np.float32)
    audio[:9] = np.nan
    samples = random.uniform(-0.5, 0.5, 16_000 * 6).astype(np.float32)
    clip = EmbeddedClip(0.2 + np.arange(130) * 0.04, unit(random, 130, 6).astype(np.float32), audio, samples)
    found = scored(clip)
    assert (found.lowest, found.overall) == pytest.approx(brute_force(clip), abs=1e-6)


def test_windows_without_evidence() -> None:
    """Silent windows are left out; a clip of silence or of less than a window has no score and not 0."""
    random = np.random.default_rng(5)
    times = np.arange(200) * 0.04
    visual, audio = unit(random, 200, 6).astype(np.float32), unit(random, 200, 6).astype(np.float32)
    samples = random.uniform(-0.5, 0.5, 16_000 * 8).astype(np.float32)
    quiet = samples * (np.arange(len(samples)) < 16_000 * 4)
    first = scored(EmbeddedClip(times[:101], visual[:101], audio[:101], samples))
    # Of the windows that reach into the silence, those with any sound count.
    heard = scored(EmbeddedClip(times, visual, audio, quiet))
    assert heard.lowest is not None
    assert first.lowest is not None
    assert scored(EmbeddedClip(times, visual, audio, np.zeros_like(samples))) == WindowScore(None, None)
    assert scored(EmbeddedClip(times, visual, np.full_like(audio, np.nan), samples)) == WindowScore(None, None)
    brief = scored(EmbeddedClip(times[:40], visual[:40], audio[:40], samples))
    assert brief.lowest is None
    assert brief.overall is not None


def test_window_scores_of_clips(meter: Path, tmp_path: Path) -> None:
    """A picture as bright as its sound is loud, throughout, fits better than one that belongs to another sound."""
    bundle = Bundle.open(meter)
    steady = np.full((150, 48, 64, 3), 128, np.uint8)
    loud = 0.0316 * np.sqrt(2) * np.sin(2 * np.pi * 1000 * np.arange(6 * 48_000) / 48_000)
    fits, dark = (
        window_score(bundle, write_clip(tmp_path / f"{name}.mkv", frames=frames, samples=loud.astype(np.float32)))
        for name, frames in (("fits", steady), ("dark", steady // 8))
    )
    assert fits.lowest == pytest.approx(1.0, abs=1e-3)
    assert fits.overall == pytest.approx(1.0, abs=1e-3)
    assert dark.lowest is not None
    assert dark.lowest < 0.6


def test_figures() -> None:
    """Clips without evidence count in shares of their own, in no mean and never as 0."""
    peaks = [
        Peaks((1.0, 2.0), (1.0, 2.0), 0.04, 4.0),
        Peaks((3.0,), (3.0,), 0.04, 4.0),
        Peaks((), (1.0,), 0.04, 4.0),
        Peaks((1.0, 3.0), (1.0,), 0.04, 4.0),
    ]
    lips = [LipDistance(True, 1.0, 0.2), LipDistance(True), LipDistance(False), LipDistance(True, 0.8, 0.4)]
    windows = [WindowScore(0.5, 0.7), WindowScore(None, 0.1), WindowScore(None, None), WindowScore(0.1, 0.4)]
    clips = [
        ClipResult(SyncCase(Path(str(n)), "x", group=str(n)), {}, generation=Generation({"a": lip}, {"a": w}, p))
        for n, (lip, w, p) in enumerate(zip(lips, windows, peaks, strict=True))
    ]
    found = generation_figures(SyncTrials(clips))
    assert {name: (figure["mean"], figure["clips"]) for name, figure in found["a"].items()} == {
        "lse_d": (pytest.approx(0.9), 2),
        "lse_c": (pytest.approx(0.3), 2),
        "lse_no_face": (0.25, 4),
        "lse_no_evidence": (pytest.approx(1 / 3), 3),
        "javis_score": (pytest.approx(0.3), 2),
        "javis_no_evidence": (0.5, 4),
        "avh_score": (pytest.approx(0.4), 3),
        "avh_no_evidence": (0.25, 4),
    }
    align = {name: (figure["mean"], figure["clips"]) for name, figure in found["AV-Align"].items()}
    # Of motion at 1 and 2: 0 with the sound at 3, 1 of 3 with those at 1 and 3. At 3: 0 and 1 of 2. At 1: 1 of 2, 0
    # and 1 of 2. At 1: 1 of 2 and 0.
    shuffled = [1 / 6, 1 / 4, 1 / 3, 1 / 4]
    assert align == {
        "av_align": (pytest.approx((1 + 1 + 0.5) / 3), 3),
        "av_align_shuffled": (pytest.approx(np.mean(shuffled)), 4),
        "av_align_above_shuffled": (pytest.approx((5 / 6 + 3 / 4 + 1 / 4) / 3), 3),
        "av_align_no_evidence": (0.25, 4),
    }
    assert generation_figures(SyncTrials([ClipResult(clips[0].case, {})])) == {}
    nothing = generation_figures(SyncTrials(clips[2:3]))
    assert (nothing["a"]["lse_d"]["mean"], nothing["AV-Align"]["av_align"]["mean"]) == (None, None)
    assert nothing["a"]["lse_no_evidence"]["mean"] is None


def test_command(meter: Path, tmp_path: Path) -> None:
    """Figures under the names of their bundles, in the terminal, the JSON and the page."""
    pytest.importorskip("cv2", reason="OpenCV, which measures the flow, is not installed")
    plain = write_fake_bundle(tmp_path / "plain")
    (tmp_path / "clips").mkdir()
    face_clip(tmp_path / "clips" / "face.mkv", speaking)
    write_clip(tmp_path / "clips" / "dark.mkv", frames=frames_of(absent(np.zeros(150))), seconds=SECONDS, seed=3)
    options = ["--offsets", "0", "--generation-metrics", "all", "--json", tmp_path / "a.json"]
    command = ["eval", "sync", tmp_path / "clips", "--bundle", meter, "--bundle", plain, *options]
    result = CliRunner().invoke(main, [*map(str, command), "--html", str(tmp_path / "a.html")])
    assert result.exit_code == 0, result.output
    made = json.loads((tmp_path / "a.json").read_text())
    metrics = {name: (metric["value"], metric["count"]) for name, metric in made["metrics"].items()}
    assert metrics["meter.lse_no_face"] == (0.5, 2)
    assert metrics["meter.lse_d"][1] == metrics["meter.lse_c"][1] == 1
    assert "plain.lse_d" not in metrics
    assert metrics["plain.javis_score"][1] == metrics["meter.javis_score"][1] == 2
    assert metrics["AV-Align.av_align_no_evidence"] == (1.0, 2)
    assert made["metrics"]["AV-Align.av_align"]["value"] is None
    assert {"lse", "av-align", "javis"} <= made["protocol"].keys()
    tests = {(row["method"], row["test"]) for row in made["rows"]["trials"]}
    assert {("meter", "LSE"), ("meter", "JavisScore"), ("plain", "JavisScore"), ("AV-Align", "AV-Align")} <= tests
    page = (tmp_path / "a.html").read_text()
    for heading in ("LSE-D", "JavisScore", "AVHScore", "AV-Align"):
        assert heading in page
        assert heading in result.output


def test_what_cannot_be_measured_is_refused(meter: Path, tmp_path: Path) -> None:
    """LSE without a face path, and unknown names."""
    plain = write_fake_bundle(tmp_path / "plain")
    require_usable({"plain": Bundle.open(plain), "meter": Bundle.open(meter)}, ("lse",))
    with pytest.raises(ConfigError, match="no bundle has a face path"):
        require_usable({"plain": Bundle.open(plain)}, ("lse", "javis"))
    write_clip(tmp_path / "clip.mkv")
    command = ["eval", "sync", str(tmp_path), "--bundle", str(plain), "--generation-metrics", "lse,best"]
    done = CliRunner().invoke(main, command)
    assert (done.exit_code, "'best' is none of all, lse, av-align, javis" in done.output) == (2, True)
