"""The classifier: the encoder and a head, fine-tuned together, or the head alone (probing)."""

from itertools import pairwise
from typing import Literal, Self, cast, get_args

import torch
from torch import Tensor, nn

from cavsync.errors import ConfigError
from cavsync.model.attention import AttentionPool
from cavsync.model.block import block_stack, run_blocks
from cavsync.model.config import ModelConfig
from cavsync.model.encoder import AudioVisualEncoder
from cavsync.model.fit_positions import fit_positions
from cavsync.model.init import linear, token
from cavsync.model.norm import LayerNorm

Mode = Literal["multimodal", "audio-only", "visual-only", "missing-visual", "missing-audio"]
"""Inputs of the classifier. "missing-*": one modality, for a model trained with both."""
TrainedMode = Literal["multimodal", "audio-only", "visual-only"]
Head = Literal["linear", "attention", "self_attention_cls", "self_attention_cls_single", "concat_mlp"]
"""A LayerNorm and a linear layer, on the mean of the tokens or on what a learned query attends to; or a head on the
frames of a clip together, with the public names. "self_attention_cls": the probe of CAV-MAE Sync (arXiv 2505.01237), a
learned token and two blocks on the frames' global tokens; "..._single" for one modality. "concat_mlp": four layers on
the features of ten frames, one after the other."""
TrainedHead = Literal["linear", "attention", "self_attention_cls"]
CLIP_HEADS: tuple[Head, ...] = ("self_attention_cls", "self_attention_cls_single", "concat_mlp")
NUM_PROBE_BLOCKS = 2
CONCAT_FRAMES = 10
"""The only number of frames, but for 11, with which the layers of the public `concat_mlp` fit each other."""
HEAD_PREFIXES = ("mlp_head.", "attention_pool.", "cls_cls_token", "classifier_")
MODES = get_args(Mode)
AUDIO_MODES: tuple[Mode, ...] = ("multimodal", "audio-only", "missing-visual")
FRAME_MODES: tuple[Mode, ...] = ("multimodal", "visual-only", "missing-audio")


