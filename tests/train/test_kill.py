"""Whenever a run is killed, resuming it gives what it would have given."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from killed_run import NUM_STEPS
from talking_clips import write_talking_clips
from waiting import PATIENCE_SECONDS

from cavsync.data.shards import PackOptions
from cavsync.data.shards.pack import pack
from cavsync.model.checkpoint import load_face, load_model
from cavsync.run import Run, RunFolder

KILLS = 24


def lives(data: Path, run_dir: Path, kills: int, preset_name: str = "debug") -> tuple[int, int]:
    """Train with so many kills; returns the kills, and those in the middle of a checkpoint."""
    script = Path(__file__).resolve().parent.parent / "support" / "killed_run.py"
    done = subprocess.run(
        [sys.executable, str(script), str(data), str(run_dir), str(kills), preset_name],
        check=True,
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE_SECONDS,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    killed, in_checkpoint = done.stdout.split()[-2:]
    return int(killed), int(in_checkpoint)


def curve(run_dir: Path, name: str = "loss") -> list[tuple[int, float]]:
    """(step, value) of every line of the log that has it, in its order."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line[name]) for line in lines if name in line]


@pytest.mark.slow
def test_killed_runs_end_like_others(clips: Path, tmp_path: Path) -> None:
    """Over twenty SIGKILLs, some in the middle of a checkpoint: the same losses, to the last bit, weights and
    teacher."""
    shards = tmp_path / "shards"
    pack(clips, shards, PackOptions(short_side_px=96, shard_clips=3), workers=1)
    assert lives(shards, tmp_path / "whole", 0) == (0, 0)
    killed, in_checkpoint = lives(shards, tmp_path / "killed", KILLS)
    assert killed >= 20
    assert in_checkpoint >= 3
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")
    assert [step for step, _ in curve(tmp_path / "killed")] == list(range(1, NUM_STEPS + 1))
    held_out = curve(tmp_path / "killed", "held_out_loss")
    assert held_out == curve(tmp_path / "whole", "held_out_loss")
    best = Run.open(tmp_path / "killed" / "checkpoints" / "best")
    assert (best.step, min(held_out, key=lambda found: found[1])[0]) == (
        Run.open(tmp_path / "whole" / "checkpoints" / "best").step,
        best.step,
    )
    for name, value in load_model(best.checkpoint.path).state_dict().items():
        assert torch.equal(value, load_model(tmp_path / "whole" / "checkpoints" / "best").state_dict()[name]), name
    assert RunFolder(tmp_path / "killed").steps() == [NUM_STEPS - 2, NUM_STEPS]
    teachers = [RunFolder(tmp_path / name).checkpoint(NUM_STEPS).teacher.read_bytes() for name in ("whole", "killed")]
    assert teachers[0] == teachers[1]
    whole, other = load_model(tmp_path / "whole").state_dict(), load_model(tmp_path / "killed").state_dict()
    for name, value in whole.items():
        assert torch.equal(other[name], value), name


@pytest.mark.slow
def test_killed_face_runs_end_like_others(tmp_path: Path) -> None:
    """Also while faces are followed, and while offsets are measured: the same losses, offsets and weights."""
    clips = write_talking_clips(tmp_path / "clips", 4)
    assert lives(clips, tmp_path / "whole", 0, "sync-face") == (0, 0)
    # Whether a kill falls into the writing of a checkpoint is left to chance here: these are small.
    killed, _ = lives(clips, tmp_path / "killed", KILLS, "sync-face")
    assert killed >= 15
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")
    offsets = [RunFolder(tmp_path / name).face_offsets_file.read_bytes() for name in ("killed", "whole")]
    assert offsets[0] == offsets[1]
    whole, other = load_face(tmp_path / "whole").state_dict(), load_face(tmp_path / "killed").state_dict()
    for name, value in whole.items():
        assert torch.equal(other[name], value), name
