"""A checkpoint of one audio length or frame size starts a model of another."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import small_config, small_model

from cavsync.errors import CheckpointError
from cavsync.model import CAVMAESync
from cavsync.model.checkpoint import save_model
from cavsync.model.fit_positions import fit_positions
from cavsync.model.load import initialise_from


def distinct(model: CAVMAESync) -> CAVMAESync:
    """Fill every position table with numbers that say where they come from."""
    for name, value in model.state_dict().items():
        if "pos_embed" in name:
            value.copy_(torch.arange(value.shape[1], dtype=torch.float32)[None, :, None].expand(value.shape))
    return model


def test_a_shorter_model_keeps_each_patch_s_position(tmp_path: Path) -> None:
    """Of a frequency-major table, the first steps of time in each band; it says so, the rest is copied."""
    whole = distinct(small_model(seed=1))
    save_model(whole, tmp_path / "run", 0)
    columns = whole.config.audio_length // 16
    short = CAVMAESync(whole.config.model_copy(update={"audio_length": whole.config.audio_length - 16}))
    changes = initialise_from(short, tmp_path / "run")
    state = short.state_dict()
    for name in ("pos_embed_a", "decoder_pos_embed_a"):
        wanted = [band * columns + step for band in range(8) for step in range(columns - 1)]
        assert state[name][0, :, 0].tolist() == wanted
        assert changes[name] == f"the first {columns - 1} of {columns} steps of time are used"
    assert len(changes) == 2
    assert initialise_from(small_model(), tmp_path / "run") == {}
    for name, value in whole.state_dict().items():
        if "pos_embed_a" not in name:
            assert torch.equal(state[name], value)


def test_a_longer_model_stretches_them() -> None:
    """Over time only, by linear interpolation at the middle of each step, beyond the ends constant."""
    state = {"pos_embed_a": torch.randn(1, 8 * 4, 6)}
    config = small_config().model_copy(update={"audio_length": 16 * 10})
    got = fit_positions(state, config)[0]["pos_embed_a"].unflatten(1, (8, 10)).numpy()
    old = state["pos_embed_a"].unflatten(1, (8, 4)).numpy()
    places = (np.arange(10) + 0.5) * 4 / 10 - 0.5
    for band in range(8):
        for channel in range(6):
            wanted = np.interp(places, np.arange(4), old[0, band, :, channel])
            np.testing.assert_allclose(got[0, band, :, channel], wanted, atol=1e-6)


def test_another_frame_size() -> None:
    """A table that is linear in both directions stays so inside the frame."""
    rows, columns = np.meshgrid(np.arange(14.0), np.arange(14.0), indexing="ij")
    table = torch.from_numpy(np.stack([rows, columns], axis=-1)).float().reshape(1, 196, 2)
    config = small_config().model_copy(update={"img_size": 112})
    got = fit_positions({"pos_embed_v": table}, config)[0]["pos_embed_v"].reshape(7, 7, 2).numpy()
    inner = (np.arange(7) + 0.5) * 2 - 0.5
    np.testing.assert_allclose(got[1:-1, 1:-1, 0], np.broadcast_to(inner[1:-1, None], (5, 5)), atol=1e-4)
    np.testing.assert_allclose(got[1:-1, 1:-1, 1], np.broadcast_to(inner[None, 1:-1], (5, 5)), atol=1e-4)


def test_what_does_not_fit_otherwise_is_still_refused(tmp_path: Path) -> None:
    """Another width is no matter of positions."""
    save_model(small_model(seed=1), tmp_path / "run", 0)
    wide = CAVMAESync(small_config().model_copy(update={"embed_dim": 2 * small_config().embed_dim}))
    with pytest.raises(CheckpointError, match="do not fit the model"):
        initialise_from(wide, tmp_path / "run")
