"""Audio from a log-mel: the same log-mel again, at the same time, as loud as before."""

import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from shared_folder import shared_folder

from cavsync.data.logmel import log_mel
from cavsync.data.synth import ClipSpec, render
from cavsync.evaluate.inpaint.griffin_lim import audio_of, write_wav
from cavsync.media.align import SAMPLE_RATE_HZ
from cavsync.media.audio_file import read_audio


def _distance(samples: torch.Tensor) -> tuple[float, float]:
    """Mean distance of the log-mel of the audio of a log-mel from that log-mel, and their correlation."""
    wanted = log_mel(samples)
    found = log_mel(audio_of(wanted))
    assert found.shape == wanted.shape
    return float((found - wanted).abs().mean()), float(np.corrcoef(found.numpy().ravel(), wanted.numpy().ravel())[0, 1])


@pytest.mark.parametrize("family", ["face", "drummer"])
def test_round_trip_of_generated_audio(family: str) -> None:
    spec = ClipSpec(3, family, duration_seconds=2.0, width=64, height=64)
    distance, correlation = _distance(torch.from_numpy(render(spec).audio[:, 0]))
    assert distance < 0.35
    assert correlation > 0.97


@pytest.mark.shared
@pytest.mark.parametrize("clip", ["grid/*", "vggsound-a/*", "greatest-hits/*"])
def test_round_trip_of_real_audio(clip: str) -> None:
    """Within 0.35 in natural logarithms (1.5 dB of power) on the mean, for speech, music and impacts."""
    path = sorted((shared_folder("data") / "clips").glob(clip))[0]
    distance, correlation = _distance(torch.from_numpy(read_audio(path))[: 4 * SAMPLE_RATE_HZ])
    assert distance < 0.35
    assert correlation > 0.97


def test_a_tone_keeps_pitch_loudness_and_place() -> None:
    """Half a second of 1 kHz within two seconds of faint noise."""
    time = torch.arange(2 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tone = 0.3 * torch.sin(2 * torch.pi * 1000 * time) * ((time >= 0.7) & (time < 1.2))
    original = tone + 1e-3 * torch.randn(len(time), generator=torch.Generator().manual_seed(1))
    made = audio_of(log_mel(original))
    assert abs(len(made) - len(original)) < 160
    level = made.unfold(0, 400, 160).square().mean(dim=1).sqrt()
    loud = torch.nonzero(level > 0.1).flatten() * 0.01 + 0.0125
    assert float(loud[0]) == pytest.approx(0.7, abs=0.02)
    assert float(loud[-1]) == pytest.approx(1.2, abs=0.02)
    assert float(level.max()) == pytest.approx(0.3 / np.sqrt(2), rel=0.15)
    middle = made[int(0.75 * SAMPLE_RATE_HZ) : int(1.15 * SAMPLE_RATE_HZ)].numpy()
    loudest_hz = np.argmax(np.abs(np.fft.rfft(middle))) * SAMPLE_RATE_HZ / len(middle)
    assert loudest_hz == pytest.approx(1000, abs=40)


def test_equal_seeds_make_equal_audio_and_nothing_else_is_drawn() -> None:
    features = log_mel(torch.randn(8000, generator=torch.Generator().manual_seed(2)))
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = audio_of(features, seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, audio_of(features, seed=1))
    assert not torch.equal(first, audio_of(features, seed=2))
    assert torch.isfinite(audio_of(torch.full((5, 128), 1e6))).all()


def test_wav_files_are_whole_and_within_full_scale(tmp_path: Path) -> None:
    write_wav(np.array([0.0, 2.0, -1.0], dtype=np.float32), tmp_path / "loud.wav")
    with wave.open(str(tmp_path / "loud.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert np.frombuffer(file.readframes(3), "<i2").tolist() == [0, 32767, -16384]
    assert [path.name for path in tmp_path.iterdir()] == ["loud.wav"]
