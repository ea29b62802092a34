"""CAV-MAE and its two halves (arXiv 2210.07839), with the numbers of its authors' pretraining scripts.

The scripts start from a vision-MAE ViT-B: `--set vision_mae=PATH`. Their 10 s of audio are 1,024 frames.
"""

from __future__ import annotations

from typing import Any

from cavsync.data.augment.config import Augmentation
from cavsync.data.logmel import AUDIO_STD
from cavsync.model.config import CAV_MAE
from cavsync.train.config import TrainConfig
from cavsync.train.recipes import Recipe

# The scripts add it after the normalisation, the augmentation here before.
NORMALISED_NOISE = 0.1
NOISE = Augmentation(feature_noise=NORMALISED_NOISE * AUDIO_STD, time_shift_frames=CAV_MAE.audio_length)

# The scripts' scheduler counts finished epochs: ten pass at the full rate, the eleventh is the first at half of it.
FIRST_HALVED_EPOCH = 11

# The scripts train on all of one list and measure on another: pass the latter with --held-out.
HELD_OUT_SHARE = 0.01


def cav_mae_base() -> Recipe:
    """CAV-MAE base: Adam at 5e-5, 48 clips a step, 25 epochs of AudioSet-2M, one frame with the whole audio.

    Source: the authors' run_cavmae_pretrain_base.sh.
    """
    return _recipe("cav-mae-base", learning_rate=5e-5, batch_clips=48)


def cav_mae_scale_plus() -> Recipe:
    """CAV-MAE scale+: the base model with 108 clips a step at 1e-4, the model of the paper's tables.

    Source: table of models in the authors' repository; their script run_cavmae_pretrain_scale+.sh says 120.
    """
    return _recipe("cav-mae-scale+", learning_rate=1e-4, batch_clips=108)


def cav_mae_scale_plus_plus() -> Recipe:
    """CAV-MAE scale++: the base model with 256 clips a step at 2e-4.

    Source: the authors' run_cavmae_pretrain_scale++.sh, for four GPUs. There each GPU contrasted with its own clips
    only, here all 256 clips of the batch are negatives.
    """
    return _recipe("cav-mae-scale++", learning_rate=2e-4, batch_clips=256)


def av_mae() -> Recipe:
    """AV-MAE: CAV-MAE base without the contrastive loss.

    Source: arXiv 2210.07839, section 2; sizes and rates are those of the base recipe.
    """
    return _recipe("av-mae", learning_rate=5e-5, batch_clips=48, contrast_loss_weight=0.0)


def cav() -> Recipe:
    """CAV: only the contrastive loss of CAV-MAE base, on masked inputs, without a decoder.

    Adam is invariant to the weight of a single loss; a weight of 1 keeps gradients far above its eps.
    Source: arXiv 2210.07839, section 2; sizes and rates are those of the base recipe.
    """
    model, train = _recipe("cav", learning_rate=5e-5, batch_clips=48, mae_loss_weight=0.0, contrast_loss_weight=1.0)
    return model.model_copy(update={"has_decoder": False}), train


def vggsound_continuation() -> Recipe:
    """Ten more epochs on VGGSound (183,727 clips) after AudioSet-2M: 120 clips a step at a constant 5e-5.

    It starts from `cav-mae-scale++.pth` in the current folder, as the script does; `--set init_from=PATH` names
    another checkpoint of the authors, or a run. Without either it does not start.
    Source: the authors' run_cavmae_pretrain_as.sh for VGGSound and its published log.
    """
    return _recipe(
        "vggsound-continuation", learning_rate=5e-5, batch_clips=120, epochs=10, init_from="cav-mae-scale++.pth"
    )


def vggsound_from_imagenet() -> Recipe:
    """VGGSound alone (183,727 clips): 120 clips a step at 1e-4 for 25 epochs, from a vision-MAE trained on ImageNet.

    It starts from `mae_pretrain_vit_base_full.pth`, the vision-MAE with its decoder, in the current folder; `--set
    vision_mae=PATH` names another one, `--set init_from=PATH` the file that the authors made of it. Without either it
    does not start. Source: the authors' egs/vggsound/run_cavmae_pretrain.sh and its published log.
    """
    return _recipe(
        "vggsound-from-imagenet", learning_rate=1e-4, batch_clips=120, vision_mae="mae_pretrain_vit_base_full.pth"
    )


def _recipe(name: str, **values: Any) -> Recipe:
    train = TrainConfig(
        preset=name,
        halve_from_epoch=FIRST_HALVED_EPOCH,
        held_out_share=HELD_OUT_SHARE,
        augmentation=NOISE,
        frames_per_clip=10,
        **values,
    )
    return CAV_MAE.model_copy(update={"norm_pix_loss": True}), train
