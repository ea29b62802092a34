"""CAV-MAE Sync (arXiv 2505.01237)."""

from __future__ import annotations

from cavsync.model.config import CAV_MAE_SYNC
from cavsync.train.config import TrainConfig
from cavsync.train.recipes import Recipe
from cavsync.train.recipes.cav_mae import FIRST_HALVED_EPOCH, HELD_OUT_SHARE


def cav_mae_sync_base() -> Recipe:
    """CAV-MAE Sync: 4.16 s of audio around one of 16 frames, registers and global tokens; CAV-MAE base's schedule.

    The model is the released one. Its authors released no recipe: rate, batch size and loss weights are CAV-MAE's.
    """
    train = TrainConfig(
        preset="cav-mae-sync-base",
        frames_per_clip=16,
        halve_from_epoch=FIRST_HALVED_EPOCH,
        held_out_share=HELD_OUT_SHARE,
    )
    return CAV_MAE_SYNC, train
