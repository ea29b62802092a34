"""A miniature model for trying things out."""

from __future__ import annotations

from cavsync.model import ModelConfig
from cavsync.train.config import TrainConfig
from cavsync.train.recipes import Recipe


def debug() -> Recipe:
    """Every part of CAV-MAE Sync in miniature: trains in seconds on a CPU, for trying a data set or a change."""
    model = ModelConfig(
        audio_length=96,
        img_size=64,
        embed_dim=48,
        num_heads=3,
        depth=3,
        modality_specific_depth=2,
        num_register_tokens=2,
        decoder_embed_dim=32,
        decoder_depth=1,
        decoder_num_heads=2,
    )
    train = TrainConfig(
        preset="debug", max_steps=20, batch_clips=4, learning_rate=1e-3, cache_clips=True, log_every_steps=5
    )
    return model, train
