"""The front end graph against torchaudio's filter bank."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cavsync.data import segments
from cavsync.data.frontend import LogMelFrontend
from cavsync.data.logmel import log_mel
from cavsync.data.segments import AudioSegments
from cavsync.data.synth import ClipSpec, render
from cavsync.media.align import num_log_mel_frames

FRONTEND = LogMelFrontend()


def graph(waveform: torch.Tensor) -> torch.Tensor:
    """Log-mel (frames, 128) of samples (n,)."""
    return FRONTEND(waveform[None])[0]


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(400, 6000),
    level=st.floats(1e-4, 1.0),
    bias=st.floats(-0.3, 0.3),
    seed=st.integers(0, 2**31),
)
def test_equals_torchaudio_on_noise(length: int, level: float, bias: float, seed: int) -> None:
    """Any length and level; a constant bias changes nothing, because Kaldi removes each frame's mean."""
    noise = level * torch.randn(length, generator=torch.Generator().manual_seed(seed))
    got = graph(noise + bias)
    assert got.shape == (num_log_mel_frames(length), 128)
    # A bias far above a quiet signal costs float32 digits before anything is computed; and now and then a bin is what
    # two large numbers leave of each other, in torchaudio's arithmetic as in ours.
    lost = 3e-6 * abs(bias) / level
    error = (got - log_mel(noise)).abs()
    assert error.mean() <= 5e-5 + lost
    assert error.max() <= 5e-3 + 30 * lost


@pytest.mark.parametrize("family", ["impacts", "keys", "face"])
def test_equals_torchaudio_on_clips(family: str) -> None:
    """Tonal and noisy audio alike, with silence between: 1e-4 on average, and no single bin far away."""
    audio = render(ClipSpec(seed=3, family=family, duration_seconds=2.0)).audio.mean(axis=1)
    waveform = torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float32))
    error = (graph(waveform) - log_mel(waveform)).abs()
    assert error.mean() < 1e-4
    assert error.max() < 2e-2


def test_silence_is_the_floor() -> None:
    """Digital silence gives the logarithm of float32's epsilon, as Kaldi's floor does."""
    silence = torch.zeros(1600)
    torch.testing.assert_close(graph(silence), log_mel(silence))


def test_blocks_equal_the_whole() -> None:
    """Fed frame by frame or at once, the numbers are the same: the streaming scorer relies on it."""
    waveform = torch.randn(160 * 50 + 240, generator=torch.Generator().manual_seed(0))
    blocks = [graph(waveform[160 * first : 160 * (first + 7) + 240]) for first in range(0, 50, 7)]
    torch.testing.assert_close(torch.cat(blocks)[:50], graph(waveform)[:50], atol=1e-5, rtol=1e-5)


def test_only_lower_precision_is_switched_off_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.backends.cudnn.flags` switches cuDNN itself off where it is not told otherwise."""
    found: list[tuple[bool, bool, bool]] = []

    def transform(samples: torch.Tensor) -> torch.Tensor:
        cudnn = torch.backends.cudnn
        found.append((cudnn.enabled, cudnn.benchmark, cudnn.allow_tf32))
        return torch.zeros(len(samples), 4, 128)

    monkeypatch.setattr(segments, "_frontend", lambda _: transform)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    part = AudioSegments(torch.zeros(2, 1000), torch.ones(2, 4, dtype=torch.bool))
    segments.compute_log_mel([part], torch.device("cpu"))
    assert found == [(True, True, False)]
    assert torch.backends.cudnn.allow_tf32
