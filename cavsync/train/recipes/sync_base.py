"""ViT-B for frame-exact timing."""

from __future__ import annotations

from cavsync.data.augment.config import Augmentation
from cavsync.model import ModelConfig
from cavsync.train.config import TrainConfig
from cavsync.train.recipes import Recipe
from cavsync.train.recipes.sync_tiny import TIMING_MODEL, TIMING_TRAINING


def sync_base() -> Recipe:
    """The method of sync-tiny at the released size: tubelets of five frames, 0.48 s of audio, 24 instants per clip.

    Contrast only, on unmasked inputs. A mask of three quarters would usually hide the lips or the hand that
    distinguish two frames, and scoring uses all patches. There is no decoder, as five nearly equal frames are no useful
    target. The negatives are other moments of the same clip: at first those at least 0.4 s away, then ever nearer ones
    down to the next frame, over a third of the run. As other clips are no negatives, the loss does not depend on the
    number of processes or parts of a batch: raise devices or gradient_accumulation freely.

    The linear patch embedding takes a vision-MAE ViT-B (`--set vision_mae=PATH`), a good start for little data.
    Source: this project. Optimizer and augmentation are the usual ones for ViT-B; nothing is tuned at this size.
    """
    model = ModelConfig(num_frames=5, frame_differences=True, **TIMING_MODEL)
    train = TrainConfig(
        preset="sync-base",
        epochs=30,
        batch_clips=64,
        instants_per_clip=24,
        # Less than a frame at 30 fps: only repeated frames are left out.
        guard_seconds=0.03,
        guard_start_seconds=0.4,
        curriculum_share=1 / 3,
        held_out_share=0.02,
        learning_rate=2e-4,
        warmup_steps=2000,
        ema_decay=0.9998,
        load_size=256,
        augmentation=Augmentation(
            mirror=0.5,
            crop_area=(0.5, 1.0),
            colour=1.0,
            tempo=(0.9, 1.1),
            gain_db=6.5,
            background=0.2,
            noise_floor=True,
            frequency_mask_bins=16,
        ),
        activation_checkpointing=True,
        workers=8,
        **TIMING_TRAINING,
    )
    return model, train
