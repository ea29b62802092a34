"""Presets hold what the papers and REFERENCE facts say, and overrides reach the right record."""

import pytest
import torch

from cavsync.errors import ConfigError
from cavsync.model import CAVMAESync
from cavsync.train import PRESETS, override, preset


def parameters(name: str) -> int:
    """Parameter count of a preset's model."""
    with torch.device("meta"):
        return sum(p.numel() for p in CAVMAESync(preset(name)[0]).parameters())


def test_names() -> None:
    """The four presets are there; another name is refused with the list."""
    assert set(PRESETS) == {"debug", "sync-tiny", "cav-mae-sync-base", "cav-mae-base"}
    with pytest.raises(ConfigError, match="debug, sync-tiny"):
        preset("large")


def test_published_sizes_and_recipe() -> None:
    """The released Sync has 190.66 M parameters; both base presets use CAV-MAE's Adam."""
    assert parameters("cav-mae-sync-base") / 1e6 == pytest.approx(190.66, abs=0.01)
    for name in ("cav-mae-sync-base", "cav-mae-base"):
        model, train = preset(name)
        assert (train.optimizer, train.betas, train.weight_decay) == ("adam", (0.95, 0.999), 5e-7)
        assert (train.learning_rate, train.batch_clips, train.epochs) == (5e-5, 48, 25)
        assert (train.mask_ratio_audio, train.mask_ratio_visual, train.contrast_loss_weight) == (0.75, 0.75, 0.01)
        assert train.frames_per_clip == {416: 16, 1024: 10}[model.audio_length]


def test_sync_tiny_draws_several_instants() -> None:
    """What teaches time is on, and the model is small."""
    _, train = preset("sync-tiny")
    assert train.instants_per_clip > 1
    assert train.negatives == "clip"
    assert parameters("sync-tiny") < 5e6


def test_override() -> None:
    """Each key changes the record that knows it; unknown keys and bad values are refused by a sentence."""
    model, train = override(*preset("debug"), {"embed_dim": 96, "batch_clips": 2})
    assert (model.embed_dim, train.batch_clips) == (96, 2)
    with pytest.raises(ConfigError, match="Unknown option 'batchclips'"):
        override(*preset("debug"), {"batchclips": 2})
    with pytest.raises(ConfigError, match="batch_clips"):
        override(*preset("debug"), {"batch_clips": 0})
