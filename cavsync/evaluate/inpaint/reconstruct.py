"""Fill in hidden patches with a model's decoder, in the units of its input, and measure how far off it is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cavsync.kernels import patchify, unpatchify
from cavsync.model import CAVMAESync
from cavsync.model.masking import Masking
from cavsync.model.patch import spectrogram_image, stacked_frames

PIXEL_NORM_EPS = 1e-6


@dataclass(frozen=True)
class Inpainted:
    """One modality of a batch: `filled` (B, C, H, W), the input with hidden patches predicted, normalised as the input;
    `hidden` bool (B, N); and per item, over its hidden patches, (B,):

    mse: against the input. baseline_mse: of a guess without a model. trained_mse: in the space that the model was
    trained in, which differs from `mse` with norm_pix_loss only.
    """

    filled: Tensor
    hidden: Tensor
    mse: Tensor
    baseline_mse: Tensor
    trained_mse: Tensor


@torch.inference_mode()
def reconstruct(
    model: CAVMAESync, fbank: Tensor, frames: Tensor, audio_masking: Masking, visual_masking: Masking
) -> tuple[Inpainted, Inpainted]:
    """Hide patches of normalised log-mel (B, audio_length, 128) and frames (B, [T,] 3, H, W), and fill them in; returns
    audio (as an image (B, 1, 128, audio_length)) and frame (B, 3 T, H, W).

    With norm_pix_loss the decoder predicts each patch less its mean, over its spread. Both are taken from the original
    patch to undo that: brightness and contrast of every hidden patch are then given away, only what lies within is
    the model's. The baseline is then that mean; otherwise it is the mean of the item's visible patches (of the whole
    item where none is hidden). Raises ConfigError for a model without a decoder, or shapes that do not fit.
    """
    config = model.config
    audio = model.audio_stream(model.embed_visible_audio(fbank, audio_masking))
    visual = model.visual_stream(model.embed_visible_frames(frames, visual_masking))
    decoded = model.decode(*model.joint_stream(audio, visual), audio_masking, visual_masking)
    waveform = spectrogram_image(fbank, config), audio_masking.hidden, config.audio_grid
    frame = stacked_frames(frames, config), visual_masking.hidden, config.visual_grid
    audio_found, frame_found = (
        _compare(prediction, *original, config.patch_size, config.norm_pix_loss)
        for prediction, original in zip(decoded, (waveform, frame), strict=True)
    )
    return audio_found, frame_found


def _compare(
    prediction: Tensor, image: Tensor, hidden: Tensor, grid: tuple[int, int], patch_size: int, norm_pix: bool
) -> Inpainted:
    original, prediction = patchify(image, patch_size).float(), prediction.float()
    visible = (~hidden).unsqueeze(-1)
    guess = (original * visible).sum(dim=(1, 2)) / (visible.sum(dim=(1, 2)) * original.shape[2])
    baseline = guess[:, None, None].expand_as(original)
    trained = _mse(prediction, original, hidden)
    if norm_pix:
        variance, baseline_mean = torch.var_mean(original, dim=-1, keepdim=True)
        spread = (variance + PIXEL_NORM_EPS).sqrt()
        trained = _mse(prediction, (original - baseline_mean) / spread, hidden)
        prediction, baseline = prediction * spread + baseline_mean, baseline_mean.expand_as(original)
    filled = torch.where(hidden.unsqueeze(-1), prediction, original)
    return Inpainted(
        filled=unpatchify(filled, grid, patch_size),
        hidden=hidden,
        mse=_mse(prediction, original, hidden),
        baseline_mse=_mse(baseline, original, hidden),
        trained_mse=trained,
    )


def _mse(prediction: Tensor, original: Tensor, hidden: Tensor) -> Tensor:
    """Mean squared error of each item over its hidden patches, (B,); not a number where none is hidden."""
    error = (prediction - original).square().mean(dim=-1)
    return (error * hidden).sum(dim=1) / hidden.sum(dim=1)
