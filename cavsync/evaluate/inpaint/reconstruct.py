"""Fill in hidden patches with a model's decoder, in the units of its input, and measure the error."""

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
    """One modality of a batch: `filled` (B, C, H, W), the normalised input with predictions in its hidden patches,
    `hidden` bool (B, N), and the mean squared errors (B,) over each item's hidden patches:

    mse: of the prediction. baseline_mse: of a guess without a model. trained_mse: in the space of the training loss,
    which differs from `mse` with norm_pix_loss only.
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
    """Hide patches of normalised log-mel (B, audio_length, 128) and frames (B, [T,] 3, H, W), and fill them in; return
    audio, as images (B, 1, 128, audio_length), and frames, (B, 3 T, H, W).

    With norm_pix_loss the decoder predicts each patch minus its mean, divided by its standard deviation. Both are taken
    from the original patch to undo that, which reveals the brightness and contrast of every hidden patch. The baseline
    is then that mean; otherwise it is the mean of the item's visible patches. Raises ConfigError for a model without a
    decoder, or shapes that do not fit.
    """
    config = model.config
    audio = model.audio_stream(model.embed_visible_audio(fbank, audio_masking))
    visual = model.visual_stream(model.embed_visible_frames(frames, visual_masking))
    decoded = model.decode(*model.joint_stream(audio, visual), audio_masking, visual_masking)
    originals = (
        (spectrogram_image(fbank, config), audio_masking.hidden, config.audio_grid),
        (stacked_frames(frames, config), visual_masking.hidden, config.visual_grid),
    )
    inpainted_audio, inpainted_frames = (
        _compare(prediction, *original, config.patch_size, config.norm_pix_loss)
        for prediction, original in zip(decoded, originals, strict=True)
    )
    return inpainted_audio, inpainted_frames


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
    """Return the mean squared error (B,) of each item over its hidden patches; NaN for an item without any."""
    error = (prediction - original).square().mean(dim=-1)
    return (error * hidden).sum(dim=1) / hidden.sum(dim=1)
