"""Held-out measurements during a run: when, which is best, early stop, and the same after interruptions."""

import json
import os
import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from cavsync.data.sources.classes import ClassLabels, ClipClasses
from cavsync.errors import CheckpointError, ConfigError, DataError
from cavsync.model.checkpoint import load_model
from cavsync.model.config import ModelConfig
from cavsync.run import Run, RunFolder
from cavsync.train import TrainConfig, Trainer, override, preset
from cavsync.train.classify_config import ClassifyConfig
from cavsync.train.state import RunState
from cavsync.train.tasks.classification import Classification
from cavsync.train.validation import Validation

QUICK: dict[str, Any] = {
    **{"workers": 0, "precision": "32-true", "accelerator": "cpu", "log_every_steps": 1, "max_steps": 6},
    **{"checkpoint_every_steps": 1, "keep_checkpoints": 9, "held_out_share": 0.25},
}


def trainer(run_dir: Path, **values: Any) -> Trainer:
    """A short pretraining run."""
    return Trainer(*override(*preset("debug"), QUICK | values), run_dir)


def logged(run_dir: Path, name: str) -> list[tuple[int, float]]:
    """(step, value) of every line of the log that has it."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line[name]) for line in lines if name in line]


def best_state(run_dir: Path) -> dict[str, Any]:
    """The best checkpoint's progress, without its time."""
    return {**json.loads(RunFolder(run_dir).best.state.read_text()), "elapsed_seconds": 0.0}


def test_when_a_measurement_is_due() -> None:
    """By steps, by whole epochs of 7 / 3 steps, never twice."""

    def due(steps_per_epoch: float = 7 / 3, **values: int) -> list[int]:
        validation = Validation(TrainConfig(**values), "held_out_accuracy", steps_per_epoch)
        return [step for step in range(15) if validation.is_due(RunState(step))]

    assert due() == []
    assert due(validate_every_steps=4) == [4, 8, 12]
    assert due(validate_every_epochs=1) == [3, 5, 7, 10, 12, 14]
    assert due(validate_every_epochs=3) == [7, 14]
    assert due(0.25, validate_every_epochs=1) == list(range(1, 15))
    assert not Validation(TrainConfig(validate_every_steps=4), "", 1.0).is_due(RunState(8, validated_step=8))


@pytest.mark.parametrize(("best_by", "sign"), [("loss", 1.0), ("metric", -1.0)])
def test_what_is_best(best_by: Any, sign: float) -> None:
    """Equal values and those that are no numbers are no better; patience counts from the best."""
    config = TrainConfig(validate_every_steps=1, best_by=best_by, early_stop_patience=3)
    validation = Validation(config, "held_out_map", 1.0)
    state, best, over = RunState(), [], []
    for step, value in enumerate((float("nan"), 3.0, 2.0, 2.0, float("inf") * sign, 1.0, 1.5, 1.5, 1.5), start=1):
        found = {"held_out_loss": 0.0, "held_out_map": 0.0, validation.criterion: sign * value}
        state = validation.judge(RunState(**{**asdict(state), "step": step}), found)
        best.append(state.best_step)
        over.append(validation.is_over(state))
    assert best == [0, 2, 3, 3, 3, 6, 6, 6, 6]
    assert over == [False] * 8 + [True]
    assert validation.summary(state) == {f"best_{validation.criterion}": sign * 1.0, "best_step": 6.0}
    with pytest.raises(DataError, match="No held-out clip"):
        validation.judge(state, {})


def test_the_best_weights_are_kept(clips: Path, tmp_path: Path) -> None:
    """Those of the lowest loss in the log; measuring changes no step; the folder opens like a step."""
    result = trainer(tmp_path / "run", validate_every_steps=2, learning_rate=0.02, ema_decay=0.5).run(clips)
    trainer(tmp_path / "plain", learning_rate=0.02, ema_decay=0.5).run(clips)
    assert logged(tmp_path / "run", "loss") == logged(tmp_path / "plain", "loss")
    assert not (tmp_path / "plain" / "checkpoints" / "best").exists()
    held_out = logged(tmp_path / "run", "held_out_loss")
    assert [step for step, _ in held_out] == [2, 4, 6]
    value, step = min((value, step) for step, value in held_out)
    assert (result.metrics["best_held_out_loss"], result.metrics["best_step"]) == (value, step)
    best = Run.open(tmp_path / "run" / "checkpoints" / "best")
    assert (best.step, best.checkpoint.path.name, len(best.checkpoint.weight_files)) == (step, "best", 2)
    wanted = load_model(tmp_path / "run", step).state_dict()
    for name, found in load_model(tmp_path / "run" / "checkpoints" / "best").state_dict().items():
        assert torch.equal(found, wanted[name]), name
    with pytest.raises(ConfigError, match=f"best' is step {step}, but step 1 is asked for"):
        best.at(1)
    with pytest.raises(CheckpointError, match="has no best checkpoint: train it with validate_every_steps"):
        load_model(tmp_path / "plain" / "checkpoints" / "best")


