"""Every option trains, and the losses are what their definitions say."""

import math

import numpy as np
import pytest
import torch
from small_models import small_inputs, small_model

from cavsync.errors import ConfigError
from cavsync.model import CAVMAESync, ModelConfig
from cavsync.model.block import Block
from cavsync.model.config import CAV_MAE, CAV_MAE_SYNC

OPTIONS = {
    "default": {},
    "cav_mae": {"num_register_tokens": 0, "cls_token": False},
    "registers_without_global_token": {"cls_token": False},
    "global_token_without_registers": {"num_register_tokens": 0},
    "registers_kept": {"keep_register_tokens": True},
    "contrastive_heads": {"contrastive_heads": True},
    "heads_and_registers_kept": {"contrastive_heads": True, "keep_register_tokens": True},
    "global_and_local": {"global_local_losses": True},
    "both_directions": {"bidirectional_contrast": True},
    "time": {"mask_mode_audio": "time"},
    "frequency": {"mask_mode_audio": "frequency"},
    "time_frequency": {"mask_mode_audio": "time-frequency"},
    "norm_pix_loss": {"norm_pix_loss": True},
    "trained_positions": {"tr_pos": True},
    "multi_ratio": {"multi_ratio_masking": True},
    "learned_temperature": {"learnable_temperature": True},
    "tubelet": {"num_frames": 3},
    "two_joint_blocks": {"modality_specific_depth": 1},
    "chained_joint_blocks": {"modality_specific_depth": 1, "chain_joint_blocks": True},
    "all_joint": {"modality_specific_depth": 0, "depth": 1, "num_register_tokens": 0},
    "small_patches": {"patch_size": 8},
}


def _unused(name: str, config: ModelConfig) -> bool:
    """Norms of streams that a block does not serve; the contrastive norms of joint blocks that another replaces."""
    stack, index = name.split(".")[:2] if "." in name else (name, "")
    stream_norm = any(f"norm{number}_{kind}." in name for number in "12" for kind in "av")
    if stack != "blocks_u":
        return stream_norm
    replaced = not config.chain_joint_blocks and int(index) < config.joint_depth - 1
    return stream_norm and replaced


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_option_gives_every_used_parameter_a_finite_gradient(options) -> None:
    model = small_model(**options)
    output = model(*small_inputs(model.config), generator=torch.Generator().manual_seed(0))
    output.loss.backward()
    assert output.loss.isfinite()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad or _unused(name, model.config):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_embeddings_have_one_patch_token_per_patch(options) -> None:
    model = small_model(**options).eval()
    config = model.config
    fbank, frames = small_inputs(config, batch=1)
    for embedding, grid in (
        (model.encode_audio(fbank), config.audio_grid),
        (model.encode_frames(frames), config.visual_grid),
    ):
        assert embedding.pooled.shape == (1, config.embed_dim)
        assert embedding.patches.shape == (1, math.prod(grid), config.embed_dim)
        if not config.cls_token:
            torch.testing.assert_close(embedding.pooled, embedding.patches.mean(dim=1))


def test_the_published_model_has_its_published_size() -> None:
    with torch.device("meta"):
        model = CAVMAESync(CAV_MAE_SYNC)
        original = CAVMAESync(CAV_MAE)
    assert len(model.state_dict()) == 650
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(190.66, abs=0.005)
    assert not any("token_" in name or "register" in name for name in original.state_dict())
    assert CAV_MAE.audio_grid == (8, 64)


def test_loss_is_the_weighted_sum_of_its_terms() -> None:
    model = small_model()
    output = model(*small_inputs(model.config), mae_loss_weight=0.5, contrast_loss_weight=0.2)
    torch.testing.assert_close(output.loss_mae, 0.5 * (output.loss_mae_audio + output.loss_mae_visual))
    torch.testing.assert_close(output.loss, output.loss_mae + output.loss_contrastive)


def test_reconstruction_loss_covers_all_frames_of_a_tubelet() -> None:
    model = small_model(num_frames=2)
    fbank, frames = small_inputs(model.config, batch=2)
    with torch.no_grad():
        output = model(fbank, frames, 0.5, 0.5)
    errors = []
    for item, patch in np.argwhere(output.mask_visual.numpy()):
        row, column = divmod(int(patch), 3)
        pixels = frames[item, :, :, row * 16 : row * 16 + 16, column * 16 : column * 16 + 16].numpy()
        wanted = np.array(
            [pixels[t, c, y, x] for y in range(16) for x in range(16) for t in range(2) for c in range(3)]
        )
        errors.append(np.mean((output.prediction_visual[item, patch].numpy() - wanted) ** 2))
    assert output.loss_mae_visual.item() == pytest.approx(np.mean(errors), rel=1e-5)
    assert output.mask_visual.sum() == 2 * 5


