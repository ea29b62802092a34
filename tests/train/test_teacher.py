"""Runs with a second path and a teacher (TG-DP): what stays as it was, exact resuming, options that fit together."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from cavsync.errors import CheckpointError, ConfigError
from cavsync.model.checkpoint import load_model
from cavsync.model.masking import ranked
from cavsync.run import RunFolder
from cavsync.train import Trainer, override, preset
from cavsync.train.config import TrainConfig
from cavsync.train.schedule import teacher_decay
from cavsync.train.tasks.pretraining import Pretraining

QUICK: dict[str, Any] = {
    "workers": 0,
    "precision": "32-true",
    "accelerator": "cpu",
    "max_steps": 4,
    "log_every_steps": 1,
    "checkpoint_every_steps": 1,
    "keep_checkpoints": 9,
    "held_out_share": 0.25,
    "learning_rate": 1e-3,
}
GUIDED: dict[str, Any] = {
    "contrast_mask": "teacher",
    "teacher_decay": 0.6,
    "teacher_decay_end": 0.9,
    "distil_loss_weight": 0.1,
    "contrast_loss_weight": 0.1,
}


def trainer(run_dir: Path, **values: Any) -> Trainer:
    """A run of the preset debug."""
    return Trainer(*override(*preset("debug"), QUICK | values), run_dir)


def lines(run_dir: Path) -> list[str]:
    """The log without the time that steps took."""
    text = (run_dir / "metrics.jsonl").read_text()
    return [",".join(part for part in line.split(",") if "elapsed" not in part) for line in text.splitlines()]


def assert_same(one: Path, other: Path, step: int = 4) -> None:
    """The same losses, weights and optimizer, to the last bit."""
    assert lines(one) == lines(other)
    first, second = RunFolder(one).checkpoint(step), RunFolder(other).checkpoint(step)
    assert first.weights.read_bytes() == second.weights.read_bytes()
    moments = [torch.load(files.optimizer) for files in (first, second)]
    assert moments[0].keys() == moments[1].keys()
    for name, state in moments[0].items():
        assert all(torch.equal(value, moments[1][name][key]) for key, value in state.items()), name


@pytest.mark.parametrize(
    ("plain", "guided"),
    [
        ({}, {"teacher_decay": 1.0}),
        (
            {"contrast_loss_weight": 0.0},
            {"contrast_loss_weight": 0.0, "contrast_mask": "teacher", "teacher_decay": 1.0},
        ),
        ({"contrast_loss_weight": 0.0}, {"contrast_loss_weight": 0.0, "contrast_mask": "random"}),
    ],
)
def test_without_weight_it_is_the_pretraining_of_before(
    plain: dict[str, Any], guided: dict[str, Any], clips: Path, tmp_path: Path
) -> None:
    """A teacher of decay 1 and losses of weight 0 change no bit of the run."""
    trainer(tmp_path / "plain", **plain).run(clips)
    trainer(tmp_path / "guided", **plain | guided).run(clips)
    assert_same(tmp_path / "plain", tmp_path / "guided")


def test_the_teacher_is_a_moving_average(clips: Path, tmp_path: Path) -> None:
    """Of the encoder's weights after each step, with the decay of the schedule, from the weights of the start."""
    trainer(tmp_path / "run", **GUIDED).run(clips)
    folder, (model, config) = RunFolder(tmp_path / "run"), override(*preset("debug"), QUICK | GUIDED)
    torch.manual_seed(config.seed)
    average = {name: value.double() for name, value in Pretraining(model, config).build().state_dict().items()}
    for step in range(1, 5):
        decay = teacher_decay(config, (step - 1) / 4)
        found = load_file(folder.checkpoint(step).teacher)
        for name, value in load_model(tmp_path / "run", step).state_dict().items():
            average[name] = decay * average[name] + (1 - decay) * value.double()
            if name in found:
                torch.testing.assert_close(found[name].double(), average[name], rtol=1e-5, atol=1e-7)
    assert {name for name in average if name not in found} == {name for name in average if "decoder" in name} | {
        "mask_token"
    }


