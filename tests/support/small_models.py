"""Models small enough for a test: every part is present, and a step takes a fraction of a second."""

from typing import Any

import torch
from torch import Tensor

from cavsync.model import CAVMAESync, ModelConfig
from cavsync.model.classifier import CAVMAEFT, Head
from cavsync.model.encoder import AudioVisualEncoder

SIZES: dict[str, Any] = {
    "audio_length": 80,
    "img_size": 48,
    "embed_dim": 32,
    "num_heads": 2,
    "modality_specific_depth": 2,
    "depth": 3,
    "decoder_embed_dim": 16,
    "decoder_depth": 1,
    "decoder_num_heads": 2,
    "num_register_tokens": 2,
}


TUBELETS: dict[str, Any] = {
    "num_frames": 3,
    "frame_differences": True,
    "conv_stem": True,
    "max_pooling": True,
    "cls_token": False,
    "num_register_tokens": 0,
    "has_decoder": False,
}
"""Changes for a small sync model: three frames, a convolutional stem, no global token, no decoder."""


PAIRS: dict[str, Any] = {**TUBELETS, "num_frames": 4, "frame_differences": False, "pair_stem": True}
"""Changes for a small sync model whose pairs of frames pass the stem once."""


def small_config(**changes: Any) -> ModelConfig:
    """Return a configuration with 8 x 5 audio patches and 3 x 3 frame patches."""
    return ModelConfig(**{**SIZES, **changes})


def small_model(seed: int = 0, **changes: Any) -> CAVMAESync:
    """Return a model of `small_config` with fixed random weights."""
    torch.manual_seed(seed)
    return CAVMAESync(small_config(**changes))


def classifier_of(encoder: AudioVisualEncoder, label_dim: int, head: Head = "linear") -> CAVMAEFT:
    """A classifier with the encoder's weights and a fresh head."""
    model = CAVMAEFT(encoder.config, label_dim, head)
    model.take_encoder(encoder)
    return model


def small_inputs(config: ModelConfig, batch: int = 4, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Return log-mel (batch, audio_length, 128) and frames (batch, [T,] 3, H, W), both standard normal."""
    generator = torch.Generator().manual_seed(seed)
    time = () if config.num_frames == 1 else (config.num_frames,)
    fbank = torch.randn(batch, config.audio_length, 128, generator=generator)
    return fbank, torch.randn(batch, *time, 3, config.img_size, config.img_size, generator=generator)
