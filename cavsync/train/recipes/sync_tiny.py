"""The smallest models that measure sync, trained on two CPU cores."""

from __future__ import annotations

from typing import Any

from cavsync.data.augment.config import Augmentation
from cavsync.model import ModelConfig
from cavsync.train.config import TrainConfig
from cavsync.train.recipes import Recipe

# What every model has that learns timing alone: contrast with other moments of the same clip, on unmasked inputs.
TIMING_MODEL: dict[str, Any] = {
    "audio_length": 48,
    "has_decoder": False,
    "bidirectional_contrast": True,
    "learnable_temperature": True,
    "contrastive_temperature": 0.07,
}
TIMING_TRAINING: dict[str, Any] = {
    "instant_spacing_seconds": 0.04,
    "negatives": "clip",
    "pad_segments": False,
    "optimizer": "adamw",
    "betas": (0.9, 0.98),
    "weight_decay": 0.05,
    "schedule": "cosine",
    "clip_gradient_norm": 1.0,
    "mask_ratio_audio": 0.0,
    "mask_ratio_visual": 0.0,
    "mae_loss_weight": 0.0,
    "contrast_loss_weight": 1.0,
}


def sync_tiny() -> Recipe:
    """A small model with a resolution of one frame, 2.1 M parameters: tubelets of nine frames, 0.48 s of audio.

    Each frame passes the convolutions once, with its difference to the one before, and a linear layer joins the eight
    pairs of a tubelet.

    Contrast only, of 40 instants per clip with other moments of the same clip, distant ones first. The shipped model
    took 7,091 steps with AdamW, 150 minutes on one CPU core. With Muon 3,000 do as much; `models/rounds.py` says when
    training ends.
    """
    model = ModelConfig(
        img_size=64,
        embed_dim=192,
        num_heads=3,
        depth=2,
        modality_specific_depth=1,
        num_register_tokens=0,
        cls_token=False,
        max_pooling=True,
        conv_stem=True,
        pair_stem=True,
        num_frames=9,
        **TIMING_MODEL,
    )
    train = TrainConfig(
        preset="sync-tiny",
        max_steps=3000,
        held_out_share=0.15,
        batch_clips=4,
        instants_per_clip=40,
        guard_start_seconds=0.2,
        curriculum_share=0.1,
        # AdamW needs twice as many steps for the same loss at a quarter of this rate, and collapses at this one.
        learning_rate=2e-3,
        warmup_steps=50,
        ema_decay=0.998,
        load_size=80,
        augmentation=Augmentation(
            mirror=0.5,
            crop_area=(0.5, 1.0),
            colour=1.0,
            tempo=(0.85, 1.18),
            gain_db=6.5,
            background=0.3,
            noise_floor=True,
            mel_shift_bins=5,
            frequency_mask_bins=16,
        ),
        cache_clips=True,
        checkpoint_every_steps=250,
        **TIMING_TRAINING | {"optimizer": "muon"},
    )
    return model, train


def demo() -> Recipe:
    """A million parameters that learn the timing of generated clips in about five minutes on two CPU cores.

    Tubelets of five frames; nothing that needs a longer training to pay off.
    """
    model, train = sync_tiny()
    sizes = {"embed_dim": 128, "num_heads": 4, "num_frames": 5, "pair_stem": False, "frame_differences": True}
    model = model.model_copy(update=sizes)
    changes = {
        "preset": "demo",
        "max_steps": 400,
        "batch_clips": 6,
        "guard_start_seconds": 0.0,
        "curriculum_share": 0.0,
        "learning_rate": 4e-3,
        "warmup_steps": 20,
        "ema_decay": 0.0,
        "load_size": None,
        "augmentation": Augmentation(
            mirror=0.5, crop_area=(0.7, 1.0), colour=1.0, gain_db=6.5, noise_floor=True, frequency_mask_bins=16
        ),
        "checkpoint_every_steps": 200,
    }
    return model, train.model_copy(update=changes)
