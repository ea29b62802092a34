"""The examples of training and export make a model in miniature and score with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from run_example import run_example
from sync_clips import write_clip

from cavsync.data.synth import draw_specs, generate

pytestmark = pytest.mark.slow


def test_a_model_is_trained_resumed_exported_and_used(tmp_path: Path) -> None:
    generate(tmp_path / "clips", draw_specs(6, 3, speech="synthetic"), workers=1)
    small = ("embed_dim=32", "depth=2", "modality_specific_depth=1", "batch_clips=2")
    said = run_example("train_tiny.py", "clips", "run", *small, "max_steps=2", folder=tmp_path)
    assert re.search(r"^step 2 of 2, loss \d+\.\d{3}$", said, re.MULTILINE)
    assert (tmp_path / "run" / "checkpoints" / "step-2").is_dir()

    video = write_clip(tmp_path / "video.mkv")
    said = run_example("export_and_verify.py", "run", "bundle", video, folder=tmp_path)
    assert re.search(r"^visual_encoder, float32: largest error \S+, centred cosine [01]\.\d{4}$", said, re.MULTILINE), (
        said
    )
    assert re.search(r": \d+ files match their hashes$", said, re.MULTILINE)
    assert said.splitlines()[-1].startswith("undetermined ")