def test_early_stop_and_going_on(clips: Path, tmp_path: Path) -> None:
    """A rate that changes nothing ends the run after the patience, in whatever pieces; more patience goes on."""
    options = {"validate_every_epochs": 1, "learning_rate": 1e-30, "max_steps": 40, "best_by": "metric"}
    result = trainer(tmp_path / "run", early_stop_patience=2, **options).run(clips)
    steps = [step for step, _ in logged(tmp_path / "run", "held_out_accuracy")]
    assert (result.is_early, result.state.step, result.state.best_step) == (True, steps[2], steps[0])
    again = trainer(tmp_path / "run", early_stop_patience=2, **options).run(clips, resume=True)
    assert (again.is_early, again.state.step) == (True, steps[2])
    longer = trainer(tmp_path / "run", early_stop_patience=4, **options).run(clips, resume=True)
    assert (longer.is_early, longer.state.not_better, longer.state.best_step) == (True, 4, steps[0])
    with pytest.raises(CheckpointError, match="best_by"):
        trainer(tmp_path / "run", **options | {"best_by": "loss"}).run(clips, resume=True)


@pytest.mark.parametrize("stop_at", [2, 3])
def test_interrupted_runs_find_the_same_best(stop_at: int, clips: Path, tmp_path: Path) -> None:
    """Also where the signal comes in a step that is to be measured."""
    options = {"validate_every_steps": 2, "learning_rate": 0.02, "max_steps": 5}
    whole = trainer(tmp_path / "whole", **options).run(clips)
    parts = trainer(tmp_path / "parts", **options)
    parts.report = lambda step, *_: os.kill(os.getpid(), signal.SIGTERM) if step == stop_at else None
    assert parts.run(clips).signal_number == signal.SIGTERM
    end = trainer(tmp_path / "parts", **options).run(clips, resume=True)
    for name in ("loss", "held_out_loss"):
        assert logged(tmp_path / "parts", name) == logged(tmp_path / "whole", name)
    assert [step for step, _ in logged(tmp_path / "whole", "held_out_loss")] == [2, 4, 5]
    assert best_state(tmp_path / "parts") == best_state(tmp_path / "whole")
    kept = [{**asdict(result.state), "elapsed_seconds": 0.0} for result in (whole, end)]
    assert kept[0] == kept[1]


def test_map_of_several_labels() -> None:
    """Of all clips together, whatever their batches; a class without a clip has none."""
    random = np.random.default_rng(3)
    scores, targets = random.random((20, 4), dtype=np.float32), random.random((20, 4)) < 0.4
    targets[:, 2] = False
    options = ClassifyConfig(target="multi-label")
    task = Classification(
        ModelConfig(), TrainConfig(classify=options), options, ClipClasses(ClassLabels.of_names("abcd"), ())
    )
    wanted = np.mean([average_precision_score(targets[:, c], scores[:, c]) for c in (0, 1, 3)])
    for size in (7, 20):
        parts = [(scores[i : i + size], targets[i : i + size]) for i in range(0, 20, size)]
        assert task.over_clips(parts) == {task.metric: pytest.approx(wanted)}


def test_contradictions_are_refused(clips: Path, tmp_path: Path) -> None:
    """Two intervals, patience without measurements, and nothing to measure on."""
    for values, sentence in (
        ({"validate_every_steps": 1, "validate_every_epochs": 1}, "drop one"),
        ({"early_stop_patience": 1}, "there are none"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            trainer(tmp_path / "run", **values)
    with pytest.raises(ConfigError, match="holds out 0 clips for 1 processes"):
        trainer(tmp_path / "run", validate_every_steps=1, held_out_share=0.0).run(clips)
