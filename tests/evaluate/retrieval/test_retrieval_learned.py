"""From generated clips to retrieval above chance: a short training run, and the test of it on unseen clips."""

from pathlib import Path

import pytest
from generated_clips import make_clips
from retrieval_sets import measure_retrieval

from cavsync.evaluate.inputs.encoders import open_encoder
from cavsync.evaluate.inputs.eval_clips import open_eval_clips
from cavsync.evaluate.results.result import EvalResult
from cavsync.evaluate.retrieval.embeddings import clip_embeddings
from cavsync.model import CAVMAESync
from cavsync.model.checkpoint import save_model
from cavsync.train import Trainer, override, preset

TEST_CLIPS = 40
CHANCE = 5 / TEST_CLIPS
OPTIONS = {
    "max_steps": 100,
    "batch_clips": 16,
    "instants_per_clip": 2,
    "optimizer": "adamw",
    "learning_rate": 2e-3,
    "warmup_steps": 10,
    "mae_loss_weight": 0.0,
    "contrast_loss_weight": 1.0,
    "mask_ratio_audio": 0.0,
    "mask_ratio_visual": 0.0,
    "held_out_share": 0.05,
    "accelerator": "cpu",
    "precision": "32-true",
    "has_decoder": False,
    "conv_stem": True,
    "cls_token": False,
    "num_register_tokens": 0,
    "embed_dim": 64,
    "num_heads": 4,
    "depth": 2,
    "modality_specific_depth": 1,
    "bidirectional_contrast": True,
    "learnable_temperature": True,
    "contrastive_temperature": 0.2,
}


def retrieve(run: Path, clips: Path, cache: Path) -> EvalResult:
    encoder = open_encoder(run)
    chosen = open_eval_clips(clips, segment_frames=encoder.segment_frames, frames=4)
    found = clip_embeddings(encoder, chosen, cache)
    return measure_retrieval(encoder, chosen, found, kinds=["diagonal-mean"])


def recall_at_5(result: EvalResult) -> float:
    """Mean of both directions."""
    values = [metric.value for name, metric in result.metrics.items() if name.endswith("r_at_5")]
    assert len(values) == 2
    return sum(value or 0.0 for value in values) / 2


@pytest.mark.slow
def test_a_short_run_beats_chance_twice_over(tmp_path: Path) -> None:
    """R@5 of unseen clips at least twice that of chance, both directions together; random weights stay below that."""
    make_clips(tmp_path / "train", 48, seed=1, size=(96, 72))
    make_clips(tmp_path / "test", TEST_CLIPS, seed=99, size=(96, 72))
    model, config = override(*preset("debug"), OPTIONS)
    Trainer(model, config, tmp_path / "run").run(tmp_path / "train", resume=False)
    save_model(CAVMAESync(model), tmp_path / "random", 0)
    learned, random = (retrieve(tmp_path / name, tmp_path / "test", tmp_path / "cache") for name in ("run", "random"))
    assert learned.protocol["gallery"] == TEST_CLIPS
    assert recall_at_5(learned) >= 2 * CHANCE
    assert recall_at_5(random) < 2 * CHANCE
