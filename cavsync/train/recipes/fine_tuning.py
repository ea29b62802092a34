"""Fine-tuning of CAV-MAE (arXiv 2210.07839, section 4) with the numbers of its authors' scripts, and probing.

Training starts from `cav-mae-scale++.pth` in the current folder, as the scripts do; `--set init_from=PATH` names
another checkpoint of the authors, or a run, whose sizes the classifier then takes.
"""

from __future__ import annotations

from typing import Any

from cavsync.model.config import CAV_MAE
from cavsync.train.classify_config import ClassifyConfig
from cavsync.train.config import TrainConfig
from cavsync.train.recipes import Recipe
from cavsync.train.recipes.cav_mae import HELD_OUT_SHARE, NOISE

PUBLISHED_START = "cav-mae-scale++.pth"

# Half of the clips mixed with another; SpecAugment on 48 of 128 bins and 192 of 1,024 frames, in addition to the noise
# and time shift of pretraining.
# What is masked is 0 before the normalisation, and samples are mixed, as in the authors' loader.
AUGMENTATION = NOISE.model_copy(
    update={
        "mixup": 0.5,
        "mixup_audio": "waveform",
        "frequency_mask_bins": 48,
        "time_mask_frames": 192,
        "mask_fill": "zero",
    }
)
LABEL_SMOOTHING = 0.1

PROBE_FRAMES = 16


def finetune_audioset_20k() -> Recipe:
    """AudioSet-20K, any number of classes per clip: 5e-5, a hundred times that for the head, 15 epochs, batch 36.

    The rate is halved after each epoch from the fifth on; epochs 3 to 15 are averaged. Source: run_cavmae_ft_bal.sh.
    """
    return _recipe(
        "finetune-audioset-20k",
        ClassifyConfig(head_rate_factor=100.0, label_smoothing=LABEL_SMOOTHING),
        learning_rate=5e-5,
        batch_clips=36,
        epochs=15,
        halve_from_epoch=6,
        average_from_epoch=3,
    )


def finetune_audioset_2m() -> Recipe:
    """AudioSet-2M: 1e-5 and fifty times that for the head, 10 epochs of clips drawn evenly over the classes, batch 48.

    The rate is halved after each epoch from the second on; all epochs are averaged. Source: run_cavmae_ft_full.sh.
    """
    return _recipe(
        "finetune-audioset-2m",
        ClassifyConfig(head_rate_factor=50.0, label_smoothing=LABEL_SMOOTHING, balanced_sampling=True),
        learning_rate=1e-5,
        batch_clips=48,
        epochs=10,
        halve_from_epoch=3,
        average_from_epoch=1,
    )


def finetune_vggsound() -> Recipe:
    """VGGSound, one class per clip: 1e-4 and ten times that for the head, 10 epochs of clips drawn evenly, batch 48.

    The rate is halved after each epoch from the second on; epochs 3 to 10 are averaged. Source: run_cavmae_ft.sh.
    """
    return _recipe(
        "finetune-vggsound",
        ClassifyConfig(
            target="single-label", head_rate_factor=10.0, label_smoothing=LABEL_SMOOTHING, balanced_sampling=True
        ),
        learning_rate=1e-4,
        batch_clips=48,
        epochs=10,
        halve_from_epoch=3,
        average_from_epoch=3,
    )


def probe() -> Recipe:
    """CAV-MAE Sync's probe on a frozen encoder: AdamW at 1e-3 with a cosine schedule, 20 epochs, batch 64.

    Two blocks with a learned token take the global tokens of 16 frames of a clip. `--set head=linear` or
    `head=attention`, with `--set instants_per_clip=1`, classifies single frames; `--set target=single-label` has one
    class per clip. The authors published the head but no recipe: the other numbers have not been tuned on their data.
    """
    model, train = _recipe(
        "probe",
        ClassifyConfig(freeze_encoder=True, head="self_attention_cls"),
        instants_per_clip=PROBE_FRAMES,
        frames_per_clip=PROBE_FRAMES,
        learning_rate=1e-3,
        batch_clips=64,
        epochs=20,
        optimizer="adamw",
        betas=(0.9, 0.999),
        weight_decay=0.01,
        schedule="cosine",
        augmentation={},
        init_from=None,
    )
    return model, train


def _recipe(name: str, classify: ClassifyConfig, **values: Any) -> Recipe:
    settings: dict[str, Any] = {
        "halve_every_epochs": 1,
        "held_out_share": HELD_OUT_SHARE,
        "augmentation": AUGMENTATION,
        "frames_per_clip": 10,
        "init_from": PUBLISHED_START,
        **values,
    }
    # The public class of the classifier trains its position tables; a frozen encoder keeps them.
    model = CAV_MAE.model_copy(update={"has_decoder": False, "tr_pos": not classify.freeze_encoder})
    return model, TrainConfig(preset=name, classify=classify, **settings)
