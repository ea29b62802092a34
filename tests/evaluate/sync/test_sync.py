"""The sync test, on clips whose offset is known and a bundle that measures light and loudness."""

import csv
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from fake_bundle import write_fake_bundle
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sync_clips import write_clip

from cavsync.cli.main import main
from cavsync.deploy import Bundle
from cavsync.errors import DataError
from cavsync.evaluate.results.intervals import share_of_clips
from cavsync.evaluate.sync.baseline_inputs import read_baseline_inputs
from cavsync.evaluate.sync.cases import SyncCase, sync_cases
from cavsync.evaluate.sync.files.clip_lengths import long_enough
from cavsync.evaluate.sync.files.shifted_file import write_shifted_file
from cavsync.evaluate.sync.judges import BASELINES
from cavsync.evaluate.sync.measure import SyncTests, evaluate_sync
from cavsync.evaluate.sync.motion_baseline import estimate_offset_ms, motion_curves
from cavsync.evaluate.sync.report.metrics import corrected_error_ms
from cavsync.evaluate.sync.two_choices import TWO_CHOICE_SHIFTS_MS


@pytest.fixture(scope="module")
def bundle_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_bundle(tmp_path_factory.mktemp("bundles") / "meter", max_offset_ms=400.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two kinds of clips that are in sync, one that cannot be read, and their table."""
    out = tmp_path_factory.mktemp("clips")
    for seed in range(3):
        write_clip(out / f"clip{seed}.mkv", seconds=5.0, seed=seed)
    (out / "bad.mkv").write_bytes(b"nothing")
    with (out / "manifest.csv").open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["path", "kind", "use"])
        for name, kind in (("clip0", "lamp"), ("clip1", "lamp"), ("clip2", "siren"), ("bad", "siren")):
            writer.writerow([f"{name}.mkv", kind, "no" if name == "bad" else "yes"])
    return out


@pytest.mark.parametrize("true_offset_ms", [0.0, 170.0])
def test_a_good_meter_passes(true_offset_ms: float, bundle_dir: Path, tmp_path: Path) -> None:
    """Offsets put into files are found to a few milliseconds, whatever the clip's own offset, and every choice is
    right."""
    path = write_clip(tmp_path / "clip.mkv", seconds=6.0, audio_offset_ms=true_offset_ms)
    case = SyncCase(path, "lamp", true_offset_ms)
    tests = SyncTests(offsets_ms=(0.0, 150.0, -230.0, 33.0))
    (clip,) = evaluate_sync({"meter": Bundle.open(bundle_dir)}, [case], tests).clips
    trials = clip.trials["meter"]
    assert [trial.injected_ms for trial in trials] == [0.0, 150.0, -230.0, 33.0]
    assert [trial.offset_ms for trial in trials] == [true_offset_ms + trial.injected_ms for trial in trials]
    assert max(corrected_error_ms(trial) for trial in trials) <= 10
    assert all(trial.answer.decided and trial.answer.path == "whole" for trial in trials)
    credits = [trial.answer.two_choice(trial.offset_ms, shift) for trial in trials for shift in TWO_CHOICE_SHIFTS_MS]
    assert {credit for credit in credits if not np.isnan(credit)} == {1.0}
    assert set(clip.trials) == {"meter", *BASELINES}


def test_a_wrong_truth_fails(bundle_dir: Path, tmp_path: Path) -> None:
    """A clip that is said to be in sync and is 300 ms off: the errors are 300 ms, and so is the choice at 300 ms, at
    least one way. A test that could not fail would prove nothing."""
    path = write_clip(tmp_path / "clip.mkv", seconds=6.0, audio_offset_ms=300.0)
    tests = SyncTests(offsets_ms=(0.0, -50.0))
    (clip,) = evaluate_sync({"meter": Bundle.open(bundle_dir)}, [SyncCase(path, "lamp", 0.0)], tests).clips
    trials = clip.trials["meter"]
    assert [corrected_error_ms(trial) for trial in trials] == pytest.approx([300.0] * 2, abs=12)
    assert trials[1].answer.two_choice(trials[1].offset_ms, 300.0) <= 0.5


def test_report_and_command(bundle_dir: Path, folder: Path, tmp_path: Path) -> None:
    """Kinds come from the table, rejects are named, shares have intervals; --only chooses rows."""
    out = tmp_path / "report.json"
    options = ["--offsets", "0,-120", "--wrong-sound", "--variants", "mirror,fps15", "--classes", "1"]
    done = CliRunner().invoke(
        main, ["eval", "sync", str(folder), "--bundle", str(bundle_dir), *options, "--json", str(out)]
    )
    assert done.exit_code == 0, done.output
    report = json.loads(out.read_text())
    assert {Path(name).name for name in report["rejects"]} == {"bad.mkv"}
    rows = report["rows"]
    assert (rows["clips"], rows["groups"]) == (3, 3)
    assert {kind: content["clips"] for kind, content in rows["kinds"].items()} == {"all": 3, "lamp": 2, "siren": 1}
    meter = rows["kinds"]["all"]["methods"]["meter"]["raw"]
    assert list(meter) == ["all", "-120", "0"]
    assert meter["all"]["within_40_ms"] == {
        "mean": 1.0,
        "low": pytest.approx(0.025 ** (1 / 3)),
        "high": 1.0,
        "clips": 6,
    }
    assert meter["0"]["two_choice"]["50"]["mean"] == 1.0
    assert set(rows["kinds"]["all"]["methods"]) == {"meter", *BASELINES}
    assert list(rows["sources"]) == [folder.name]
    assert rows["wrong_sound"]["meter"]["clips"] == 3
    assert rows["wrong_sound"]["meter"]["decided"]["mean"] < 1
    assert rows["variants"]["meter"]["mirror"]["median_movement_ms"]["mean"] < 1
    assert rows["variants"]["meter"]["fps15"]["p95_movement_ms"]["mean"] < 20
    assert report["metrics"]["meter.mirror_moved"]["value"] == 0
    assert report["protocol"]["variants"] == ["mirror", "fps15"]
    chosen = [case.path.name for case in sync_cases(folder, {"use": ("yes",), "kind": ("siren",)})]
    assert chosen == ["clip2.mkv"]


def test_a_column_may_be_named_twice(bundle_dir: Path, folder: Path) -> None:
    """Either value will do: the siren of `use=no` is chosen, which cannot be read."""
    chosen = sync_cases(folder, {"kind": ("siren", "lamp"), "use": ("yes",)})
    assert [case.path.name for case in chosen] == ["clip0.mkv", "clip1.mkv", "clip2.mkv"]
    words = ["--only", "kind=siren", "--only", "use=no", "--only", "kind=harp"]
    done = CliRunner().invoke(main, ["eval", "sync", str(folder), "--bundle", str(bundle_dir), *words])
    assert done.exit_code == 1, done.output
    assert "bad.mkv" in done.output


@pytest.mark.parametrize("options", [["--offsets", "0,x"], ["--offsets", "0,0"], ["--offsets", "nan"],
                                     ["--variants", "sepia"], ["--path", "face"]])  # fmt: skip
def test_options_that_are_refused(options: list[str], bundle_dir: Path, folder: Path) -> None:
    done = CliRunner().invoke(main, ["eval", "sync", str(folder), "--bundle", str(bundle_dir), *options])
    assert done.exit_code == 2, done.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_tests_keep_what_is_done(
    number: int, bundle_dir: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal in the second clip writes the figures of the first, says so, and still ends as interrupted."""
    done: list[Path] = []

    def shifted(source: Path, *rest: Any) -> Path:
        done.append(source)
        if len(done) == 2:
            signal.raise_signal(number)
        return write_shifted_file(source, *rest)

    monkeypatch.setattr("cavsync.evaluate.sync.measure.write_shifted_file", shifted)
    out = tmp_path / "report.json"
    options = ["--bundle", str(bundle_dir), "--offsets", "0", "--json", str(out)]
    found = CliRunner().invoke(main, ["eval", "sync", str(folder), *options])
    assert found.exit_code == 128 + number
    report = json.loads(out.read_text())
    assert report["rows"]["clips"] == 1
    assert "first 1 clips" in report["notes"][0]


def test_rejected_clips_are_named(bundle_dir: Path, tmp_path: Path) -> None:
    """The message names the clip, not its temporary copy."""
    path = write_clip(tmp_path / "short.mkv", seconds=1.0)
    result = evaluate_sync({"meter": Bundle.open(bundle_dir)}, [SyncCase(path, "lamp")])
    assert list(result.rejects) == [str(path)]
    assert result.rejects[str(path)].startswith(f"{path} lasts 1.00 s")


def test_short_clips_are_left_out_on_request(folder: Path) -> None:
    """The clip that cannot be read stays, to be rejected by name."""
    cases = sync_cases(folder)
    assert long_enough(cases, 4.9) == cases
    assert [case.path.name for case in long_enough(cases, 5.1)] == ["bad.mkv"]
    with pytest.raises(DataError, match="lasts 9 s"):
        long_enough([case for case in cases if case.path.name != "bad.mkv"], 9.0)


@pytest.mark.parametrize("name", ["manifest.csv", "truth.jsonl"])
def test_the_truth_is_part_of_the_data(name: str, bundle_dir: Path, folder: Path, tmp_path: Path) -> None:
    """Another true offset of the same clips is other data."""
    hashes = []
    for offset_ms in (0.0, 120.0):
        data = tmp_path / f"{offset_ms:.0f}" / "clips"
        data.mkdir(parents=True)
        shutil.copy(folder / "clip0.mkv", data)
        record = {"file": "clip0.mkv", "family": "lamp", "audio_offset_ms": offset_ms}
        table = f"path,audio_offset_ms\nclip0.mkv,{offset_ms}\n"
        (data / name).write_text(json.dumps(record) if name == "truth.jsonl" else table)
        out = tmp_path / f"{offset_ms:.0f}.json"
        done = CliRunner().invoke(
            main, ["eval", "sync", str(data), "--bundle", str(bundle_dir), "--offsets", "0", "--json", str(out)]
        )
        assert done.exit_code == 0, done.output
        hashes.append(json.loads(out.read_text())["provenance"]["data"][0]["sha256"])
    assert hashes[0] != hashes[1]


def test_cases_that_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'colour'"):
        sync_cases(folder, {"colour": ("red",)})
    with pytest.raises(DataError, match="no clip that was selected"):
        sync_cases(folder, {"kind": ("harp",)})
    with pytest.raises(DataError, match="no clip"):
        sync_cases(tmp_path)
    (tmp_path / "manifest.csv").write_text("file\na.mp4\n")
    with pytest.raises(DataError, match="expected 'path'"):
        sync_cases(tmp_path)
    for row in ("a.mp4,early", "a.mp4"):
        (tmp_path / "manifest.csv").write_text(f"path,audio_offset_ms\n{row}\n")
        with pytest.raises(DataError, match="a number"):
            sync_cases(tmp_path)


def test_motion_curves_are_the_estimate_s(tmp_path: Path) -> None:
    """The peak of the curve is where the estimate of the baseline lies, which is tested on its own."""
    path = write_clip(tmp_path / "clip.mkv", seconds=6.0, audio_offset_ms=120.0)
    frames, times, samples = read_baseline_inputs(path)
    found = estimate_offset_ms(frames, times, samples, 16_000, 500.0)
    lags_ms, energy, rise = motion_curves(frames, times, samples, 16_000, 500.0)
    assert -lags_ms[np.argmax(energy)] == found.energy.audio_offset_ms
    assert energy.max() == pytest.approx(found.energy.correlation)
    assert -lags_ms[np.argmax(rise)] == found.rise.audio_offset_ms


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=60), st.integers(0, 99))
def test_intervals_hold_the_mean(values: list[float], seed: int) -> None:
    """The interval holds the mean, and is about that of a normal approximation where there are many clips."""
    assume(len(set(values)) > 1)
    share = share_of_clips(values, seed)
    assert share.mean == pytest.approx(np.mean(values))
    assert share.low is not None
    assert share.high is not None
    assert share.low - 1e-9 <= np.mean(values) <= share.high + 1e-9
    if len(values) >= 30:
        half = 1.96 * np.std(values) / np.sqrt(len(values))
        assert share.high - share.low == pytest.approx(2 * half, rel=0.3, abs=0.02)


@pytest.mark.parametrize("count", [2, 10, 100])
def test_clips_that_all_agree_leave_doubt(count: int) -> None:
    exact = binomtest(count, count).proportion_ci(0.95, method="exact")
    every, none = share_of_clips([1.0] * count), share_of_clips([0.0] * count)
    assert (every.low, every.high) == (pytest.approx(exact.low), 1.0)
    assert (none.low, none.high) == (0.0, pytest.approx(1 - exact.low))
    assert (share_of_clips([0.5] * count).low, share_of_clips([1.0] * count, statistic=np.median).low) == (None, None)


def test_too_few_for_an_interval() -> None:
    assert share_of_clips([]).mean is None
    assert (share_of_clips([0.5]).low, share_of_clips([0.5]).clips) == (None, 1)