def test_audio_patches_lie_frequency_major() -> None:
    model = small_model()
    fbank, frames = small_inputs(model.config, batch=1)
    with torch.no_grad():
        output = model(fbank, frames, 0.5, 0.5)
    errors = []
    for patch in np.flatnonzero(output.mask_audio[0].numpy()):
        mel, time = divmod(int(patch), 5)
        wanted = fbank[0, time * 16 : time * 16 + 16, mel * 16 : mel * 16 + 16].T.flatten()
        errors.append((output.prediction_audio[0, patch] - wanted).square().mean().item())
    assert output.loss_mae_audio.item() == pytest.approx(np.mean(errors), rel=1e-5)


@pytest.mark.parametrize(("bidirectional", "both"), [(False, False), (True, False), (True, True)])
def test_contrastive_loss_follows_from_the_embeddings(bidirectional, both) -> None:
    model = small_model(bidirectional_contrast=bidirectional, global_local_losses=both)
    fbank, frames = small_inputs(model.config, batch=5)
    ignore = torch.rand(5, 5, generator=torch.Generator().manual_seed(3)) < 0.3
    with torch.no_grad():
        # Without masking, the contrastive streams are the encoders themselves.
        output = model(fbank, frames, 0.0, 0.0, 0.0, 1.0, contrastive_ignore=ignore)
        audio, frame = model.encode_audio(fbank), model.encode_frames(frames)
    views = [(audio.pooled, frame.pooled)]
    if both:
        views.append((audio.patches.mean(1), frame.patches.mean(1)))
    losses = []
    for a, v in views:
        a, v = (x.numpy() / np.linalg.norm(x.numpy(), axis=1, keepdims=True) for x in (a, v))
        logits = v @ a.T / 0.05
        for matrix, skip in ((logits, ignore), (logits.T, ignore.T))[: 2 if bidirectional else 1]:
            for i in range(5):
                kept = [j for j in range(5) if i == j or not skip[i, j]]
                losses.append(np.log(np.exp(matrix[i, kept]).sum()) - matrix[i, i])
    assert output.loss.item() == pytest.approx(np.mean(losses), rel=1e-4)


def test_contrast_alone_needs_no_decoder() -> None:
    model = small_model(has_decoder=False)
    assert not any("decoder" in name or name == "mask_token" for name in model.state_dict())
    inputs = small_inputs(model.config)
    output = model(*inputs, mae_loss_weight=0.0)
    output.loss.backward()
    assert output.loss_mae == 0
    assert output.prediction_audio is None
    with pytest.raises(ConfigError, match="no decoder"):
        model(*inputs)


def test_reconstruction_alone_leaves_the_contrastive_norms_untouched() -> None:
    model = small_model()
    output = model(*small_inputs(model.config), contrast_loss_weight=0.0)
    output.loss.backward()
    assert output.loss_contrastive == 0
    assert model.norm_a.weight.grad is None
    assert model.norm.weight.grad is not None


@pytest.mark.parametrize("options", [{}, {"cls_token": False}, {"norm_pix_loss": True}])
def test_batch_of_one_and_no_masking(options) -> None:
    model = small_model(**options)
    output = model(*small_inputs(model.config, batch=1), 0.0, 0.0)
    output.loss.backward()
    assert output.loss.item() == 0.0
    assert not output.mask_audio.any()


def test_generators_make_a_forward_reproducible() -> None:
    model = small_model(multi_ratio_masking=True, mask_mode_audio="time-frequency").eval()
    inputs = small_inputs(model.config)
    first, again = (model(*inputs, generator=torch.Generator().manual_seed(4)) for _ in range(2))
    assert first.loss == again.loss
    assert torch.equal(first.mask_audio, again.mask_audio)


def test_multi_ratio_masking_changes_from_call_to_call() -> None:
    model = small_model(multi_ratio_masking=True, mask_ratio_range=(0.1, 0.9), has_decoder=False)
    inputs = small_inputs(model.config)
    shares = {model(*inputs, mae_loss_weight=0.0).mask_audio.float().mean().item() for _ in range(8)}
    assert len(shares) > 3


