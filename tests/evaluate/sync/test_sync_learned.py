"""From generated clips to a sense of time: a short training run, and the two choices on clips never seen."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generated_clips import make_clips

from cavsync.evaluate.inputs.model_bundle import bundle_of_checkpoint
from cavsync.evaluate.sync.cases import sync_cases
from cavsync.evaluate.sync.measure import SyncTests, evaluate_sync
from cavsync.model import CAVMAESync
from cavsync.model.checkpoint import save_model
from cavsync.train import Trainer, override, preset

TEST_CLIPS = 6
CLIPS: dict[str, Any] = {"families": ["impacts", "keys"], "duration_seconds": 4.0, "size": (96, 96), "clutter": 0.0}
# Moments a tenth of a second apart and few of them: a step takes a fraction of the preset's time.
QUICK: dict[str, Any] = {
    "max_steps": 40, "batch_clips": 4, "instants_per_clip": 16, "instant_spacing_seconds": 0.1, "accelerator": "cpu",
    "precision": "32-true", "workers": 0,
}  # fmt: skip
MARGIN = 0.25


def two_choice_share(run: Path, clips: Path) -> float:
    """How often the clip is preferred to itself shifted by 300 or 500 ms, both ways."""
    _, bundle = bundle_of_checkpoint(run)
    result = evaluate_sync({"run": bundle}, sync_cases(clips), SyncTests(offsets_ms=(0.0,)))
    assert len(result.clips) == TEST_CLIPS
    trials = [trial for clip in result.clips for trial in clip.trials["run"]]
    return float(np.mean([t.answer.two_choice(t.offset_ms, shift) for t in trials for shift in (300.0, 500.0)]))


@pytest.mark.slow
def test_a_short_run_tells_in_sync_from_shifted(tmp_path: Path) -> None:
    """A chance of one half is beaten by far on clips never seen; the same model untrained stays below that."""
    make_clips(tmp_path / "train", 24, seed=1, **CLIPS)
    make_clips(tmp_path / "test", TEST_CLIPS, seed=99, **CLIPS)
    model, config = override(*preset("demo"), QUICK)
    Trainer(model, config, tmp_path / "run").run(tmp_path / "train")
    torch.manual_seed(0)
    save_model(CAVMAESync(model), tmp_path / "untrained", 0)
    learned, untrained = (two_choice_share(tmp_path / name, tmp_path / "test") for name in ("run", "untrained"))
    assert learned > 0.5 + MARGIN > untrained