def test_a_run_that_is_cut_ends_like_one_that_is_not(clips: Path, tmp_path: Path) -> None:
    """Bit for bit, the teacher too; without its file a checkpoint is refused."""
    trainer(tmp_path / "whole", **GUIDED).run(clips)
    for number in range(3):
        cut = trainer(tmp_path / "cut", **GUIDED)
        reports: list[int] = []

        def stop(step: int, *_: Any, reports: list[int] = reports) -> None:
            # The first step of a session has a checkpoint by then, the second has none.
            reports.append(step)
            if len(reports) == 2:
                raise KeyboardInterrupt

        cut.report = stop
        with pytest.raises(KeyboardInterrupt):
            cut.run(clips, resume=number > 0)
        assert RunFolder(tmp_path / "cut").latest_step() == number + 1
    result = trainer(tmp_path / "cut", **GUIDED).run(clips, resume=True)
    assert result.state.step == 4
    assert_same(tmp_path / "whole", tmp_path / "cut")
    files = [RunFolder(tmp_path / name).checkpoint(4).teacher for name in ("whole", "cut")]
    assert files[0].read_bytes() == files[1].read_bytes()
    files[1].unlink()
    with pytest.raises(CheckpointError, match=r"cannot be resumed from .*teacher"):
        trainer(tmp_path / "cut", **GUIDED, max_steps=5).run(clips, resume=True)
    with pytest.raises(CheckpointError, match="another configuration"):
        trainer(tmp_path / "whole").run(clips, resume=True)


def test_the_student_sees_what_its_teacher_ranks_first(clips: Path, tmp_path: Path) -> None:
    """Masks that reach the model are the ranks of the teacher's attention, for the inputs of the same batch."""
    run = trainer(tmp_path / "run", **GUIDED, max_steps=2)
    seen: list[tuple[Any, Any]] = []
    original = Pretraining._contrast_path

    def watch(task: Pretraining, teaching: Any, inputs: Any) -> Any:
        path = original(task, teaching, inputs)
        seen.append((copy.deepcopy(teaching), path))
        return path

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pretraining, "_contrast_path", watch)
        run.run(clips)
    assert len(seen) > 2
    for teaching, path in seen:
        assert path.mask_ratio == 0.5
        assert torch.equal(path.ids_restore_audio, ranked(teaching.audio_priority))
        assert torch.equal(path.ids_restore_visual, ranked(teaching.visual_priority))
    assert not torch.equal(seen[0][0].audio, seen[1][0].audio)


def test_its_decay_rises_along_half_a_cosine() -> None:
    config = TrainConfig(teacher_decay=0.9, teacher_decay_end=1.0)
    found = [teacher_decay(config, progress) for progress in (0.0, 0.5, 1.0, 2.0)]
    assert found == pytest.approx([0.9, 0.95, 1.0, 1.0])
    assert teacher_decay(TrainConfig(teacher_decay=0.99), 0.7) == 0.99


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"contrast_mask": "teacher"}, "contrast_mask=teacher needs a teacher"),
        ({"distil_loss_weight": 1.0}, "distil_loss_weight needs a teacher"),
        ({"teacher_decay_end": 1.0}, "teacher_decay_end needs a teacher"),
        ({"contrast_mask_ratio": 0.3}, "contrast_mask is shared"),
        ({"teacher_decay": 1.5}, "teacher_decay"),
    ],
)
def test_options_that_do_not_fit(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**values)


def test_a_classifier_has_no_teacher() -> None:
    with pytest.raises(ConfigError, match="for pretraining"):
        override(*preset("finetune-vggsound"), {"teacher_decay": 0.9})


def test_ranking_needs_a_global_token(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cls_token"):
        trainer(tmp_path / "run", **GUIDED, cls_token=False).run(clips)
    assert not (tmp_path / "run").exists()
