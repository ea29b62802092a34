"""The log-mel front end as one graph: a strided convolution, a power, a mel matrix and a logarithm.

Everything up to the spectrum is linear in a frame's 400 samples: the removal of the frame's mean, Kaldi's pre-emphasis,
the Hann window and the 512-point Fourier transform. The product of these matrices is computed once, in float64.
"""

from __future__ import annotations

import numpy as np
import torch
import torchaudio.compliance.kaldi as kaldi
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from cavsync.data.logmel import NUM_MEL_BINS
from cavsync.media.align import FRAME_LENGTH_SAMPLES, FRAME_SHIFT_SAMPLES, SAMPLE_RATE_HZ

FFT_LENGTH = 512
PRE_EMPHASIS = 0.97
LOW_FREQUENCY_HZ = 20.0


class LogMelFrontend(nn.Module):
    """Mono 16 kHz samples (B, n) -> raw log-mel (B, frames, 128), the same as `cavsync.data.logmel.log_mel`.

    Frame m covers samples [160 m, 160 m + 400), so audio may be fed in blocks. Source: Kaldi's compute-fbank-feats with
    htk_compat, a Hann window and no dither.
    """

    spectrum: Tensor
    mel: Tensor

    def __init__(self) -> None:
        super().__init__()
        spectrum = torch.from_numpy(spectrum_matrix()).float()
        self.register_buffer("spectrum", spectrum[:, None, :])
        banks, _ = kaldi.get_mel_banks(
            NUM_MEL_BINS, FFT_LENGTH, float(SAMPLE_RATE_HZ), LOW_FREQUENCY_HZ, 0.0, 100.0, -500.0, 1.0
        )
        # Kaldi's banks omit the bin at half the sample rate, where every triangle is zero.
        self.register_buffer("mel", F.pad(banks, (0, 1)).T.contiguous())

    def forward(self, waveform: Tensor) -> Tensor:
        """Transform waveform (B, n) float32 to log-mel (B, (n - 400) // 160 + 1, 128)."""
        parts = F.conv1d(waveform[:, None, :], self.spectrum, stride=FRAME_SHIFT_SAMPLES).transpose(1, 2)
        real, imaginary = parts.chunk(2, dim=-1)
        energies = (real * real + imaginary * imaginary) @ self.mel
        return energies.clamp(min=torch.finfo(torch.float32).eps).log()


def spectrum_matrix() -> NDArray[np.float64]:
    """Return the matrix (2 · 257, 400) from a frame's samples to the real and imaginary parts of its spectrum."""
    length = FRAME_LENGTH_SAMPLES
    centre = np.eye(length) - 1 / length
    emphasis = np.eye(length) - PRE_EMPHASIS * np.eye(length, k=-1)
    # Kaldi's pre-emphasis takes the sample before the first to equal the first.
    emphasis[0, 0] -= PRE_EMPHASIS
    window = np.diag(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / (length - 1)))
    phases = 2 * np.pi * np.outer(np.arange(FFT_LENGTH // 2 + 1), np.arange(length)) / FFT_LENGTH
    fourier = np.concatenate([np.cos(phases), -np.sin(phases)])
    return np.asarray(fourier @ window @ emphasis @ centre, dtype=np.float64)
