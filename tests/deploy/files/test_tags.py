"""Classes of files over time: against probabilities by hand, of bundles without torch and of runs, in every format."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from exported import lively_model
from fake_bundle import write_fake_bundle
from numpy.typing import NDArray
from small_models import classifier_of
from sync_clips import write_clip

from cavsync.cli.main import main
from cavsync.data.batches import normalised_frames
from cavsync.data.clip import load_clip
from cavsync.data.logmel import normalise
from cavsync.data.sampling import SamplePlan, take_sample
from cavsync.data.sources.classes import ClassLabels
from cavsync.deploy.files.tags import TagTotals, TagWindow
from cavsync.deploy.sinks.tag_file import tag_file
from cavsync.evaluate.classify.classifier import open_classifier
from cavsync.export import export_bundle
from cavsync.model.checkpoint import save_model
from cavsync.model.classifier import CAVMAEFT

CLASSES = ["=drum", "bell & <gong>", "speech"]
EVERY = 0.2


def make_run(path: Path, target: str | None, mode: str = "multimodal") -> Path:
    """A classifier as training leaves it, whose logits differ from frame to frame."""
    torch.manual_seed(3)
    model = classifier_of(lively_model(), len(CLASSES))
    with torch.no_grad():
        model.mlp_head[1].weight.mul_(20)
    classify = {"mode": mode} | ({} if target is None else {"target": target})
    save_model(model, path, 0, train={"classify": classify})
    ClassLabels.of_names(CLASSES).write(path / "class_labels.csv")
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of three seconds, and one below it that is shorter than the model's segment."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "more").mkdir()
    write_clip(folder / "long.mkv", seconds=3.0)
    write_clip(folder / "more" / "short.mkv", seconds=0.6, seed=2)
    return folder


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("tag") / "run", "multi-label")


@pytest.fixture(scope="module")
def bundle_dir(run_dir: Path) -> Path:
    export_bundle(run_dir, run_dir.parent / "bundle", calibration_clips=[])
    return run_dir.parent / "bundle"


def tag(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["tag", *map(str, arguments)])


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def by_hand(path: Path, run_dir: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times and probabilities of every fifth frame, as `eval classify` computes them."""
    opened = open_classifier(run_dir)
    config = opened.model.config
    clip = load_clip(path, config.img_size)
    plan = SamplePlan(config.audio_length, config.num_frames, config.frame_step_seconds, pad=True)
    sample = take_sample(clip, np.arange(0, len(clip.frames), 5), plan)
    with torch.no_grad():
        frames = normalised_frames(torch.from_numpy(sample.frames[sample.tubelets]))
        logits = opened.model(normalise(sample.audio.values), frames, opened.mode).double()
    found = logits.sigmoid() if opened.target == "multi-label" else logits.softmax(dim=1)
    return sample.times_seconds, found.numpy()


def dense(row: dict[str, Any], key: str = "probability") -> list[float]:
    named = {found["class"]: found[key] for found in row["classes"]}
    return [named[name] for name in CLASSES]


@pytest.mark.parametrize("kind", ["run", "bundle"])
def test_against_probabilities_by_hand(kind: str, clips: Path, run_dir: Path, bundle_dir: Path, tmp_path: Path) -> None:
    """Per window and per file, also at the ends of the audio and where it is shorter than a segment."""
    model = run_dir if kind == "run" else bundle_dir
    options = ("--frame-rate", 1 / EVERY, "--window-seconds", 0.5, "--top", 3, "--min-probability", 0)
    result = tag(clips, "--out", tmp_path / "out", "--model", model, *options)
    assert result.exit_code == 0, result.output
    assert "2 of 2 inputs" in result.output
    for name in ("long.mkv", "more/short.mkv"):
        times, wanted = by_hand(clips / name, run_dir)
        *windows, whole = rows_of(tmp_path / "out" / f"{name}.jsonl")
        places = np.floor(times / 0.5 + 1e-9)
        assert [row["start_seconds"] for row in windows] == [0.5 * place for place in np.unique(places)]
        means = [wanted[places == place].mean(axis=0) for place in np.unique(places)]
        for row, mean in zip(windows, means, strict=True):
            assert (row["kind"], row["source"]) == ("window", str(clips / name))
            assert row["end_seconds"] == row["start_seconds"] + 0.5
            assert dense(row) == pytest.approx(mean, abs=2e-3)
        assert (whole["kind"], whole["frames"]) == ("file", len(times))
        assert dense(whole) == pytest.approx(wanted.mean(axis=0), abs=2e-3)
        assert dense(whole, "highest") == pytest.approx(np.max(means, axis=0), abs=2e-3)
        order = [found["probability"] for found in whole["classes"]]
        assert order == sorted(order, reverse=True)
    assert np.ptp(by_hand(clips / "long.mkv", run_dir)[1], axis=0).max() > 0.02
    made = json.loads((tmp_path / "out" / "tags.json").read_text())
    assert made["options"]["target"] == "multi-label"


