"""What a pair costs: parameters and floating-point operations by part, counted from the configuration alone.

A multiplication with its addition counts as two operations. Counted are matrix products and convolutions; norms,
softmax, GELU and the contrastive logits are left out, together under a hundredth at the released size.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal, NamedTuple, Self

import torch
from torch import nn

from cavsync.model.cav_mae_sync import CAVMAESync
from cavsync.model.config import Grid, ModelConfig
from cavsync.model.encoder import NUM_HEAD_BLOCKS
from cavsync.model.masking import count_visible
from cavsync.model.patch import ConvStem, patch_embedding

Part = Literal["audio", "visual", "joint", "decoder"]

# Of a product's two operands both get a gradient, each by a product of the same size.
BACKWARD_FORWARDS = 2
AUDIO_MARKS = ("_a", "_audio")
VISUAL_MARKS = ("_v", "_visual")


@dataclass(frozen=True)
class PairFlops:
    """Operations of one pretraining forward for one (frame, audio) pair.

    audio, visual: patch embedding and modality-specific blocks. joint: the joint blocks for all their streams, and the
    contrastive heads. decoder: all that follows the joint norm. recomputed: the share of the sum that activation
    checkpointing computes a second time, which is all blocks but for their last product.
    """

    audio: float
    visual: float
    joint: float
    decoder: float
    recomputed: float

    @property
    def forward(self) -> float:
        """All four parts."""
        return self.audio + self.visual + self.joint + self.decoder

    def training(self, activation_checkpointing: bool = False) -> float:
        """Forward and backward: three forwards, with activation checkpointing nearly four.

        Too much by the gradient of the frames and spectrograms, which nobody takes: a hundredth or so.
        """
        return (1 + BACKWARD_FORWARDS) * self.forward + (self.recomputed if activation_checkpointing else 0.0)


class EncoderFlops(NamedTuple):
    """Operations to embed one audio segment and one tubelet, unmasked: modality-specific and joint blocks, heads."""

    audio: float
    visual: float


class Work(NamedTuple):
    """Operations of a stack of blocks, and those of them that activation checkpointing repeats."""

    total: float = 0.0
    recomputed: float = 0.0

    @classmethod
    def of(cls, depth: int, tokens: int, dim: int, mlp_ratio: float) -> Self:
        """Of `depth` equal blocks. No gradient depends on a block's last product, so it is not repeated."""
        one, last = block_flops(tokens, dim, mlp_ratio), 2.0 * tokens * dim * int(dim * mlp_ratio)
        return cls(depth * one, depth * (one - last))

    def also(self, other: Work) -> Work:
        """Both together."""
        return Work(self.total + other.total, self.recomputed + other.recomputed)


@dataclass(frozen=True)
class ParameterCount:
    """Parameters in all, and those among them that are trained: fixed position tables are not."""

    total: int
    trained: int


def block_flops(tokens: int, dim: int, mlp_ratio: float) -> float:
    """Operations of one transformer block on one sequence: four projections, attention both ways, the MLP."""
    linear = 4 * dim * dim + 2 * dim * int(dim * mlp_ratio)
    return 2.0 * tokens * linear + 4.0 * tokens * tokens * dim


def encoder_flops(config: ModelConfig) -> EncoderFlops:
    """Operations of `encode_audio` and of `encode_frames`, per item."""
    found = []
    for channels, grid in ((1, config.audio_grid), (config.visual_channels, config.visual_grid)):
        patches = prod(grid)
        blocks = _specific(config, patches).also(_contrastive(config, patches))
        found.append(_embedding(config, channels, grid, patches) + blocks.total)
    return EncoderFlops(*found)


