"""The stem that sees each pair of frames once: its numbers by hand, shared pairs, training, refusals."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import PAIRS, small_config, small_inputs, small_model
from torch.nn import functional as F

from cavsync.errors import ConfigError
from cavsync.model.patch import FramePairs, PairStem


def test_patch_vectors_by_hand() -> None:
    """Grey by the luma weights; a pair is its later frame and four times the change; the join is one product."""
    model = small_model(**PAIRS).eval()
    _, frames = small_inputs(model.config, batch=2)
    stem = model.patch_embed_v
    assert isinstance(stem, PairStem)
    grey = np.einsum("btchw,c->bthw", frames.double().numpy(), [0.299, 0.587, 0.114])
    images = np.stack([grey[:, 1:], 4 * (grey[:, 1:] - grey[:, :-1])], axis=2)
    with torch.no_grad():
        maps = torch.stack([stem.layers(torch.from_numpy(images[:, place]).float()) for place in range(3)], dim=1)
        rows = maps.permute(0, 3, 4, 1, 2).flatten(1, 2).flatten(2)
        want = F.linear(rows, stem.join.weight, stem.join.bias)
        np.testing.assert_allclose(stem(frames).numpy(), want.numpy(), atol=1e-5)


@given(starts=st.lists(st.integers(0, 6), min_size=1, max_size=5), step=st.integers(1, 3))
def test_shared_pairs_give_what_separate_tubelets_give(starts: list[int], step: int) -> None:
    """Tubelets of one clip, at any distance: each pair once, and the same embeddings."""
    model = small_model(**PAIRS).eval()
    clip = torch.randn(16, 3, 48, 48, generator=torch.Generator().manual_seed(5))
    places = torch.tensor(starts)[:, None] + step * torch.arange(4)
    pairs, which = torch.stack([places[:, :-1], places[:, 1:]], dim=2).flatten(0, 1).unique(dim=0, return_inverse=True)
    with torch.no_grad():
        shared = model.encode_frames(FramePairs(clip[pairs], which.view(len(starts), 3)))
        apart = model.encode_frames(clip[places])
    torch.testing.assert_close(shared.pooled, apart.pooled, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(shared.patches, apart.patches, atol=1e-5, rtol=1e-4)


def test_a_training_step_reaches_every_weight() -> None:
    """From the pretraining loss, with pairs in place of frames."""
    model = small_model(**PAIRS)
    fbank, frames = small_inputs(model.config)
    model(fbank, FramePairs.of(frames), mae_loss_weight=0.0, contrast_loss_weight=1.0).loss.backward()
    for name, parameter in model.patch_embed_v.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    "options",
    [{"num_frames": 1}, {"conv_stem": False}, {"frame_differences": True}, {"has_decoder": True}],
)
def test_contradictions_are_refused(options: dict[str, Any]) -> None:
    """One sentence that names the option."""
    with pytest.raises(ConfigError, match="pair_stem"):
        small_config(**{**PAIRS, **options})


def test_inputs_that_do_not_fit_are_refused() -> None:
    """Frames of another number or size, pairs for a model of another kind, fewer log-mels than tubelets."""
    model, plain = small_model(**PAIRS), small_model(num_frames=4)
    fbank, frames = small_inputs(model.config)
    with pytest.raises(ConfigError, match="expected \\(batch, 4, 3, 48, 48\\)"):
        model.encode_frames(frames[:, :3])
    with pytest.raises(ConfigError, match="without pair_stem"):
        plain.encode_frames(FramePairs.of(frames))
    with pytest.raises(ConfigError, match="3 log-mels came with 4 frames"):
        model(fbank[:3], FramePairs.of(frames), mae_loss_weight=0.0)


@pytest.mark.parametrize("pair_stem", [True, False])
def test_a_stem_is_wider_than_a_very_narrow_model(pair_stem: bool) -> None:
    """The convolutions keep their least width, and the patch vectors have the model's."""
    model = small_model(**PAIRS, embed_dim=8) if pair_stem else small_model(conv_stem=True, embed_dim=8)
    _, frames = small_inputs(model.config)
    assert model.embed_frames(frames).shape == (4, 9, 8)
