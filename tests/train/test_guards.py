"""What a run refuses, in one sentence and before anything is lost."""

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from cavsync.errors import CheckpointError, ConfigError, DataError
from cavsync.model import CAVMAESync
from cavsync.train import Trainer, override, preset

SMALL: dict[str, Any] = {"workers": 0, "precision": "32-true", "max_steps": 1, "accelerator": "cpu"}


def trainer(run_dir: Path, **values: Any) -> Trainer:
    return Trainer(*override(*preset("debug"), SMALL | values), run_dir)


def some_of(clips: Path, folder: Path, chosen: slice) -> Path:
    """A folder with links to some of the clips."""
    folder.mkdir()
    for clip in sorted(clips.glob("*.mp4"))[chosen]:
        (folder / clip.name).symlink_to(clip)
    return folder


def test_a_run_goes_on_with_its_own_clips_only(clips: Path, tmp_path: Path) -> None:
    """Fewer clips would move what is held out."""
    first = some_of(clips, tmp_path / "first", slice(6))
    fewer = some_of(clips, tmp_path / "fewer", slice(5))
    trainer(tmp_path / "run").run(first)
    with pytest.raises(CheckpointError, match="begun with other clips"):
        trainer(tmp_path / "run", max_steps=2).run(fewer, resume=True)
    assert trainer(tmp_path / "run", max_steps=2).run(first, resume=True).state.step == 2


def test_one_session_at_a_time(clips: Path, tmp_path: Path) -> None:
    """A folder whose lock another process holds is refused; when that one ends, by whatever death, it is free."""
    trainer(tmp_path / "run").run(clips)
    (held_read, held_write), (free_read, free_write) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        with (tmp_path / "run" / ".lock").open("w") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            os.write(held_write, b"x")
            os.read(free_read, 1)
            os._exit(0)
    os.read(held_read, 1)
    with pytest.raises(CheckpointError, match="by another session"):
        trainer(tmp_path / "run", max_steps=2).run(clips, resume=True)
    os.write(free_write, b"x")
    os.waitpid(child, 0)
    assert trainer(tmp_path / "run", max_steps=2).run(clips, resume=True).state.step == 2


def test_what_is_held_out_cannot_be_trained_on(clips: Path, tmp_path: Path) -> None:
    """A clip named by --data and --held-out is refused, whatever the path to it is; no folder is left behind."""
    kept = some_of(clips, tmp_path / "kept", slice(2))
    with pytest.raises(ConfigError, match="both to be trained on and held out"):
        trainer(tmp_path / "run").run(clips, held_out=[kept])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_damaged_optimizer_state_is_one_sentence(damage: str, clips: Path, tmp_path: Path) -> None:
    """A cut file, and a file of another model: which checkpoint it is, and what to do."""
    trainer(tmp_path / "run").run(clips)
    path = tmp_path / "run" / "checkpoints" / "step-1" / "optimizer.pt"
    assert path.is_file()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        torch.save({"no such parameter": {"step": torch.tensor(1.0)}}, path)
    with pytest.raises(CheckpointError, match="delete it to use the one before"):
        trainer(tmp_path / "run", max_steps=2).run(clips, resume=True)


def test_a_gradient_that_is_not_finite_stops_before_the_weights(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is finite and one gradient is not: the run stops, no checkpoint holds NaN, the batch is named."""
    plain = CAVMAESync.forward

    def poisoned(model: CAVMAESync, *inputs: Any, **options: Any) -> Any:
        output = plain(model, *inputs, **options)
        for weight in filter(lambda weight: weight.requires_grad, model.parameters()):
            weight.register_hook(lambda gradient: gradient * float("nan"))
        return output

    monkeypatch.setattr(CAVMAESync, "forward", poisoned)
    with pytest.raises(DataError, match=r"The gradient of step 0 is not finite.*\.mp4"):
        trainer(tmp_path / "run").run(clips)
    assert list((tmp_path / "run").glob("non_finite_step_*.json"))
    assert not list((tmp_path / "run").glob("checkpoints/step-*"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 can be used"):
        trainer(tmp_path / "run", accelerator="cuda").run(clips)
