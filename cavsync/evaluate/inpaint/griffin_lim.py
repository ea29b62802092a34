"""Make audio from log-mel: mel energies to a power spectrum, then Griffin-Lim.

The phase, the fine structure between mel bins and everything below the floor are lost, because log-mel lacks them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray
from torch import Tensor

from cavsync.atomic import atomic_file
from cavsync.data.frontend import FFT_LENGTH, PRE_EMPHASIS, LogMelFrontend
from cavsync.media.align import FRAME_LENGTH_SAMPLES, FRAME_SHIFT_SAMPLES
from cavsync.media.audio_file import write_pcm16

ITERATIONS = 64
# A decoder may predict any value; this one is already a thousand times full scale.
MAX_LOG_MEL = 20.0


def audio_of(log_mel: Tensor, seed: int = 0) -> Tensor:
    """Make 16 kHz samples (160 (frames - 1) + 400,) that have about the given raw log-mel (frames, 128).

    Least squares with the Kaldi mel banks, negative power set to 0; Griffin-Lim with the front end's window and hop and
    with fast momentum (Perraudin et al. 2013); then the inverse of the pre-emphasis. The mean that the front end
    removes from each frame is not restored. Initial phases are random, drawn from `seed`.
    """
    banks: Tensor = LogMelFrontend().mel
    energies = log_mel.float().clamp(max=MAX_LOG_MEL).exp()
    power = torch.linalg.lstsq(banks.T, energies.T, driver="gelsd").solution.relu()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        emphasised = torchaudio.functional.griffinlim(
            power,
            window=torch.hann_window(FRAME_LENGTH_SAMPLES, periodic=False),
            n_fft=FFT_LENGTH,
            hop_length=FRAME_SHIFT_SAMPLES,
            win_length=FRAME_LENGTH_SAMPLES,
            power=2.0,
            n_iter=ITERATIONS,
            momentum=0.99,
            length=None,
            rand_init=True,
        )
    # Griffin-Lim centres its first frame on the first sample, the front end half a frame later.
    padded = torch.nn.functional.pad(emphasised, (FRAME_LENGTH_SAMPLES // 2,) * 2)
    inverse = torch.tensor([1.0, -PRE_EMPHASIS]), torch.tensor([1.0, 0.0])
    audio: Tensor = torchaudio.functional.lfilter(padded, *inverse, clamp=False)
    return audio


def write_wav(samples: NDArray[np.float32], path: Path) -> None:
    """Write mono 16 kHz samples as a 16-bit WAV atomically, scaled down if they exceed full scale."""
    peak = float(np.abs(samples).max(initial=0.0))
    with atomic_file(path) as stream:
        write_pcm16(stream, samples / max(peak, 1.0))
