"""The fine-tuned classifier: the encoder, a LayerNorm and a linear layer."""

from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from cavsync.errors import ConfigError
from cavsync.model.config import ModelConfig
from cavsync.model.encoder import AudioVisualEncoder
from cavsync.model.init import linear
from cavsync.model.norm import LayerNorm

Mode = Literal["multimodal", "audio-only", "visual-only"]


class CAVMAEFT(AudioVisualEncoder):
    """Classifier on both modalities or on one (CAV-MAE, arXiv 2210.07839, section 4).

    Multimodal: mean of the joint stream's patch tokens. One modality: its pooled vector, as `encode_*` gives it.
    """

    def __init__(self, config: ModelConfig, label_dim: int) -> None:
        if label_dim < 1:
            raise ConfigError(f"label_dim is {label_dim}, but a classifier needs at least one label: raise it.")
        super().__init__(config.model_copy(update={"has_decoder": False}))
        self.label_dim = label_dim
        self.mlp_head = nn.Sequential(LayerNorm(config.embed_dim), linear(config.embed_dim, label_dim))

    @classmethod
    def from_encoder(cls, encoder: AudioVisualEncoder, label_dim: int) -> Self:
        """A classifier that starts from a copy of a pretrained encoder, its decoder left out, with a fresh head."""
        model = cls(encoder.config, label_dim)
        fresh = model.state_dict()
        pretrained = encoder.state_dict()
        model.load_state_dict({name: pretrained.get(name, value) for name, value in fresh.items()}, strict=True)
        return model

    def forward(self, fbank: Tensor | None = None, frames: Tensor | None = None, mode: Mode = "multimodal") -> Tensor:
        """Logits (B, label_dim) from log-mel (B, audio_length, 128), frames (B, [T,] 3, H, W), or both.

        Raises ConfigError where the mode is unknown or its input is missing.
        """
        if mode == "multimodal" and fbank is not None and frames is not None:
            features = self._joint_mean(fbank, frames)
        elif mode == "audio-only" and fbank is not None:
            features = self.encode_audio(fbank).pooled
        elif mode == "visual-only" and frames is not None:
            features = self.encode_frames(frames).pooled
        elif mode in get_args(Mode):
            raise ConfigError(f"Mode '{mode}' lacks an input: pass fbank, frames or both, or use another mode.")
        else:
            raise ConfigError(f"Mode '{mode}' is unknown: use one of {', '.join(get_args(Mode))}.")
        logits: Tensor = self.mlp_head(features)
        return logits

    def _joint_mean(self, fbank: Tensor, frames: Tensor) -> Tensor:
        audio, visual = self.audio_stream(self.embed_audio(fbank)), self.visual_stream(self.embed_frames(frames))
        return torch.cat(self.joint_stream(audio, visual), dim=1).mean(dim=1)
