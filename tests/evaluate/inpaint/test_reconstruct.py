"""Filling in: errors equal the training loss and a loop, visible patches stay, norm_pix_loss is undone as it says."""

import numpy as np
import pytest
import torch
from small_models import small_inputs, small_model

from cavsync.errors import ConfigError
from cavsync.evaluate.inpaint.reconstruct import reconstruct
from cavsync.kernels import patchify
from cavsync.model import CAVMAESync
from cavsync.model.masking import Masking, draw_masking
from cavsync.model.patch import spectrogram_image, stacked_frames


def _masks(model: CAVMAESync, batch: int, ratio: float = 0.6) -> tuple[Masking, Masking]:
    generator = torch.Generator().manual_seed(3)
    config = model.config
    audio = draw_masking(batch, config.audio_grid, ratio, "time-frequency", generator=generator)
    return audio, draw_masking(batch, config.visual_grid, ratio, generator=generator)


@pytest.mark.parametrize("norm_pix", [False, True])
@pytest.mark.parametrize("num_frames", [1, 3])
def test_errors_are_the_training_loss(norm_pix: bool, num_frames: int) -> None:
    """Every item hides as many patches, so the loss of the batch is the mean of the items' errors."""
    model = small_model(norm_pix_loss=norm_pix, num_frames=num_frames).eval()
    fbank, frames = small_inputs(model.config)
    audio, visual = _masks(model, len(fbank), ratio=0.75)
    plain = draw_masking(len(fbank), model.config.audio_grid, 0.75, generator=torch.Generator().manual_seed(5))
    found = reconstruct(model, fbank, frames, plain, visual)
    with torch.no_grad():
        trained = model(fbank, frames, ids_restore_audio=plain.ids_restore, ids_restore_visual=visual.ids_restore)
    assert float(found[0].trained_mse.mean()) == pytest.approx(float(trained.loss_mae_audio), rel=1e-4)
    assert float(found[1].trained_mse.mean()) == pytest.approx(float(trained.loss_mae_visual), rel=1e-4)
    if not norm_pix:
        assert torch.equal(found[0].mse, found[0].trained_mse)
    assert not torch.equal(audio.ids_restore, plain.ids_restore)


@pytest.mark.parametrize("norm_pix", [False, True])
def test_error_counts_hidden_values_of_the_filled_image(norm_pix: bool) -> None:
    model = small_model(norm_pix_loss=norm_pix).eval()
    fbank, frames = small_inputs(model.config, batch=3)
    audio, visual = _masks(model, 3)
    patch = model.config.patch_size
    images = spectrogram_image(fbank, model.config), stacked_frames(frames, model.config)
    for image, masking, part in zip(
        images, (audio, visual), reconstruct(model, fbank, frames, audio, visual), strict=True
    ):
        filled, original = patchify(part.filled, patch).numpy(), patchify(image, patch).numpy()
        for item in range(3):
            hidden = masking.hidden[item].numpy()
            assert (filled[item, ~hidden] == original[item, ~hidden]).all()
            wrong = (filled[item, hidden] - original[item, hidden]) ** 2
            assert float(part.mse[item]) == pytest.approx(wrong.mean(), rel=1e-5)
            own_mean = original[item, hidden].mean(axis=1, keepdims=True)
            guess = own_mean if norm_pix else original[item, ~hidden].mean()
            assert float(part.baseline_mse[item]) == pytest.approx(
                ((original[item, hidden] - guess) ** 2).mean(), rel=1e-4
            )


def test_norm_pix_is_undone_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that predicts the normalised patch itself gives the original back."""
    model = small_model(norm_pix_loss=True).eval()
    fbank, frames = small_inputs(model.config, batch=2)
    images = spectrogram_image(fbank, model.config), stacked_frames(frames, model.config)
    perfect = []
    for image in images:
        patches = patchify(image, model.config.patch_size).numpy().astype(np.float64)
        centred = patches - patches.mean(axis=-1, keepdims=True)
        perfect.append(torch.tensor(centred / np.sqrt(patches.var(axis=-1, ddof=1, keepdims=True) + 1e-6)).float())
    monkeypatch.setattr(CAVMAESync, "decode", lambda *_: tuple(perfect))
    for part, image in zip(reconstruct(model, fbank, frames, *_masks(model, 2)), images, strict=True):
        assert part.filled.numpy() == pytest.approx(image.numpy(), abs=1e-4)
        assert float(part.mse.max()) < 1e-8
        assert float(part.baseline_mse.min()) > 0.5


def test_a_model_without_a_decoder_is_refused() -> None:
    model = small_model(has_decoder=False).eval()
    fbank, frames = small_inputs(model.config, batch=2)
    with pytest.raises(ConfigError, match="no decoder"):
        reconstruct(model, fbank, frames, *_masks(model, 2))
