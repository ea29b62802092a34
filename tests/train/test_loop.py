"""Runs on real (generated) clips: they learn, stop, resume exactly, and never write over one another."""

import functools
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import small_inputs, small_model

from cavsync.errors import CheckpointError, ConfigError, DataError
from cavsync.model import CAVMAESync
from cavsync.model.checkpoint import load_model
from cavsync.train import Trainer, override, preset
from cavsync.train.loop import prepare

SMALL: dict[str, dict[str, Any]] = {
    "debug": {"workers": 1, "precision": "32-true", "max_steps": 6, "log_every_steps": 1},
    "sync-tiny": {
        "workers": 1,
        "precision": "32-true",
        "max_steps": 6,
        "log_every_steps": 1,
        "batch_clips": 3,
        "instants_per_clip": 6,
        "embed_dim": 32,
        "num_heads": 4,
    },
}
SMALL["demo"] = SMALL["sync-tiny"]


def trainer(name: str, run_dir: Path, **values: Any) -> Trainer:
    """A short run of a preset."""
    return Trainer(*override(*preset(name), SMALL[name] | values), run_dir)


def losses(run_dir: Path) -> dict[int, float]:
    """Loss by step, as metrics.jsonl holds it; of a step that was logged twice, the last."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


@pytest.mark.parametrize("name", ["debug", "sync-tiny"])
def test_run_leaves_what_is_promised(name: str, clips: Path, tmp_path: Path) -> None:
    """config.json, checkpoints, metrics, TensorBoard events, held-out clips; weights load again."""
    result = trainer(name, tmp_path / "run").run(clips)
    assert result.state.step == 6
    assert {"held_out_loss", "held_out_accuracy", "loss"} <= set(result.metrics)
    assert sorted(losses(tmp_path / "run")) == [1, 2, 3, 4, 5, 6]
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.tfevents*"))
    held_out = json.loads((tmp_path / "run" / "held_out.json").read_text())["clips"]
    assert len(held_out) == 1
    assert Path(held_out[0]).is_file()
    assert sum(p.numel() for p in load_model(tmp_path / "run").parameters()) > 0


def test_resume_is_exact(clips: Path, tmp_path: Path) -> None:
    """Three steps and three more give the losses and weights of six in a row."""
    trainer("debug", tmp_path / "whole").run(clips)
    trainer("debug", tmp_path / "parts", max_steps=3).run(clips)
    trainer("debug", tmp_path / "parts").run(clips, resume=True)
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), rel=1e-6)
    whole, parts = load_model(tmp_path / "whole").state_dict(), load_model(tmp_path / "parts").state_dict()
    for key, value in whole.items():
        torch.testing.assert_close(parts[key], value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("name", "number"), [("debug", signal.SIGINT), ("sync-tiny", signal.SIGTERM)])
def test_signal_leaves_a_checkpoint(name: str, number: int, clips: Path, tmp_path: Path) -> None:
    """Ctrl-C or SIGTERM in step 2 stops after it, and resuming ends where the uninterrupted run does."""
    run = trainer(name, tmp_path / "run")
    run.report = lambda step, *_: os.kill(os.getpid(), number) if step == 2 else None
    result = run.run(clips)
    assert (result.state.step, result.signal_number) == (2, number)
    assert trainer(name, tmp_path / "run").run(clips, resume=True).state.step == 6
    trainer(name, tmp_path / "whole").run(clips)
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "whole"), rel=1e-6)


def test_never_overwrites(clips: Path, tmp_path: Path) -> None:
    """A folder with anything in it is refused, and so is resuming with another configuration."""
    trainer("debug", tmp_path / "run", max_steps=1).run(clips)
    with pytest.raises(ConfigError, match="--resume"):
        trainer("debug", tmp_path / "run").run(clips)
    with pytest.raises(CheckpointError, match="learning_rate"):
        trainer("debug", tmp_path / "run", learning_rate=0.5).run(clips, resume=True)


def test_a_run_from_before_an_option_existed_is_resumed(clips: Path, tmp_path: Path) -> None:
    """It has the option's default, and is refused with any other value."""
    trainer("debug", tmp_path / "run", max_steps=1).run(clips)
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    del content["train"]["segments"], content["train"]["augmentation"]["mask_fill"]
    path.write_text(json.dumps(content))
    for name, value in (("segments", "published"), ("mask_fill", "zero"), ("channels", "first")):
        with pytest.raises(CheckpointError, match="another configuration"):
            trainer("debug", tmp_path / "run", max_steps=2, **{name: value}).run(clips, resume=True)
    assert trainer("debug", tmp_path / "run", max_steps=2).run(clips, resume=True).state.step == 2


