"""Named recipes: a model and how it trains."""

from __future__ import annotations

from collections.abc import Callable

from cavsync.data.augment import Augmentation
from cavsync.errors import ConfigError
from cavsync.model import ModelConfig
from cavsync.model.config import CAV_MAE, CAV_MAE_SYNC
from cavsync.train.config import TrainConfig

Recipe = tuple[ModelConfig, TrainConfig]


def cav_mae_base() -> Recipe:
    """CAV-MAE base (arXiv 2210.07839): 10 s of sound, one picture; Adam 5e-5 at batch 48, halved from epoch 10."""
    return CAV_MAE.model_copy(update={"norm_pix_loss": True}), TrainConfig(preset="cav-mae-base")


def cav_mae_sync_base() -> Recipe:
    """CAV-MAE Sync (arXiv 2505.01237): 4.16 s of sound around one of 16 frames, registers and global tokens."""
    return CAV_MAE_SYNC, TrainConfig(preset="cav-mae-sync-base", frames_per_clip=16)


def sync_tiny() -> Recipe:
    """A small model that resolves a frame, 4.8 M parameters: tubelets of nine frames, 0.48 s of sound.

    Contrast only, of 40 instants per clip, and only against other moments of the same clip, far ones first. Made for two CPU cores: it trains in
    an hour and scores 25 frames a second many times over.
    """
    model = ModelConfig(
        audio_length=48,
        img_size=64,
        embed_dim=256,
        num_heads=4,
        depth=3,
        modality_specific_depth=2,
        num_register_tokens=0,
        cls_token=False,
        max_pooling=True,
        conv_stem=True,
        num_frames=9,
        frame_differences=True,
        has_decoder=False,
        bidirectional_contrast=True,
        learnable_temperature=True,
        contrastive_temperature=0.07,
    )
    train = TrainConfig(
        preset="sync-tiny",
        max_steps=6000,
        held_out_share=0.15,
        batch_clips=4,
        instants_per_clip=40,
        instant_spacing_seconds=0.04,
        negatives="clip",
        guard_start_seconds=0.2,
        curriculum_share=0.1,
        pad_segments=False,
        optimizer="adamw",
        # Four times as much and all embeddings become one.
        learning_rate=5e-4,
        betas=(0.9, 0.98),
        weight_decay=0.05,
        schedule="cosine",
        warmup_steps=50,
        clip_gradient_norm=1.0,
        ema_decay=0.998,
        mask_ratio_audio=0.0,
        mask_ratio_visual=0.0,
        mae_loss_weight=0.0,
        contrast_loss_weight=1.0,
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
    )
    return model, train


def debug() -> Recipe:
    """Seconds on a CPU: every part of CAV-MAE Sync in miniature, for trying a data set or a change."""
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


PRESETS: dict[str, Callable[[], Recipe]] = {
    "debug": debug,
    "sync-tiny": sync_tiny,
    "cav-mae-sync-base": cav_mae_sync_base,
    "cav-mae-base": cav_mae_base,
}


def preset(name: str) -> Recipe:
    """The recipe of that name; ConfigError for any other."""
    if name not in PRESETS:
        raise ConfigError(f"Unknown preset '{name}': expected one of {', '.join(PRESETS)}.")
    return PRESETS[name]()
