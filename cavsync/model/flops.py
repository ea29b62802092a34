"""Parameters and floating-point operations by part of the model, counted by PyTorch on tensors without memory.

A multiplication with its addition counts as two operations. `torch.utils.flop_counter` counts matrix products and
convolutions; norms, softmax and GELU are left out, together less than 1 % at the released size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from cavsync.kernels import OPERATIONS, use_backend
from cavsync.model.block import Block, Stream
from cavsync.model.cav_mae_sync import CAVMAESync
from cavsync.model.classifier import TrainedMode
from cavsync.model.config import NUM_MEL_BINS, ModelConfig
from cavsync.model.encoder import AudioVisualEncoder
from cavsync.model.masking import draw_masking

Part = Literal["audio", "visual", "joint", "decoder"]

AUDIO_MARKS = ("_a", "_audio")
VISUAL_MARKS = ("_v", "_visual")


class EncoderFlops(NamedTuple):
    """Operations to embed one audio segment and one tubelet, unmasked: modality-specific and joint blocks, heads."""

    audio: float
    visual: float


@dataclass(frozen=True)
class PairFlops:
    """Operations for one (frame, audio) pair.

    audio, visual: patch embedding and modality-specific blocks. joint: the joint blocks for all their streams, and the
    contrastive heads. decoder: everything after the joint norm. training: a whole step, forward and backward, with what
    activation checkpointing computes a second time.
    """

    audio: float
    visual: float
    joint: float
    decoder: float
    training: float

    @property
    def forward(self) -> float:
        """All four parts."""
        return self.audio + self.visual + self.joint + self.decoder


@dataclass(frozen=True)
class ParameterCount:
    """All parameters, and the trained ones: fixed position tables are not."""

    total: int
    trained: int


@lru_cache(maxsize=64)
def encoder_flops(config: ModelConfig) -> EncoderFlops:
    """Operations of `encode_audio` and of `encode_frames`, per item."""
    with _without_memory(), torch.no_grad():
        model, (fbank, frames) = AudioVisualEncoder(config), _pair(config)
        with _Laps() as laps:
            model.encode_audio(fbank)
            audio = laps.next()
            model.encode_frames(frames)
            return EncoderFlops(audio, laps.next())


@lru_cache(maxsize=64)
def pretraining_flops(
    config: ModelConfig,
    mask_ratio_audio: float = 0.75,
    mask_ratio_visual: float = 0.75,
    mae_loss_weight: float = 1.0,
    contrast_loss_weight: float = 0.01,
    *,
    contrast_mask_ratio: float | None = None,
    activation_checkpointing: bool = False,
) -> PairFlops:
    """Operations of `CAVMAESync.forward` per pair; arguments as there, a weight of 0 leaves out its part.

    contrast_mask_ratio: that of a second pass for the contrast, None without one. The contrastive logits, which grow
    with the batch, are left out. With multi_ratio_masking both other ratios are the mean of those that are drawn.
    Raises ConfigError for a ratio outside [0, 1), or a decoder that is missing.
    """
    if config.multi_ratio_masking:
        mask_ratio_audio = mask_ratio_visual = _mean_mask_ratio(config)
    with _without_memory():
        model, (fbank, frames) = CAVMAESync(config), _pair(config)
        _recompute(model, activation_checkpointing)
        maskings = (
            draw_masking(1, config.audio_grid, mask_ratio_audio, config.mask_mode_audio),
            draw_masking(1, config.visual_grid, mask_ratio_visual, config.mask_mode_visual),
        )
        streams: dict[Stream, Tensor] = {}
        audio_flops = visual_flops = 0.0
        with _Laps() as laps:
            if contrast_loss_weight:
                seen = maskings
                if contrast_mask_ratio is not None:
                    seen = (
                        draw_masking(1, config.audio_grid, contrast_mask_ratio),
                        draw_masking(1, config.visual_grid, contrast_mask_ratio),
                    )
                audio = model.audio_stream(model.embed_visible_audio(fbank, seen[0]))
                audio_flops += laps.next()
                visual = model.visual_stream(model.embed_visible_frames(frames, seen[1]))
                visual_flops += laps.next()
                streams = {"audio": audio, "visual": visual}
            if mae_loss_weight:
                if not contrast_loss_weight or contrast_mask_ratio is not None:
                    audio = model.audio_stream(model.embed_visible_audio(fbank, maskings[0]))
                    audio_flops += laps.next()
                    visual = model.visual_stream(model.embed_visible_frames(frames, maskings[1]))
                    visual_flops += laps.next()
                streams["joint"] = model.joint_input(audio, visual)
            results = model.joint_blocks(streams)
            joint_flops = laps.next()
            outputs = [model.pool(results[stream]).pooled for stream in streams if stream != "joint"]
            if mae_loss_weight:
                num_audio = audio.shape[1] - int(config.cls_token)
                joint = model.split_joint(results["joint"], num_audio)
                outputs += model.decode(*joint, *maskings)
            decoder_flops = laps.next()
            _backward(outputs)
            return PairFlops(audio_flops, visual_flops, joint_flops, decoder_flops, laps.total)


@lru_cache(maxsize=64)
def classification_flops(
    config: ModelConfig,
    mode: TrainedMode = "multimodal",
    *,
    freeze_encoder: bool = False,
    activation_checkpointing: bool = False,
) -> PairFlops:
    """Operations of a classifier's encoder per pair: nothing is masked or decoded, the head is left out.

    A single modality counts as its own part, joint blocks included. A frozen encoder has no backward pass.
    """
    with _without_memory():
        model, (fbank, frames) = AudioVisualEncoder(config), _pair(config)
        _recompute(model, activation_checkpointing)
        outputs: list[Tensor] = []
        with _Laps() as laps, torch.set_grad_enabled(not freeze_encoder):
            if mode == "multimodal":
                audio = model.audio_stream(model.embed_audio(fbank))
                audio_flops = laps.next()
                visual = model.visual_stream(model.embed_frames(frames))
                visual_flops = laps.next()
                outputs += model.joint_stream(audio, visual)
            elif mode == "audio-only":
                outputs.append(model.encode_audio(fbank).pooled)
                audio_flops, visual_flops = laps.next(), 0.0
            else:
                outputs.append(model.encode_frames(frames).pooled)
                audio_flops, visual_flops = 0.0, laps.next()
            joint_flops = laps.next()
            if not freeze_encoder:
                _backward(outputs)
            return PairFlops(audio_flops, visual_flops, joint_flops, 0.0, laps.total)


def count_parameters(config: ModelConfig) -> dict[Part, ParameterCount]:
    """Parameters of each part, including norm sets that no stream uses, since checkpoints hold them."""
    with torch.device("meta"):
        model = CAVMAESync(config)
    totals: dict[Part, int] = {"audio": 0, "visual": 0, "joint": 0, "decoder": 0}
    trained = dict(totals)
    for name, parameter in model.named_parameters():
        for part, size in _shares(name, parameter):
            totals[part] += size
            trained[part] += size if parameter.requires_grad else 0
    return {part: ParameterCount(totals[part], trained[part]) for part in totals}


class _Laps:
    """PyTorch's counter, read stage by stage."""

    def __init__(self) -> None:
        self._counter = FlopCounterMode(display=False)
        self._read = 0

    def __enter__(self) -> _Laps:
        self._counter.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self._counter.__exit__(*failure)

    def next(self) -> float:
        """Operations since the last call."""
        before, self._read = self._read, self._counter.get_total_flops()
        return float(self._read - before)

    @property
    def total(self) -> float:
        """Operations since the start."""
        return float(self._counter.get_total_flops())