def test_time_budget_ends_the_run(clips: Path, tmp_path: Path) -> None:
    """A run stops when its minutes are over, long before its steps."""
    result = trainer("debug", tmp_path / "run", max_steps=10**6, max_minutes=0.02).run(clips)
    assert 1 <= result.state.step < 10**5


def test_rejects_are_counted_not_replaced(clips: Path, tmp_path: Path) -> None:
    """A damaged file is left out of the batches and counted; nothing but damaged files is an error."""
    mixed, broken = tmp_path / "mixed", tmp_path / "broken"
    for folder in (mixed, broken):
        folder.mkdir()
        (folder / "broken.mp4").write_bytes(b"no video at all")
    for clip in sorted(clips.glob("*.mp4"))[:5]:
        (mixed / clip.name).symlink_to(clip)
    for cache in (True, False):
        result = trainer(
            "debug", tmp_path / f"run-{cache}", cache_clips=cache, max_steps=4, max_rejected_share=0.2
        ).run(mixed)
        assert result.metrics["rejected_clips"] == 1
    with pytest.raises(DataError, match="unreadable"):
        trainer("debug", tmp_path / "run-broken").run(broken)


def test_non_finite_loss_names_the_clips(clips: Path, tmp_path: Path) -> None:
    """A run that diverges stops with the names of the batch instead of saving NaN."""
    with pytest.raises(DataError, match=r"not finite.*\.mp4"):
        trainer("debug", tmp_path / "run", learning_rate=1e30, max_steps=20).run(clips)
    found = next((tmp_path / "run").glob("non_finite_step_*.json"))
    batch = json.loads(found.read_text())["clips"]
    assert len(batch) == 4
    assert all(Path(name).is_file() for name in batch)


def test_it_learns(clips: Path, tmp_path: Path) -> None:
    """Contrast falls well below chance on the clips that it sees."""
    run_dir = tmp_path / "run"
    plain = {"mirror": 0.0, "crop_area": (1.0, 1.0), "colour": 0.0, "noise_floor": False, "frequency_mask_bins": 0}
    trainer("demo", run_dir, max_steps=60, instant_spacing_seconds=0.2, **plain).run(clips)
    curve = losses(run_dir)
    first, last = [curve[step] for step in range(1, 6)], [curve[step] for step in range(56, 61)]
    assert sum(last) < 0.85 * sum(first)


@pytest.mark.parametrize("option", ["activation_checkpointing", pytest.param("compile", marks=pytest.mark.slow)])
def test_switches_change_no_number(option: str, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recomputed or compiled (its front end only, so that no code is generated), a run has the same losses."""
    monkeypatch.setattr(CAVMAESync, "compile", functools.partialmethod(CAVMAESync.compile, backend="aot_eager"))
    trainer("debug", tmp_path / "plain", max_steps=3).run(clips)
    trainer("debug", tmp_path / "switched", max_steps=3, **{option: True}).run(clips)
    assert losses(tmp_path / "switched") == pytest.approx(losses(tmp_path / "plain"), rel=1e-5)
    # Parameters keep their names: the run loads like any other.
    load_model(tmp_path / "switched")


def test_activation_checkpointing_keeps_less() -> None:
    """Bytes kept for the backward pass shrink to a fraction."""
    kept = []
    for checkpointed in (False, True):
        model, config = small_model(depth=6, modality_specific_depth=5), preset("debug")[1]
        prepare(model, config.model_copy(update={"activation_checkpointing": checkpointed}))
        tensors: list[torch.Tensor] = []

        def note(tensor: torch.Tensor, tensors: list[torch.Tensor] = tensors) -> torch.Tensor:
            tensors.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            model(*small_inputs(model.config))
        names = {parameter.data_ptr() for parameter in model.parameters()}
        kept.append(sum(t.nbytes for t in {t.data_ptr(): t for t in tensors if t.data_ptr() not in names}.values()))
    assert kept[1] < 0.5 * kept[0]
