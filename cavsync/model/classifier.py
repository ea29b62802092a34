"""The classifier: the encoder and a head, fine-tuned together, or the head alone (probing)."""

from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from cavsync.errors import ConfigError
from cavsync.model.attention_pool import AttentionPool
from cavsync.model.config import ModelConfig
from cavsync.model.encoder import AudioVisualEncoder
from cavsync.model.fit_positions import fit_positions
from cavsync.model.init import linear
from cavsync.model.norm import LayerNorm

Mode = Literal["multimodal", "audio-only", "visual-only", "missing-visual", "missing-audio"]
"""Inputs of the classifier. "missing-*": one modality, for a model trained with both."""
TrainedMode = Literal["multimodal", "audio-only", "visual-only"]
Head = Literal["linear", "attention"]
"""A LayerNorm and a linear layer, on the mean of the tokens or on what a learned query attends to."""
HEAD_PREFIXES = ("mlp_head.", "attention_pool.")
MODES = get_args(Mode)
AUDIO_MODES: tuple[Mode, ...] = ("multimodal", "audio-only", "missing-visual")
FRAME_MODES: tuple[Mode, ...] = ("multimodal", "visual-only", "missing-audio")


class CAVMAEFT(AudioVisualEncoder):
    """Classifier on both modalities or on one (CAV-MAE, arXiv 2210.07839, section 4).

    Multimodal: mean of the joint stream's patch tokens. One modality: its pooled vector, as `encode_*` gives it. One
    modality of a model that was trained with both: the mean of that vector and of the modality's own joint stream.
    With the attention head a learned query takes the place of each mean and each pooled vector.
    """

    def __init__(self, config: ModelConfig, label_dim: int, head: Head = "linear") -> None:
        if label_dim < 1:
            raise ConfigError(f"label_dim is {label_dim}, but a classifier needs at least one label: raise it.")
        super().__init__(config.model_copy(update={"has_decoder": False}))
        self.label_dim, self.head, self.is_frozen = label_dim, head, False
        if head == "attention":
            self.attention_pool = AttentionPool(config.embed_dim, config.num_heads)
        self.mlp_head = nn.Sequential(LayerNorm(config.embed_dim), linear(config.embed_dim, label_dim))

    def take_encoder(self, encoder: AudioVisualEncoder, source: str = "the encoder") -> None:
        """Copy the weights of an encoder of the same configuration; the head stays as it is.

        Position tables are made to fit another audio length or frame size; `source` names the encoder in the log.
        """
        pretrained = fit_positions(encoder.state_dict(), self.config, source)
        own = self.state_dict()
        self.load_state_dict({name: own[name] if self.is_of_head(name) else pretrained[name] for name in own})

    @staticmethod
    def is_of_head(name: str) -> bool:
        """Whether a parameter of this name belongs to the head, which no pretrained model has."""
        return name.startswith(HEAD_PREFIXES)

    def freeze_encoder(self) -> None:
        """Train only the head from now on (probing). The encoder's batch statistics stay fixed too."""
        self.is_frozen = True
        for name, parameter in self.named_parameters():
            if not self.is_of_head(name):
                parameter.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch to training; a frozen encoder stays in evaluation."""
        super().train(mode)
        if self.is_frozen:
            for name, child in self.named_children():
                child.train(mode and self.is_of_head(f"{name}."))
        return self

    def forward(self, fbank: Tensor | None = None, frames: Tensor | None = None, mode: Mode = "multimodal") -> Tensor:
        """Logits (B, label_dim) from log-mel (B, audio_length, 128), frames (B, [T,] 3, H, W), or both.

        Raises ConfigError where the mode is unknown or its input is missing.
        """
        if mode == "multimodal" and fbank is not None and frames is not None:
            audio, visual = self.audio_stream(self.embed_audio(fbank)), self.visual_stream(self.embed_frames(frames))
            features = self._pooled(torch.cat(self.joint_stream(audio, visual), dim=1))
        elif mode in ("audio-only", "missing-visual") and fbank is not None:
            features = self._of_one("audio", self.audio_stream(self.embed_audio(fbank)), mode == "missing-visual")
        elif mode in ("visual-only", "missing-audio") and frames is not None:
            features = self._of_one("visual", self.visual_stream(self.embed_frames(frames)), mode == "missing-audio")
        elif mode in MODES:
            raise ConfigError(f"Mode '{mode}' lacks an input: pass fbank, frames or both, or use another mode.")
        else:
            raise ConfigError(f"Mode '{mode}' is unknown: use one of {', '.join(MODES)}.")
        logits: Tensor = self.mlp_head(features)
        return logits

    def _of_one(self, stream: Literal["audio", "visual"], tokens: Tensor, is_other_missing: bool) -> Tensor:
        """Features (B, D) of one modality's tokens: its own stream, averaged with the joint one where the model was
        trained with both."""
        if not is_other_missing:
            own = self.joint_blocks({stream: tokens})[stream]
            return self._own(own)
        joint_input = tokens[:, self._num_global :]
        found = self.joint_blocks({stream: tokens, "joint": joint_input})
        joint = self._pooled(self._without_registers(found["joint"]))
        return (joint + self._own(found[stream])) / 2

    def _own(self, tokens: Tensor) -> Tensor:
        embedding = self.pool(tokens)
        return self._pooled(embedding.patches) if self.head == "attention" else embedding.pooled

    def _pooled(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, D) -> (B, D)."""
        pooled: Tensor = self.attention_pool(tokens) if self.head == "attention" else tokens.mean(dim=1)
        return pooled
