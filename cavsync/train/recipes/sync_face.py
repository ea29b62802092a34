"""The face model: lip landmarks and mouth images against log-mel."""

from __future__ import annotations

from cavsync.data.augment.config import Augmentation
from cavsync.data.augment.faces import FaceAugmentation
from cavsync.model.face_config import FaceConfig
from cavsync.train.config import TrainConfig
from cavsync.train.face_config import FaceTraining
from cavsync.train.recipes import Recipe


def sync_face() -> Recipe:
    """Two million parameters that learn lip sync from minutes of talking faces, in minutes on two CPU cores.

    Contrast of each moment of a window with the other moments of it, and of lag 0 of the window's curve with the other
    lags. More steps raise the confidence in what is right, not the share of it: minutes of footage are spent.
    """
    train = TrainConfig(
        preset="sync-face",
        face=FaceTraining(
            face_augmentation=FaceAugmentation(
                landmark_offset=0.005,
                landmark_noise=0.006,
                landmark_scale=0.06,
                landmark_motion=0.15,
                other_mouth=0.35,
                mouth_shift_px=2,
                mouth_contrast=0.2,
                mouth_brightness_levels=15.0,
                mouth_noise_levels=8.0,
            )
        ),
        augmentation=Augmentation(
            mirror=0.5, tempo=(0.9, 1.1), gain_db=10.0, background=0.5, frequency_mask_bins=18, mel_shift_bins=0
        ),
        max_steps=450,
        batch_clips=16,
        held_out_share=0.1,
        optimizer="adamw",
        learning_rate=2e-3,
        betas=(0.9, 0.999),
        weight_decay=0.02,
        schedule="cosine",
        warmup_steps=20,
        clip_gradient_norm=2.0,
        cache_clips=True,
        checkpoint_every_steps=40,
    )
    return FaceConfig(), train
