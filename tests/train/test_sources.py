"""What a run reads: several sources, their repeats, clips held out on purpose, damaged shards."""

import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from generated_clips import make_clips

from cavsync.data.shards import PackOptions
from cavsync.data.shards.pack import pack
from cavsync.errors import ConfigError, DataError
from cavsync.model import ModelConfig
from cavsync.train import Trainer, override, preset
from cavsync.train.config import TrainConfig
from cavsync.train.data import RunData
from cavsync.train.ranks import Ranks
from cavsync.train.split import RunPaths

QUICK: dict[str, Any] = {"workers": 0, "precision": "32-true", "max_steps": 3, "cache_clips": False}


def opened(paths: RunPaths, **options: Any) -> RunData:
    model, train = override(*preset("debug"), QUICK | options)
    assert isinstance(model, ModelConfig)
    assert isinstance(train, TrainConfig)
    return RunData.open(paths, model, train, Ranks())


def test_repeats_and_held_out_sources(clips: Path, tmp_path: Path) -> None:
    """An epoch visits each source as often as asked, another way each time; what is held out is never trained on."""
    other, kept = make_clips(tmp_path / "other", 2, seed=8), make_clips(tmp_path / "kept", 2, seed=9)
    data = opened(RunPaths((clips, other), (kept,)), repeats=(1, 3), batch_clips=7)
    assert data.steps_per_epoch == 2
    draws = [draw for batch in data.plan(0, 2) for draw in batch]
    assert Counter(clip for clip, _ in draws) == {**dict.fromkeys(range(8), 1), 8: 3, 9: 3}
    assert len(set(draws)) == 14
    assert data.held_out_indices == [10, 11]
    assert {Path(name).parent.name for name in data.held_out_files()} == {"kept"}
    with pytest.raises(ConfigError, match="3 numbers for 2 data sources"):
        opened(RunPaths((clips, other)), repeats=(1, 1, 1))


def test_shards_and_folders_train_together(clips: Path, tmp_path: Path) -> None:
    """Several kinds of source in one run, from worker processes."""
    shards = tmp_path / "shards"
    pack(clips, shards, PackOptions(frames=8, short_side_px=64, shard_clips=3), workers=1)
    result = Trainer(*override(*preset("debug"), QUICK | {"workers": 2}), tmp_path / "run").run(shards, clips)
    assert result.state.step == 3
    assert result.metrics["rejected_clips"] == 0


def damage(shards: Path) -> None:
    """Cut one tar short, spoil a frame of another, empty a third."""
    tars = sorted(shards.glob("*.tar"))
    tars[0].write_bytes(tars[0].read_bytes()[: tars[0].stat().st_size // 2])
    with tarfile.open(tars[1]) as tar:
        for member in tar.getmembers():
            if member.name.endswith(".jpg"):
                with tars[1].open("r+b") as stream:
                    stream.seek(member.offset_data)
                    stream.write(b"\0" * 64)
    tars[2].write_bytes(b"")


def test_damaged_shards_are_counted_and_too_many_stop_the_run(clips: Path, tmp_path: Path) -> None:
    """Whole clips are trained on, the others counted and named; past the set share the run ends with the list."""
    shards = tmp_path / "shards"
    pack(clips, shards, PackOptions(frames=8, short_side_px=64, shard_clips=2), workers=1)
    damage(shards)
    options = QUICK | {"batch_clips": 2, "held_out_share": 0.0, "max_steps": 6, "max_rejected_share": 1.0}
    result = Trainer(*override(*preset("debug"), options), tmp_path / "run").run(shards)
    assert result.state.step == 6
    # One of the cut tar, both with spoilt frames, both of the empty one.
    assert result.metrics["rejected_clips"] == pytest.approx(5, abs=1)
    with pytest.raises(DataError, match=r"clips cannot be used .*max_rejected_share.*shard-00000"):
        Trainer(*override(*preset("debug"), options | {"max_rejected_share": 0.1}), tmp_path / "run2").run(shards)