def pretraining_flops(
    config: ModelConfig,
    mask_ratio_audio: float = 0.75,
    mask_ratio_visual: float = 0.75,
    mae_loss_weight: float = 1.0,
    contrast_loss_weight: float = 0.01,
) -> PairFlops:
    """Operations of `CAVMAESync.forward` per pair; arguments as there, a weight of 0 leaves out its part.

    With multi_ratio_masking the mean of the ratios that are drawn is taken for both. Raises ConfigError for a ratio
    outside [0, 1).
    """
    if config.multi_ratio_masking:
        mask_ratio_audio = mask_ratio_visual = _mean_mask_ratio(config)
    waveform = count_visible(config.audio_grid, mask_ratio_audio, config.mask_mode_audio)
    frame = count_visible(config.visual_grid, mask_ratio_visual, config.mask_mode_visual)
    audio, visual = _specific(config, waveform), _specific(config, frame)
    joint = decoder = Work()
    ends = 0.0
    if mae_loss_weight:
        together = waveform + frame + 2 * _kept_registers(config)
        joint = Work.of(config.joint_depth, together, config.embed_dim, config.mlp_ratio)
        patches = prod(config.audio_grid) + prod(config.visual_grid)
        decoder = Work.of(config.decoder_depth, patches, config.decoder_embed_dim, config.mlp_ratio)
        ends = _decoder_ends(config, waveform + frame)
    if contrast_loss_weight:
        joint = joint.also(_contrastive(config, waveform)).also(_contrastive(config, frame))
    return PairFlops(
        audio=_embedding(config, 1, config.audio_grid, waveform) + audio.total,
        visual=_embedding(config, config.visual_channels, config.visual_grid, frame) + visual.total,
        joint=joint.total,
        decoder=decoder.total + ends,
        recomputed=sum(work.recomputed for work in (audio, visual, joint, decoder)),
    )


def count_parameters(config: ModelConfig) -> dict[Part, ParameterCount]:
    """Parameters of each part; norm sets that no stream uses count too, since checkpoints hold them."""
    with torch.device("meta"):
        model = CAVMAESync(config)
    totals: dict[Part, int] = {"audio": 0, "visual": 0, "joint": 0, "decoder": 0}
    trained = dict(totals)
    for name, parameter in model.named_parameters():
        for part, size in _shares(name, parameter):
            totals[part] += size
            trained[part] += size if parameter.requires_grad else 0
    return {part: ParameterCount(totals[part], trained[part]) for part in totals}


def _shares(name: str, parameter: nn.Parameter) -> list[tuple[Part, int]]:
    """Which parts a parameter belongs to, with its sizes there: half of the registers are audio's, half visual."""
    top, size = name.partition(".")[0], parameter.numel()
    if top == "register_tokens":
        return [("audio", size // 2), ("visual", size // 2)]
    if top.startswith("decoder_") or top == "mask_token":
        return [("decoder", size)]
    if top.endswith(AUDIO_MARKS):
        return [("audio", size)]
    if top.endswith(VISUAL_MARKS):
        return [("visual", size)]
    return [("joint", size)]


def _embedding(config: ModelConfig, channels: int, grid: Grid, visible: int) -> float:
    """Convolutions that make patch vectors: a linear embedding of the visible ones, a stem of the whole image."""
    with torch.device("meta"):
        embed = patch_embedding(channels, config)
    # The grid is the last layer's output; each stride before it doubles what the layer before has put out.
    positions, flops = prod(grid), 0.0
    for layer in reversed([module for module in embed.modules() if isinstance(module, nn.Conv2d)]):
        flops += 2.0 * layer.weight.numel() * positions
        positions *= prod(layer.stride)
    return flops if isinstance(embed, ConvStem) else flops * visible / prod(grid)


def _specific(config: ModelConfig, visible: int) -> Work:
    """The blocks of one modality, where its global token and all registers take part."""
    tokens = visible + config.cls_token + config.num_register_tokens
    return Work.of(config.modality_specific_depth, tokens, config.embed_dim, config.mlp_ratio)


def _contrastive(config: ModelConfig, visible: int) -> Work:
    """One modality's stream through the joint blocks, of which only the last counts where they are not chained."""
    tokens = visible + config.cls_token + _kept_registers(config)
    depth = config.joint_depth if config.chain_joint_blocks else 1
    depth += NUM_HEAD_BLOCKS if config.contrastive_heads else 0
    return Work.of(depth, tokens, config.embed_dim, config.mlp_ratio)


def _decoder_ends(config: ModelConfig, visible: int) -> float:
    """The decoder's first layer, on visible tokens, and its pixel heads, on all patches."""
    pixels = prod(config.audio_grid) + prod(config.visual_grid) * config.visual_channels
    return 2.0 * config.decoder_embed_dim * (visible * config.embed_dim + pixels * config.patch_size**2)


def _kept_registers(config: ModelConfig) -> int:
    return config.num_register_tokens if config.keep_register_tokens else 0


def _mean_mask_ratio(config: ModelConfig) -> float:
    ratios = config.mask_ratio_choices or config.mask_ratio_range
    return sum(ratios) / len(ratios)