def test_two_joint_blocks_unchained_apply_only_the_last_to_the_input() -> None:
    plain = small_model(modality_specific_depth=1).eval()
    chained = small_model(modality_specific_depth=1, chain_joint_blocks=True).eval()
    chained.load_state_dict(plain.state_dict())
    fbank, _ = small_inputs(plain.config)

    def by_hand(block: Block, x: torch.Tensor) -> torch.Tensor:
        batch, length, dim = x.shape
        qkv = block.attn.qkv(block.norm1_a(x)).view(batch, length, 3, block.attn.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + block.attn.proj(mixed.transpose(1, 2).reshape(batch, length, dim))
        return x + block.mlp(block.norm2_a(x))

    with torch.no_grad():
        tokens = plain.audio_stream(plain.embed_audio(fbank))
        for block in plain.blocks_u:
            last = by_hand(block, tokens)
        torch.testing.assert_close(plain.encode_audio(fbank).pooled, plain.norm_a(last)[:, 0])
        for block in plain.blocks_u:
            tokens = by_hand(block, tokens)
        torch.testing.assert_close(chained.encode_audio(fbank).pooled, plain.norm_a(tokens)[:, 0])


def test_registers_belong_to_their_modality_and_never_become_features() -> None:
    model = small_model(keep_register_tokens=True).eval()
    fbank, frames = small_inputs(model.config)
    with torch.no_grad():
        before_audio, before_visual = model.encode_audio(fbank).pooled, model.encode_frames(frames).pooled
        model.register_tokens[:2] += torch.randn(2, 32)
        assert (model.encode_audio(fbank).pooled - before_audio).abs().max() > 1e-4
        assert torch.equal(model.encode_frames(frames).pooled, before_visual)
        assert model.encode_audio(fbank).patches.shape[1] == 40


def test_single_frames_come_with_or_without_a_time_dimension() -> None:
    model = small_model().eval()
    _, frames = small_inputs(model.config)
    with torch.no_grad():
        torch.testing.assert_close(model.encode_frames(frames), model.encode_frames(frames[:, None]))


def test_tubelet_embedding_stacks_frames_in_order() -> None:
    model = small_model(num_frames=2).eval()
    _, frames = small_inputs(model.config, batch=1)
    kernel = model.patch_embed_v.proj.weight
    with torch.no_grad():
        ours = model.embed_frames(frames)[0, 0] - model.pos_embed_v[0, 0] - model.modality_v[0, 0]
        expected = sum((kernel[:, 3 * t : 3 * t + 3] * frames[0, t, :, :16, :16]).sum((1, 2, 3)) for t in range(2))
    torch.testing.assert_close(ours, expected + model.patch_embed_v.proj.bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"cls_token": False, "contrastive_heads": True, "global_local_losses": False}])
def test_bfloat16_autocast_stays_close(options) -> None:
    model = small_model(**options)
    inputs = small_inputs(model.config)
    full = model(*inputs, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model(*inputs, generator=torch.Generator().manual_seed(0))
        embedding = model.encode_audio(inputs[0])
    mixed.loss.backward()
    assert mixed.loss.dtype is torch.float32
    assert mixed.loss.item() == pytest.approx(full.loss.item(), rel=2e-2)
    cosine = torch.cosine_similarity(embedding.pooled.float(), model.encode_audio(inputs[0]).pooled)
    assert cosine.min() > 0.999


def test_learned_temperature_starts_as_configured_and_keeps_its_floor() -> None:
    model = small_model(learnable_temperature=True, contrastive_temperature=0.2)
    assert model.temperature().item() == pytest.approx(0.2)
    with torch.no_grad():
        model.logit_scale.fill_(50.0)
    output = model(*small_inputs(model.config))
    output.loss.backward()
    assert output.temperature.item() == pytest.approx(0.01, rel=1e-5)
    assert model.logit_scale.grad is not None


def test_shapes_that_do_not_fit_are_refused_with_a_sentence() -> None:
    model = small_model()
    fbank, frames = small_inputs(model.config)
    with pytest.raises(ConfigError, match=r"Audio has shape \(4, 79, 128\), expected \(batch, 80, 128\)"):
        model.encode_audio(fbank[:, :79])
    with pytest.raises(ConfigError, match=r"expected \(batch, 3, 48, 48\)"):
        model.encode_frames(frames[..., :47])
    with pytest.raises(ConfigError, match="4 log-mels came with 3 frames"):
        model(fbank, frames[:3])
    with pytest.raises(ConfigError, match="ids_restore"):
        model(fbank, frames, ids_restore_audio=torch.arange(40)[None])
    with pytest.raises(ConfigError, match="contrastive_ignore"):
        model(fbank, frames, contrastive_ignore=torch.zeros(3, 3, dtype=torch.bool))
    with pytest.raises(ConfigError, match="loss weights"):
        model(fbank, frames, mae_loss_weight=0.0, contrast_loss_weight=0.0)


def test_a_few_steps_lower_the_loss() -> None:
    model = small_model(cls_token=False)
    inputs = small_inputs(model.config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = model(*inputs, contrast_loss_weight=1.0, generator=torch.Generator().manual_seed(0)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
