"""Named recipes: a model and how it trains."""

from __future__ import annotations

from collections.abc import Callable

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
    """A small model that resolves a frame: tubelets of five frames, 0.48 s of sound, 40 instants per clip.

    Contrast only, and only against other moments of the same clip. Trains in minutes on two CPU cores.
    """
    model = ModelConfig(
        audio_length=48,
        img_size=64,
        embed_dim=128,
        num_heads=4,
        depth=2,
        modality_specific_depth=1,
        num_register_tokens=0,
        cls_token=False,
        max_pooling=True,
        conv_stem=True,
        num_frames=5,
        frame_differences=True,
        has_decoder=False,
        bidirectional_contrast=True,
        learnable_temperature=True,
        contrastive_temperature=0.07,
    )
    train = TrainConfig(
        preset="sync-tiny",
        max_steps=600,
        held_out_share=0.15,
        batch_clips=6,
        instants_per_clip=40,
        instant_spacing_seconds=0.04,
        negatives="clip",
        pad_segments=False,
        optimizer="adamw",
        learning_rate=2e-3,
        betas=(0.9, 0.98),
        weight_decay=0.05,
        schedule="cosine",
        warmup_steps=20,
        clip_gradient_norm=1.0,
        mask_ratio_audio=0.0,
        mask_ratio_visual=0.0,
        mae_loss_weight=0.0,
        contrast_loss_weight=1.0,
        cache_clips=True,
        checkpoint_every_steps=200,
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
