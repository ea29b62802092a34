"""Log-mel features exactly as CAV-MAE's: torchaudio's Kaldi-compatible filter bank is the specification."""

from __future__ import annotations

import torchaudio.compliance.kaldi as kaldi
from torch import Tensor

from cavsync.media.align import FRAME_LENGTH_SAMPLES, SAMPLE_RATE_HZ

NUM_MEL_BINS = 128
AUDIO_MEAN = -5.081
AUDIO_STD = 4.4849


def log_mel(waveform: Tensor, mean: Tensor | None = None) -> Tensor:
    """Mono 16 kHz samples (n,) in [-1, 1] -> raw log-mel (frames, 128), 10 ms a frame.

    The mean of the waveform is removed first, or `mean`, where the samples are a part of a longer sound. Audio shorter
    than one 25 ms window gives no frame.
    """
    if waveform.numel() < FRAME_LENGTH_SAMPLES:
        return waveform.new_zeros((0, NUM_MEL_BINS))
    features: Tensor = kaldi.fbank(
        (waveform - (waveform.mean() if mean is None else mean))[None],
        htk_compat=True,
        sample_frequency=SAMPLE_RATE_HZ,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=NUM_MEL_BINS,
        dither=0.0,
        frame_shift=10,
    )
    return features


def normalise(features: Tensor) -> Tensor:
    """Raw log-mel -> the model's input, (x + 5.081) / 4.4849."""
    return (features - AUDIO_MEAN) / AUDIO_STD