def test_a_head_on_clips_takes_a_window_as_a_clip(clips: Path, tmp_path: Path) -> None:
    """Three frames of each second together; of the last window, whose frames are fewer, some twice."""
    torch.manual_seed(4)
    model = CAVMAEFT(lively_model().config, len(CLASSES), "self_attention_cls")
    train = {"classify": {"mode": "multimodal", "target": "multi-label"}, "instants_per_clip": 3}
    save_model(model, tmp_path / "run", 0, train=train)
    ClassLabels.of_names(CLASSES).write(tmp_path / "run" / "class_labels.csv")
    options = ("--model", tmp_path / "run", "--top", 3, "--min-probability", 0)
    done = tag(clips / "long.mkv", "--out", tmp_path / "out", *options, "--window-seconds", 1)
    assert done.exit_code == 0, done.output
    *windows, whole = rows_of(tmp_path / "out" / "long.mkv.jsonl")
    opened = open_classifier(tmp_path / "run")
    config = opened.model.config
    clip = load_clip(clips / "long.mkv", config.img_size)
    plan = SamplePlan(config.audio_length, config.num_frames, config.frame_step_seconds, pad=True)
    # The first frames at or after each third of a second.
    for second, window in enumerate(windows):
        sample = take_sample(clip, 25 * second + np.array([0, 8, 17]), plan)
        with torch.no_grad():
            frames = normalised_frames(torch.from_numpy(sample.frames[sample.tubelets]))
            wanted = opened.model(normalise(sample.audio.values), frames, "multimodal", 3).sigmoid()[0]
        assert dense(window) == pytest.approx(wanted.tolist(), abs=2e-3)
    assert len(windows) == 3
    assert dense(whole) == pytest.approx(np.mean([dense(window) for window in windows], axis=0), abs=1e-3)
    refused = tag(clips / "long.mkv", "--out", tmp_path / "x", *options, "--frame-rate", 5)
    assert (refused.exit_code, "takes 3 frames of a window together" in refused.output) == (2, True)
    assert tag(clips / "more" / "short.mkv", "--out", tmp_path / "y", *options).exit_code == 0


def test_no_torch(clips: Path, bundle_dir: Path, tmp_path: Path) -> None:
    """Bundles are used where torch is not installed."""
    code = "import sys; sys.modules['torch'] = None; from cavsync.cli.main import main; main(sys.argv[1:])"
    meter, long = write_fake_bundle(tmp_path / "meter"), clips / "long.mkv"
    for command in (
        ["tag", long, "--out", tmp_path / "out", "--model", bundle_dir],
        ["embed", long, "--out", tmp_path / "npz", "--model", meter],
        ["embed", long, "--out", tmp_path / "parquet", "--model", meter, "--format", "parquet"],
        ["locate", long, long, "--bundle", meter],
    ):
        words = [sys.executable, "-P", "-c", code, *map(str, command)]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), command
    assert [row["kind"] for row in rows_of(tmp_path / "out" / "long.mkv.jsonl")] == ["window"] * 3 + ["file"]


@pytest.mark.parametrize("mode", ["audio-only", "visual-only"])
def test_one_modality_and_exclusive_classes(mode: str, clips: Path, tmp_path: Path) -> None:
    """Probabilities of classes that exclude each other add up to 1."""
    run = make_run(tmp_path / "run", "single-label", mode)
    options = ("--frame-rate", 5, "--min-probability", 0)
    assert tag(clips / "long.mkv", "--out", tmp_path / "out", "--model", run, *options).exit_code == 0
    whole = rows_of(tmp_path / "out" / "long.mkv.jsonl")[-1]
    assert sum(dense(whole)) == pytest.approx(1, abs=1e-5)
    assert dense(whole) == pytest.approx(by_hand(clips / "long.mkv", run)[1].mean(axis=0), abs=2e-3)


