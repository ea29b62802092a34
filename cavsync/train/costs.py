"""Operations of a pair, in pretraining and in classification: arithmetic on the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from cavsync.model import ModelConfig
from cavsync.model.flops import EncoderFlops, PairFlops, encoder_flops, pretraining_flops
from cavsync.train.classify_config import ClassifyConfig
from cavsync.train.config import TrainConfig


@dataclass(frozen=True)
class Costs:
    """Operations per pair. embedding_*: of an unmasked audio and video, as when scoring; the others: of pretraining,
    forward by part and in all, and of a whole training step."""

    embedding_audio: float
    embedding_visual: float
    audio: float
    visual: float
    joint: float
    decoder: float
    forward: float
    training: float


def costs_of(model: ModelConfig, train: TrainConfig) -> Costs:
    """Costs of a run of this configuration. ConfigError for a mask ratio outside [0, 1)."""
    embedding = encoder_flops(model)
    if train.classify is not None:
        return _classifier_costs(model, train, train.classify, embedding)
    flops = pretraining_flops(
        model, train.mask_ratio_audio, train.mask_ratio_visual, train.mae_loss_weight, train.contrast_loss_weight
    )
    return Costs(
        embedding_audio=embedding.audio,
        embedding_visual=embedding.visual,
        audio=flops.audio,
        visual=flops.visual,
        joint=flops.joint,
        decoder=flops.decoder,
        forward=flops.forward,
        training=flops.training(train.activation_checkpointing),
    )


def _classifier_costs(
    model: ModelConfig, train: TrainConfig, classify: ClassifyConfig, embedding: EncoderFlops
) -> Costs:
    """Nothing is masked and nothing decoded; with a frozen encoder there is no way back through it."""
    whole = pretraining_flops(model, 0.0, 0.0, mae_loss_weight=1.0, contrast_loss_weight=0.0)
    audio, visual, joint = {
        "multimodal": (whole.audio, whole.visual, whole.joint),
        "audio-only": (embedding.audio, 0.0, 0.0),
        "visual-only": (0.0, embedding.visual, 0.0),
    }[classify.mode]
    forward = audio + visual + joint
    flops = PairFlops(audio, visual, joint, decoder=0.0, recomputed=whole.recomputed * forward / whole.forward)
    return Costs(
        embedding_audio=embedding.audio,
        embedding_visual=embedding.visual,
        audio=audio,
        visual=visual,
        joint=joint,
        decoder=0.0,
        forward=forward,
        training=forward if classify.freeze_encoder else flops.training(train.activation_checkpointing),
    )
