"""The fine-tuned classifier in its three modes."""

import pytest
import torch
from small_models import small_config, small_inputs, small_model

from cavsync.errors import ConfigError
from cavsync.model.classifier import CAVMAEFT

MODES = ["multimodal", "audio-only", "visual-only"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "options", [{}, {"cls_token": False, "num_register_tokens": 0}, {"keep_register_tokens": True}]
)
def test_modes_train_also_with_a_batch_of_one(mode, options) -> None:
    model = CAVMAEFT(small_config(**options), 5)
    fbank, frames = small_inputs(model.config, batch=1)
    logits = model(fbank, frames, mode)
    assert logits.shape == (1, 5)
    logits.square().sum().backward()
    assert model.blocks_u[0].attn.qkv.weight.grad.abs().sum() > 0


def test_one_modality_uses_nothing_of_the_other() -> None:
    model = CAVMAEFT(small_config(), 5).eval()
    fbank, frames = small_inputs(model.config)
    with torch.no_grad():
        torch.testing.assert_close(model(fbank, None, "audio-only"), model(fbank, frames, "audio-only"))
        torch.testing.assert_close(model(None, frames, "visual-only"), model(fbank, frames, "visual-only"))
        torch.testing.assert_close(model(fbank, mode="audio-only"), model.mlp_head(model.encode_audio(fbank).pooled))
        assert not torch.allclose(model(fbank, frames), model(fbank, frames.flip(0)))


def test_from_encoder_copies_every_encoder_tensor() -> None:
    pretrained = small_model(seed=3)
    model = CAVMAEFT.from_encoder(pretrained, 5)
    theirs, ours = pretrained.state_dict(), model.state_dict()
    assert {name for name in ours if name not in theirs} == {
        f"mlp_head.{i}.{kind}" for i in "01" for kind in ("weight", "bias")
    }
    assert not any("decoder" in name for name in ours)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours if name in theirs)
    with torch.no_grad():
        model.norm.weight.add_(1.0)
    assert torch.equal(pretrained.norm.weight, torch.ones(32))


def test_wrong_use_is_refused() -> None:
    model = CAVMAEFT(small_config(), 5)
    fbank, _ = small_inputs(model.config)
    with pytest.raises(ConfigError, match="lacks an input"):
        model(fbank)
    with pytest.raises(ConfigError, match="'sound' is unknown"):
        model(fbank, mode="sound")
    with pytest.raises(ConfigError, match="at least one label"):
        CAVMAEFT(small_config(), 0)
