"""A run is told from its path, its files are found under their names, and what is wrong with it is one sentence."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavsync.errors import CheckpointError, ConfigError
from cavsync.run import CheckpointFiles, Run, RunConfig, RunFolder


def make_run(path: Path, steps: tuple[int, ...] = (), averaged: tuple[int, ...] = (), **config: Any) -> Path:
    """A folder as the documentation describes it, with empty weights."""
    path.mkdir(parents=True)
    content = {"format": 1, "model": {"depth": 2}, "train": None, "source": None, **config}
    (path / "config.json").write_text(json.dumps(content))
    for step in steps:
        folder = path / "checkpoints" / f"step-{step}"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").touch()
        if step in averaged:
            (folder / "average.safetensors").touch()
    return path


def test_the_latest_step_or_the_one_that_is_named(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", (9, 10, 100), averaged=(10,))
    run = Run.open(path)
    assert (run.name, run.step, run.named_step) == ("run", 100, None)
    assert run.checkpoint.path == path / "checkpoints" / "step-100"
    assert run.checkpoint.weight_files == (run.checkpoint.weights,)
    named = Run.open(f"{path}/checkpoints/step-10")
    assert (named.folder, named.name, named.step) == (run.folder, "run", 10)
    assert [file.name for file in named.checkpoint.weight_files] == ["model.safetensors", "average.safetensors"]
    assert run.folder.steps() == [9, 10, 100]
    assert run.at(None) is run
    assert run.at(9).step == named.at(None).at(10).step - 1 == 9
    with pytest.raises(ConfigError, match=r"step-10' is step 10, but step 9 is asked for"):
        named.at(9)


def test_the_latest_step_stays_the_same_while_training_goes_on(tmp_path: Path) -> None:
    """Weights, their hash and the number that is reported belong together."""
    path = make_run(tmp_path / "run", (1,))
    run = Run.open(path)
    assert run.step == 1
    newer = RunFolder(path).checkpoint(2)
    newer.path.mkdir()
    newer.weights.touch()
    assert (run.step, run.checkpoint.path.name) == (1, "step-1")
    assert Run.open(path).step == 2


def test_the_best_checkpoint(tmp_path: Path) -> None:
    """Its step is in its state; it is never the latest step; a damaged state is an error."""
    path = make_run(tmp_path / "run", (3,))
    best = RunFolder(path).best
    with pytest.raises(CheckpointError, match="has no best checkpoint"):
        _ = Run.open(best.path).step
    best.path.mkdir()
    best.weights.touch()
    best.state.write_text('{"step": 2}')
    run = Run.open(best.path)
    assert (run.name, run.step, run.checkpoint.path, Run.open(path).step) == ("run", 2, best.path, 3)
    for damaged in ("{", "[]", "{}", '{"step": null}'):
        best.state.write_text(damaged)
        with pytest.raises(CheckpointError, match="is damaged or unreadable"):
            _ = Run.open(best.path).step


def test_unfinished_and_foreign_folders_are_no_steps(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", (3,))
    for name in ("step-4", "step-x", "other", ".cavsync-0123456789ab.part"):
        (path / "checkpoints" / name).mkdir()
    assert RunFolder(path).steps() == [3]
    assert RunFolder(tmp_path / "none").latest_step() is None


def test_files_are_told_from_runs(tmp_path: Path) -> None:
    """A file may be a checkpoint of the authors, wherever it lies; a folder and a step are runs or errors."""
    (tmp_path / "checkpoints").mkdir()
    for file in (tmp_path / "model.pth", tmp_path / "checkpoints" / "model.pth"):
        file.touch()
        assert Run.find(file) is None
    assert Run.find(tmp_path / "missing") is None
    found = Run.find(make_run(tmp_path / "run", (1,)))
    assert found is not None
    assert found.step == 1
    with pytest.raises(CheckpointError, match="is not a run"):
        Run.find(tmp_path)
    with pytest.raises(
        CheckpointError, match="not a step of a run: give the run, or its checkpoints/step-N or checkpoints/best"
    ):
        Run.find(tmp_path / "run" / "checkpoints" / "step-best")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "is not a run: it has no readable config.json, check the path"),
        ("{", "is not valid JSON: restore it, or train or convert again"),
        ("[]", "is not of format 1: read it with the cavsync version that wrote it"),
        ('{"format": 2, "model": {}}', "is not of format 1"),
        ('{"format": 1}', r"is damaged \(model: Field required\): restore it"),
        ('{"format": 1, "model": {}, "label_dim": "many"}', r"is damaged \(label_dim: "),
        ('{"format": 1, "model": {}, "label_dim": 3, "head": "round"}', r"is damaged \(head: "),
    ],
)
def test_what_is_no_configuration(content: str | None, sentence: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        Run.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_steps_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no checkpoint yet: train it first"):
        _ = Run.open(make_run(tmp_path / "new")).step
    path = make_run(tmp_path / "run", (5,))
    for run in (Run.open(path).at(4), Run.open(path / "checkpoints" / "step-4")):
        with pytest.raises(CheckpointError, match="has no step 4: its latest is 5"):
            _ = run.checkpoint


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
RECORDS = st.dictionaries(st.text(), VALUES)


@given(
    model=RECORDS,
    train=st.none() | RECORDS,
    source=st.none() | RECORDS,
    classifier=st.none() | st.tuples(st.integers(1, 600), st.sampled_from(["linear", "attention"])),
)
def test_configurations_survive(
    model: Any, train: Any, source: Any, classifier: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is written is read again, under the keys of the format; those of classifiers only for classifiers."""
    is_classifier = classifier is not None
    kind = {"label_dim": classifier[0], "head": classifier[1]} if is_classifier else {}
    config = RunConfig(model=model, train=train, source=source, **kind)
    path = tmp_path_factory.mktemp("run") / "config.json"
    path.write_text(config.to_text(), encoding="utf-8")
    wanted = {"format": 1, "model": model, **kind, "train": train, "source": source}
    content = json.loads(path.read_text(encoding="utf-8"))
    assert list(content) == list(wanted)
    assert content == json.loads(json.dumps(wanted))
    run = Run.open(path.parent)
    assert run.config == config
    assert run.is_classifier == is_classifier


