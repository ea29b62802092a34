"""The fine-tuned classifier in its three modes."""

import pytest
import torch
import torch.nn.functional as F
from small_models import classifier_of, small_config, small_inputs, small_model

from cavsync.errors import ConfigError
from cavsync.model.classifier import CAVMAEFT, MODES


@pytest.mark.parametrize("head", ["linear", "attention"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "options", [{}, {"cls_token": False, "num_register_tokens": 0}, {"keep_register_tokens": True}]
)
def test_modes_train_also_with_a_batch_of_one(mode, options, head) -> None:
    model = CAVMAEFT(small_config(**options), 5, head)
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


def test_take_encoder_copies_every_encoder_tensor() -> None:
    pretrained = small_model(seed=3)
    model = classifier_of(pretrained, 5)
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
    with pytest.raises(ConfigError, match="'audio' is unknown"):
        model(fbank, mode="audio")
    with pytest.raises(ConfigError, match="at least one label"):
        CAVMAEFT(small_config(), 0)


@pytest.mark.parametrize(("mode", "stream"), [("missing-visual", "audio"), ("missing-audio", "visual")])
def test_missing_modality_is_the_mean_of_two_streams(mode, stream) -> None:
    """Half the joint stream of what is there, half its own; not what a model of one modality takes, nor zeros."""
    model = CAVMAEFT(small_config(), 5).eval()
    inputs = dict(zip(("audio", "visual"), small_inputs(model.config), strict=True))
    one = (inputs["audio"], None) if stream == "audio" else (None, inputs["visual"])
    with torch.no_grad():
        if stream == "audio":
            tokens, own = model.audio_stream(model.embed_audio(inputs["audio"])), model.encode_audio(inputs["audio"])
        else:
            tokens, own = (
                model.visual_stream(model.embed_frames(inputs["visual"])),
                model.encode_frames(inputs["visual"]),
            )
        joint = model.joint_blocks({"joint": tokens[:, 1:]})["joint"].mean(dim=1)
        found = model(*one, mode)
        torch.testing.assert_close(found, model.mlp_head((joint + own.pooled) / 2))
        assert not torch.allclose(found, model(*one, f"{stream}-only"))
        blank = {other: torch.zeros_like(value) for other, value in inputs.items()} | {stream: inputs[stream]}
        assert not torch.allclose(found, model(blank["audio"], blank["visual"]))


def test_attention_head_is_cross_attention() -> None:
    """PyTorch's own multi-head attention with the same weights, a query of one token."""
    model = CAVMAEFT(small_config(), 5, "attention").eval()
    pool, dim = model.attention_pool, 32
    reference = torch.nn.MultiheadAttention(dim, 2, batch_first=True)
    with torch.no_grad():
        torch.nn.init.normal_(pool.norm.weight)
        reference.in_proj_weight.copy_(torch.cat([torch.eye(dim), pool.key_value.weight]))
        reference.in_proj_bias.copy_(torch.cat([torch.zeros(dim), pool.key_value.bias]))
        reference.out_proj.load_state_dict(pool.proj.state_dict())
        tokens = torch.randn(3, 7, dim)
        normed = F.layer_norm(tokens, (dim,), pool.norm.weight, pool.norm.bias)
        expected = reference(pool.query.expand(3, -1, -1), normed, normed)[0][:, 0]
        torch.testing.assert_close(pool(tokens), expected, rtol=1e-5, atol=1e-6)


def test_probing_trains_the_head_alone() -> None:
    """No gradient and no batch statistics for the encoder, in training mode too."""
    model = CAVMAEFT(small_config(conv_stem=True), 5, "attention")
    model.freeze_encoder()
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(*small_inputs(model.config)).square().sum().backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained
    assert all(name.startswith(("mlp_head.", "attention_pool.")) for name in trained)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.mlp_head.training
    assert not model.patch_embed_v.training
