"""21 classes of offsets, calibration of the confidence, manifests and checkpoints in the sync test."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from fake_bundle import write_fake_bundle
from hypothesis import given
from hypothesis import strategies as st
from small_models import TUBELETS, small_model
from sync_clips import write_clip

from cavsync.cli.main import main
from cavsync.deploy import Bundle
from cavsync.errors import DataError
from cavsync.evaluate.inputs.model_bundle import bundle_of_checkpoint
from cavsync.evaluate.results.result import read_result
from cavsync.evaluate.sync.cases import SyncCase, sync_cases
from cavsync.evaluate.sync.measure import ClipResult, SyncTests, evaluate_sync
from cavsync.evaluate.sync.offset_classes import ClassTrial, class_offset_ms, nearest_class
from cavsync.evaluate.sync.plan import plan_of, write_plans
from cavsync.evaluate.sync.report.class_metrics import class_figures
from cavsync.evaluate.sync.report.protocol import sync_protocol
from cavsync.evaluate.sync.trial_list import TrialListLine, read_trial_list
from cavsync.model.checkpoint import load_model, save_model

OPTIONS: Any = {"offsets_ms": (0.0, 130.0), "classes_per_clip": 3, "seed": 4}
TESTS = SyncTests(offsets_ms=(0.0, 130.0), classes_per_clip=3)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(write_fake_bundle(tmp_path_factory.mktemp("bundles") / "meter", max_offset_ms=400.0))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mkv", seconds=10.0, audio_offset_ms=130.0)


@given(st.floats(-5000, 5000))
def test_classes_are_the_nearest(offset_ms: float) -> None:
    distances = [abs(class_offset_ms(number) - offset_ms) for number in range(21)]
    assert distances[nearest_class(offset_ms)] == pytest.approx(min(distances))
    assert [class_offset_ms(number) for number in (0, 10, 20)] == [-2000, 0, 2000]


def test_a_good_meter_knows_its_class(bundle: Bundle, clip: Path) -> None:
    """All 21 classes of a clip whose own offset is known; the wrong truth of 400 ms moves the answers two classes."""
    line = TrialListLine(path=clip.name, classes=tuple(range(21)))
    case = SyncCase(clip, "lamp", 130.0, trials=line)
    classes = evaluate_sync({"meter": bundle}, [case], TESTS).clips[0].classes["meter"]
    assert [trial.true_class for trial in classes] == list(range(21))
    assert [trial.answered_class for trial in classes] == list(range(21))
    wrong = evaluate_sync({"meter": bundle}, [replace(case, true_offset_ms=530.0)], TESTS).clips[0]
    middle = [trial for trial in wrong.classes["meter"] if 3 <= trial.true_class <= 17]
    assert len(middle) > 5
    assert {trial.answered_class - trial.true_class for trial in middle if trial.answered_class is not None} == {-2}


def test_short_clips_are_not_asked_for_classes(bundle: Bundle, tmp_path: Path) -> None:
    """Three seconds cannot hold a search of ±2.1 s: the clip is left out of this test and said to be."""
    path = write_clip(tmp_path / "short.mkv", seconds=3.0)
    result = evaluate_sync({"meter": bundle}, [SyncCase(path, "lamp")], TESTS)
    assert result.clips[0].classes["meter"] == ()
    assert class_figures(result.clips)["meter"]["accuracy"]["mean"] is None


def test_methods_are_asked_for_the_same_classes() -> None:
    """One method finds the second clip too short: the other's answers to it do not count either."""
    right, wrong = (ClassTrial(3, 3),), (ClassTrial(3, 9),)
    clips = [
        ClipResult(SyncCase(Path("long"), "lamp", group="1"), {}, {"a": right, "b": wrong}),
        ClipResult(SyncCase(Path("short"), "lamp", group="2"), {}, {"a": (), "b": right}),
    ]
    found = class_figures(clips)
    assert found["a"]["accuracy"] == {"mean": 1.0, "low": None, "high": None, "clips": 1}
    assert found["b"]["accuracy"]["mean"] == 0.0