def test_held_out_clips_and_classes(tmp_path: Path) -> None:
    """None where the run noted none; a damaged note is an error."""
    run = Run.open(make_run(tmp_path / "run", label_dim=2))
    assert run.held_out_clips() == []
    assert run.class_labels_file is None
    (tmp_path / "run" / "held_out.json").write_text('{"clips": ["/clips/a.mp4", "b.mp4"]}')
    (tmp_path / "run" / "class_labels.csv").touch()
    assert run.held_out_clips() == [Path("/clips/a.mp4"), Path("b.mp4")]
    assert run.class_labels_file == tmp_path / "run" / "class_labels.csv"
    for damaged in ("{", "[]", '{"clips": 3}', '{"clips": [1]}', "{}"):
        (tmp_path / "run" / "held_out.json").write_text(damaged)
        with pytest.raises(CheckpointError, match=r"held_out\.json' is damaged"):
            run.held_out_clips()


def test_a_run_in_the_current_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_run(tmp_path / "run", (1,)))
    assert Run.open(".").name == "run"
    assert Run.open("checkpoints/step-1").name == "run"


def test_names_of_the_files() -> None:
    """The format of a run: other programs, and runs that exist, depend on it."""
    folder, files = RunFolder(Path("run")), CheckpointFiles(Path("step-1"))
    run_files = (folder.config_file, folder.class_labels_file, folder.data_file, folder.held_out_file)
    assert [path.name for path in run_files] == ["config.json", "class_labels.csv", "data.json", "held_out.json"]
    assert (folder.lock_file.name, folder.metrics_file.name) == (".lock", "metrics.jsonl")
    assert (folder.tensorboard.name, folder.non_finite_file(7).name) == ("tensorboard", "non_finite_step_7.json")
    names = [path.name for path in (files.weights, files.average, files.optimizer, files.state)]
    assert names == ["model.safetensors", "average.safetensors", "optimizer.pt", "state.json"]


def test_no_torch() -> None:
    """Commands that only look into a run start at once."""
    code = "import sys, cavsync.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
