"""Options of ours for small sync models: frame differences, the convolutional stem, maximum pooling."""

import numpy as np
import pytest
import torch
from small_models import small_config, small_inputs, small_model

from cavsync.errors import ConfigError
from cavsync.model.patch import embedded_frames

TUBELET = {"num_frames": 3, "frame_differences": True, "cls_token": False, "max_pooling": True, "conv_stem": True}


def test_frame_differences_by_hand() -> None:
    """Channels: the middle frame, then four times what changes from frame to frame."""
    config = small_config(num_frames=3, frame_differences=True)
    _, frames = small_inputs(config)
    array = frames.numpy()
    want = np.concatenate([array[:, 1], 4 * (array[:, 1] - array[:, 0]), 4 * (array[:, 2] - array[:, 1])], axis=1)
    np.testing.assert_allclose(embedded_frames(frames, config).numpy(), want, atol=1e-5)


def test_a_still_tubelet_shows_no_motion() -> None:
    """Equal frames leave the channels of motion at zero."""
    config = small_config(num_frames=3, frame_differences=True)
    still = torch.randn(2, 1, 3, 48, 48).expand(-1, 3, -1, -1, -1)
    assert embedded_frames(still, config)[:, 3:].abs().max() == 0


def test_pooling_is_the_maximum_of_the_patch_tokens() -> None:
    """Channel by channel, for both modalities."""
    model = small_model(**TUBELET).eval()
    fbank, frames = small_inputs(model.config)
    for encoded in (model.encode_audio(fbank), model.encode_frames(frames)):
        np.testing.assert_array_equal(encoded.pooled.detach().numpy(), encoded.patches.detach().numpy().max(axis=1))


def test_stem_keeps_the_grid_and_learns() -> None:
    """As many tokens as linear patches give; a pretraining step, reconstruction included, reaches the stem."""
    model = small_model(**TUBELET)
    fbank, frames = small_inputs(model.config)
    assert model.embed_frames(frames).shape == (4, 9, 32)
    assert model.embed_audio(fbank).shape == (4, 40, 32)
    model(fbank, frames).loss.backward()
    for name, parameter in model.named_parameters():
        if name.startswith("patch_embed"):
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frame_differences": True}, "num_frames is 1"),
        ({"max_pooling": True}, "global token"),
        ({"conv_stem": True, "patch_size": 24, "img_size": 48, "audio_length": 96}, "patch_size"),
    ],
)
def test_contradictions_are_refused(options: dict[str, int], words: str) -> None:
    """One sentence each."""
    with pytest.raises(ConfigError, match=words):
        small_config(**options)