class CAVMAEFT(AudioVisualEncoder):
    """Classifier on both modalities or on one (CAV-MAE, arXiv 2210.07839, section 4).

    Multimodal: mean of the joint stream's patch tokens. One modality: its pooled vector, as `encode_*` gives it. One
    modality of a model that was trained with both: the mean of that vector and of the modality's own joint stream.
    With the attention head a learned query takes the place of each mean and each pooled vector. Heads on clips
    (`CLIP_HEADS`) take several frames, each with its audio, for one row of logits.
    """

    def __init__(self, config: ModelConfig, label_dim: int, head: Head = "linear") -> None:
        if label_dim < 1:
            raise ConfigError(f"label_dim is {label_dim}, but a classifier needs at least one label: raise it.")
        super().__init__(config.model_copy(update={"has_decoder": False}))
        self.label_dim, self.head, self.is_frozen = label_dim, head, False
        self._make_head(config, label_dim)

    def _make_head(self, config: ModelConfig, label_dim: int) -> None:
        dim = config.embed_dim
        if self.head in ("self_attention_cls", "self_attention_cls_single"):
            width = 2 * dim if self.head == "self_attention_cls" else dim
            self.cls_cls_token = token(1, 1, width)
            self.classifier_layers = block_stack(NUM_PROBE_BLOCKS, width, config.num_heads, config.mlp_ratio)
            self.classifier_norm = LayerNorm(width)
            self.classifier_head = linear(width, label_dim)
            return
        if self.head == "concat_mlp":
            widths = (CONCAT_FRAMES * dim, 5 * dim, 2 * dim, dim, label_dim)
            layers: list[nn.Module] = [LayerNorm(widths[0])]
            for number, (before, after) in enumerate(pairwise(widths)):
                layers += [nn.GELU()] * (number > 0) + [linear(before, after)]
            self.mlp_head = nn.Sequential(*layers)
            return
        if self.head == "attention":
            self.attention_pool = AttentionPool(dim, config.num_heads)
        self.mlp_head = nn.Sequential(LayerNorm(dim), linear(dim, label_dim))

    @property
    def takes_clips(self) -> bool:
        """Whether the head takes the frames of a clip together."""
        return self.head in CLIP_HEADS

    def take_encoder(self, encoder: AudioVisualEncoder) -> dict[str, str]:
        """Copy the weights of an encoder of the same configuration; the head stays as it is.

        Position tables are made to fit another audio length or frame size; returns the changes of `fit_positions`.
        """
        own = self.state_dict()
        shared = {name: value for name, value in encoder.state_dict().items() if name in own}
        pretrained, changes = fit_positions(shared, self.config)
        self.load_state_dict({name: own[name] if self.is_of_head(name) else pretrained[name] for name in own})
        return changes

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

    def forward(
        self,
        fbank: Tensor | None = None,
        frames: Tensor | None = None,
        mode: Mode = "multimodal",
        frames_per_clip: int = 1,
    ) -> Tensor:
        """Logits (B, label_dim) from log-mel (B, audio_length, 128), frames (B, [T,] 3, H, W), or both.

        frames_per_clip: with a head on clips, so many successive rows are the frames of one clip, in the order of time,
        and there is one row of logits for each clip.
        Raises ConfigError where the mode is unknown, its input is missing, or the head does not take it.
        """
        if self.takes_clips:
            return self._of_clips(self._frame_features(fbank, frames, mode), frames_per_clip)
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

    def _frame_features(self, fbank: Tensor | None, frames: Tensor | None, mode: Mode) -> Tensor:
        """Features (B, W) of each frame with its audio, for a head on clips, as in the public code.

        self_attention_cls: the global tokens of audio and of video, side by side, as they leave the modality's own
        blocks; without global tokens the means of the tokens. Other heads: mean of the joint stream's tokens.
        """
        tokens = []
        if mode in ("multimodal", "audio-only") and fbank is not None:
            tokens.append(self.audio_stream(self.embed_audio(fbank)))
        if mode in ("multimodal", "visual-only") and frames is not None:
            tokens.append(self.visual_stream(self.embed_frames(frames)))
        wanted = {"self_attention_cls": (2,), "self_attention_cls_single": (1,), "concat_mlp": (1, 2)}[self.head]
        if len(tokens) not in wanted or len(tokens) != (2 if mode == "multimodal" else 1):
            use = "multimodal" if wanted == (2,) else "audio-only or visual-only"
            raise ConfigError(f"The head {self.head} does not take mode '{mode}' with these inputs: use {use}.")
        if self.head == "self_attention_cls":
            return torch.cat([self._first_or_mean(self._without_registers(part)) for part in tokens], dim=1)
        if len(tokens) == 2:
            return torch.cat(self.joint_stream(tokens[0], tokens[1]), dim=1).mean(dim=1)
        return self._without_registers(self.joint_blocks({"joint": tokens[0]})["joint"]).mean(dim=1)

    def _first_or_mean(self, tokens: Tensor) -> Tensor:
        return tokens[:, 0] if self.config.cls_token else tokens.mean(dim=1)

    def _of_clips(self, features: Tensor, frames_per_clip: int) -> Tensor:
        """Logits (B / frames_per_clip, label_dim) from the features (B, W) of successive frames."""
        is_fixed = self.head == "concat_mlp"
        if frames_per_clip < 1 or len(features) % frames_per_clip or (is_fixed and frames_per_clip != CONCAT_FRAMES):
            raise ConfigError(
                f"{len(features)} frames came for clips of {frames_per_clip}, expected a multiple"
                + (f" and {CONCAT_FRAMES} frames per clip" if is_fixed else "")
                + ": give every clip equally many."
            )
        clips = features.unflatten(0, (-1, frames_per_clip))
        if is_fixed:
            return cast(Tensor, self.mlp_head(clips.flatten(1)))
        tokens = torch.cat([self.cls_cls_token.expand(len(clips), -1, -1), clips], dim=1)
        first = run_blocks(self.classifier_layers, tokens)[:, 0]
        return cast(Tensor, self.classifier_head(self.classifier_norm(first)))

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