def test_a_manifest_repeats_the_test(bundle: Bundle, clip: Path, tmp_path: Path) -> None:
    """Trials written down and read back give the same estimates, whatever the seed and the place in the list."""
    cases = [SyncCase(clip, "siren", 130.0, source="studio", group="one")]
    plans = [plan_of(case, **OPTIONS) for case in cases]
    write_plans(tmp_path / "m.jsonl", cases, plans)
    (again,) = sync_cases(tmp_path / "m.jsonl")
    assert (again.path.resolve(), again.kind, again.source, again.true_offset_ms) == (clip, "siren", "studio", 130.0)
    assert again.group == "one"
    first = evaluate_sync({"meter": bundle}, cases, TESTS, seed=4).clips[0]
    second = evaluate_sync({"meter": bundle}, [again], SyncTests(offsets_ms=(5.0,), classes_per_clip=1), seed=99).clips[
        0
    ]
    assert (first.trials, first.classes) == (second.trials, second.classes)
    assert sync_cases(tmp_path / "m.jsonl", {"kind": ("siren",)}) == [again]
    with pytest.raises(DataError, match="no clip that was selected"):
        sync_cases(tmp_path / "m.jsonl", {"kind": ("harp",)})
    with pytest.raises(DataError, match="no entry 'colour'"):
        sync_cases(tmp_path / "m.jsonl", {"colour": ("red",)})


def test_trials_are_those_of_the_name(clip: Path, tmp_path: Path) -> None:
    """A clip keeps its trials whatever lies beside it and wherever the folder lies; another one gets others."""
    plans = []
    for place, names in (("a", ["x/1.mkv", "y/1.mkv"]), ("b", ["w/0.mkv", "x/1.mkv", "y/1.mkv"])):
        for name in names:
            (tmp_path / place / name).parent.mkdir(parents=True)
            (tmp_path / place / name).write_bytes(b"")
        plans.append({case.name: plan_of(case, **OPTIONS) for case in sync_cases(tmp_path / place)})
    few, more = plans
    assert list(more) == ["w/0.mkv", "x/1.mkv", "y/1.mkv"]
    assert few == {name: more[name] for name in few}
    assert len({plan.classes for plan in more.values()}) == 3
    case = SyncCase(clip, "lamp")
    assert plan_of(case, **OPTIONS) != plan_of(case, **{**OPTIONS, "seed": 5})


def test_the_protocol_says_what_moves_the_numbers(bundle: Bundle, clip: Path) -> None:
    """A bundle of another grid and a selection are other protocols; a manifest fixes trials only where it holds
    some."""
    options: Any = {"only": {"kind": ("siren", "lamp")}, "min_seconds": 2.0}
    drawn, fixed = SyncCase(clip, "siren"), SyncCase(clip, "siren", trials=TrialListLine(path="c", classes=(3,)))
    first = sync_protocol({"m": bundle.manifest}, [drawn], TESTS, **options)
    grid: Any = first["models"]
    assert grid["m"] == {
        **asdict(bundle.manifest.sync), "paths": ["whole"], "zero_point_ms": 0.0, "threshold": 0.5,
        "joint_blocks_chained": False,
    }  # fmt: skip
    assert (first["only"], first["min_seconds"]) == ({"kind": "siren or lamp"}, 2.0)
    assert first["offsets"] == "0, 130 ms for every clip"
    assert "variants" not in first
    hashes = {"m": "0123456789abcdef"}
    assert sync_protocol({"m": bundle.manifest}, [drawn], TESTS, **options, sha256=hashes) == first
    judging = replace(TESTS, absolute_offset=True)
    ruler = sync_protocol({"m": bundle.manifest}, [drawn], judging, **options, sha256=hashes)
    assert ruler["measured_by"] == {"m": "0123456789ab"}
    finer = replace(bundle.manifest, sync=replace(bundle.manifest.sync, hop_ms=20.0))
    other = sync_protocol({"m": finer}, [drawn], TESTS, **options)
    assert {name for name in first if first[name] != other[name]} == {"models"}
    chained = replace(bundle.manifest, model=bundle.manifest.model | {"chain_joint_blocks": True})
    found: Any = sync_protocol({"m": chained}, [drawn], TESTS, **options)["models"]
    assert found["m"] == {**grid["m"], "joint_blocks_chained": True}
    mixed = sync_protocol({"m": bundle.manifest}, [drawn, fixed], TESTS, **options)
    assert mixed["offsets"] == first["offsets"]
    assert mixed["injected_classes"] == "fixed by the manifest for 1 of 2 clips, else 3 per clip, each once"
    assert sync_protocol({}, [fixed], TESTS, **options)["injected_classes"] == "fixed by the manifest"