@contextmanager
def _without_memory() -> Iterator[None]:
    """Compute shapes only, with backends whose matrix products the counter sees, whatever CAVSYNC_BACKEND says."""
    with ExitStack() as stack:
        for operation in OPERATIONS:
            # The reference embeds hidden patches too.
            backend = "torch" if operation == "kept_patch_embedding" else "reference"
            stack.enter_context(use_backend(backend, operation))
        stack.enter_context(FakeTensorMode())
        yield


def _pair(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Log-mel (1, audio_length, 128) and frames (1, T, 3, H, W)."""
    side = config.img_size
    return (
        torch.empty(1, config.audio_length, NUM_MEL_BINS),
        torch.empty(1, config.num_frames, config.in_chans, side, side),
    )


def _recompute(model: nn.Module, activation_checkpointing: bool) -> None:
    for module in model.modules():
        if isinstance(module, Block):
            module.recompute = activation_checkpointing


def _backward(outputs: list[Tensor]) -> None:
    """Gradients of all weights that the outputs depend on; any loss has the same matrix products."""
    torch.stack([output.sum() for output in outputs]).sum().backward()


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


def _mean_mask_ratio(config: ModelConfig) -> float:
    ratios = config.mask_ratio_choices or config.mask_ratio_range
    return sum(ratios) / len(ratios)
