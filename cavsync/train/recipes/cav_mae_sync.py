"""CAV-MAE Sync (arXiv 2505.01237), and TG-DP (arXiv 2604.08147), which trains its model in two paths."""

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


def tg_dp() -> Recipe:
    """TG-DP: CAV-MAE Sync whose contrast has a pass of its own, on the half of the patches that a teacher ranks first.

    Published: the model, both mask ratios, contrast in both directions, 35 epochs. The weights of reconstruction and
    contrast are the defaults of its code. Not published: optimizer, rate and batch (here CAV-MAE Sync's), the teacher's
    decay, the weight of the distillation, and by how much its loader rolls the audio (here not at all).
    """
    model, train = cav_mae_sync_base()
    changes = {
        "preset": "tg-dp",
        "epochs": 35,
        "contrast_mask": "teacher",
        "contrast_mask_ratio": 0.5,
        "teacher_decay": 0.996,
        "teacher_decay_end": 1.0,
        "distil_loss_weight": 0.01,
    }
    return (
        model.model_copy(update={"bidirectional_contrast": True}),
        TrainConfig.model_validate({**train.model_dump(), **changes}),
    )
