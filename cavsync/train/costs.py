"""Operations per pair of a run's configuration, in pretraining or in classification."""

from __future__ import annotations

from dataclasses import dataclass

from cavsync.model import ModelConfig
from cavsync.model.flops import classification_flops, encoder_flops, pretraining_flops
from cavsync.train.config import TrainConfig


@dataclass(frozen=True)
class Costs:
    """Operations per pair. embedding_*: of an unmasked audio and video, as when scoring. The others: of training,
    the forward by part and in all, the teacher's, and the whole step, forward and backward."""

    embedding_audio: float
    embedding_visual: float
    audio: float
    visual: float
    joint: float
    decoder: float
    forward: float
    teacher: float
    training: float


def costs_of(model: ModelConfig, train: TrainConfig) -> Costs:
    """Costs of a run of this configuration. ConfigError for a mask ratio outside [0, 1)."""
    embedding, again = encoder_flops(model), train.activation_checkpointing
    if train.classify is not None:
        classify = train.classify
        flops = classification_flops(
            model, classify.mode, freeze_encoder=classify.freeze_encoder, activation_checkpointing=again
        )
    else:
        flops = pretraining_flops(
            model,
            train.mask_ratio_audio,
            train.mask_ratio_visual,
            train.mae_loss_weight,
            # Distillation computes the contrast's streams too.
            train.contrast_loss_weight or train.distil_loss_weight,
            contrast_mask_ratio=None if train.contrast_mask == "shared" else train.contrast_mask_ratio,
            activation_checkpointing=again,
        )
    teacher = embedding.audio + embedding.visual if train.asks_teacher else 0.0
    return Costs(
        embedding_audio=embedding.audio,
        embedding_visual=embedding.visual,
        audio=flops.audio,
        visual=flops.visual,
        joint=flops.joint,
        decoder=flops.decoder,
        forward=flops.forward,
        teacher=teacher,
        training=flops.training + teacher,
    )