def test_an_unknown_target_is_asked_for(clips: Path, run_dir: Path, tmp_path: Path) -> None:
    """A guess would give other probabilities; so would a target that the training contradicts."""
    run = make_run(tmp_path / "run", None)
    clip, out = clips / "more" / "short.mkv", tmp_path / "out"
    refused = tag(clip, "--out", out, "--model", run)
    assert (refused.exit_code, "pass --target single-label if they do" in refused.output) == (2, True)
    assert tag(clip, "--out", out, "--model", run, "--target", "single-label").exit_code == 0
    other = tag(clip, "--out", tmp_path / "x", "--model", run_dir, "--target", "single-label")
    assert (other.exit_code, "was trained for multi-label classes" in other.output) == (2, True)
    changed = tag(clip, "--out", out, "--model", run, "--target", "multi-label")
    assert (changed.exit_code, "holds classes by another option" in changed.output) == (2, True)
    ClassLabels.of_names(["drum", "gong", "voice"]).write(run / "class_labels.csv")
    renamed = tag(clip, "--out", out, "--model", run, "--target", "single-label")
    assert (renamed.exit_code, "holds classes by another option" in renamed.output) == (2, True)
    empty = tag(clip, "--out", tmp_path / "y", "--model", run_dir, "--window-seconds", 0.5)
    assert (empty.exit_code, "hold no frame" in empty.output) == (2, True)


def test_what_cannot_tag(clips: Path, tmp_path: Path) -> None:
    """A bundle and a run without classes."""
    from cavsync.deploy.runtime.default_bundle import default_bundle

    found = tag(clips, "--out", tmp_path / "out", "--model", default_bundle())
    assert (found.exit_code, "has no classifier" in found.output) == (2, True)
    save_model(lively_model(), tmp_path / "run", 0)
    found = tag(clips, "--out", tmp_path / "out", "--model", tmp_path / "run")
    assert (found.exit_code, "which has no classes" in found.output) == (1, True)


WINDOWS = (
    TagWindow(0.0, 1.0, 2, np.array([0.9, 0.05, 0.6])),
    TagWindow(1.0, 2.0, 0, None),
    TagWindow(3600.0, 3601.0, 1, np.array([0.3, 0.05, 0.9])),
    TagWindow(3601.0, 3602.0, 1, np.array([0.05, 0.05, 0.0])),
)


def written(path: Path, kind: str) -> str:
    with tag_file(path, kind, "a, b.mp4", CLASSES, 2, 0.1) as writer:
        for window in WINDOWS:
            writer.write(window)
    with path.open(newline="") as stream:
        return stream.read()


def test_subtitles(tmp_path: Path) -> None:
    """Names are escaped, windows without a class have no cue, the file is a note."""
    assert written(tmp_path / "a.vtt", "vtt").split("\n\n") == [
        "WEBVTT",
        "00:00:00.000 --> 00:00:01.000\n=drum 0.90, speech 0.60",
        "01:00:00.000 --> 01:00:01.000\nspeech 0.90, =drum 0.30",
        "NOTE whole file:\n=drum 0.54, speech 0.53\n",
    ]


def test_table(tmp_path: Path) -> None:
    """A row per class, one for a window without any; what a spreadsheet would compute is quoted."""
    rows = [*csv.DictReader(written(tmp_path / "a.csv", "csv").splitlines())]
    assert [(row["kind"], row["start_seconds"], row["class"], row["probability"], row["reason"]) for row in rows] == [
        ("window", "0.0", "'=drum", "0.9", ""),
        ("window", "0.0", "speech", "0.6", ""),
        ("window", "1.0", "", "", "no audio"),
        ("window", "3600.0", "speech", "0.9", ""),
        ("window", "3600.0", "'=drum", "0.3", ""),
        ("window", "3601.0", "", "", ""),
        ("file", "", "'=drum", "0.5375", ""),
        ("file", "", "speech", "0.525", ""),
    ]
    assert {row["source"] for row in rows} == {"a, b.mp4"}
    assert [(row["highest"], row["highest_start_seconds"]) for row in rows[-2:]] == [("0.9", "0.0"), ("0.9", "3600.0")]


def test_lines_and_totals(tmp_path: Path) -> None:
    """A file of which no frame could be classified says so."""
    found = [json.loads(line) for line in written(tmp_path / "a.jsonl", "jsonl").splitlines()]
    assert [len(row["classes"]) for row in found] == [2, 0, 2, 0, 2]
    assert [row.get("reason") for row in found] == [None, "no audio", None, None, None]
    totals = TagTotals()
    totals.add(WINDOWS[1])
    assert totals.mean is None