def test_entries_of_others_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"path": "a.mp4", "colour": "red"}\n\n{"path": "b.mp4", "colour": "blue", "generated": true}\n')
    assert [case.path.name for case in sync_cases(path, {"colour": ("blue",)})] == ["b.mp4"]
    assert [case.path.name for case in sync_cases(path, {"generated": ("true",)})] == ["b.mp4"]
    assert read_trial_list(path)[0].audio_offset_ms == 0


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"kind": "speech"}',
        '{"path": ""}',
        '{"path": "a", "audio_offset_ms": NaN}',
        '{"path": "a", "audio_offset_ms": "early"}',
        '{"path": "a", "injected_offsets_ms": []}',
        '{"path": "a", "injected_offsets_ms": [1e9]}',
        '{"path": "a", "classes": [21]}',
        '{"path": "a", "grid_shift": 2}',
    ],
)
def test_lines_that_do_not_fit(line: str, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"path": "a.mp4"}\n' + line + "\n")
    with pytest.raises(DataError, match="Line 2 of"):
        sync_cases(path)


def test_empty_and_unreadable_manifests(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text("\n")
    with pytest.raises(DataError, match="names no clip"):
        sync_cases(tmp_path / "m.jsonl")
    (tmp_path / "m.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read"):
        sync_cases(tmp_path / "m.jsonl")


def test_a_checkpoint_scores_like_its_model(tmp_path: Path) -> None:
    """The bundle in memory gives the model's vectors, and no decision, as nothing has calibrated it."""
    save_model(small_model(**TUBELETS), tmp_path / "run", 2)
    model_id, bundle = bundle_of_checkpoint(tmp_path / "run")
    assert model_id.kind == "run"
    segments = np.random.default_rng(0).normal(-5, 4, (2, 80, 128)).astype(np.float32)
    pooled = (
        load_model(tmp_path / "run")
        .eval()
        .encode_audio((torch.from_numpy(segments) + 5.081) / 4.4849)
        .pooled.detach()
        .numpy()
    )
    np.testing.assert_allclose(
        bundle.embed_audio(segments), pooled / np.linalg.norm(pooled, axis=1, keepdims=True), atol=1e-5
    )
    path = write_clip(tmp_path / "clip.mkv", seconds=4.0)
    (found,) = evaluate_sync({"run": bundle}, [SyncCase(path, "lamp")], SyncTests()).clips
    assert [trial.answer.decided for trial in found.trials["run"]] == [False] * 5
    assert all(trial.answer.confidence is None for trial in found.trials["run"])


def test_command_with_a_manifest_and_a_run(bundle: Bundle, clip: Path, tmp_path: Path) -> None:
    """The whole line: a folder, its trials written down, the same trials again, and both results equal."""
    outs = [tmp_path / "a.json", tmp_path / "b.json"]
    manifest = tmp_path / "m.jsonl"
    for data, out, more in (
        (clip.parent, outs[0], ["--write-manifest", str(manifest), "--html", str(tmp_path / "a.html")]),
        (manifest, outs[1], []),
    ):
        options = ["--bundle", str(bundle.path), "--offsets", "0,80", "--classes", "2", "--json", str(out), *more]
        done = CliRunner().invoke(main, ["eval", "sync", str(data), *options])
        assert done.exit_code == 0, done.output
    first, second = (read_result(out) for out in outs)
    assert first.metrics == second.metrics
    assert first.provenance.models[0].sha256 == json.loads(outs[1].read_text())["provenance"]["models"][0]["sha256"]
    assert first.metrics["meter.two_choice_50_ms"].value is not None
    assert "<svg" in (tmp_path / "a.html").read_text()
    for options, status in (([], 2), (["--bundle", str(bundle.path), "--set", "num_heads=2"], 2)):
        assert CliRunner().invoke(main, ["eval", "sync", str(clip.parent), *options]).exit_code == status
