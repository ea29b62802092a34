"""The packed forward (one joint pass, kept patches only, no target in memory) equals the plain one."""

import pytest
import torch
from small_models import small_config, small_inputs

from cavsync.kernels import use_backend
from cavsync.model import CAVMAESync
from cavsync.model.plain import plain_loss

# Head widths of 16: the narrowest that the kernels take.
WIDE = {"embed_dim": 32, "num_heads": 2, "decoder_embed_dim": 32, "decoder_num_heads": 2}
OPTIONS = {
    "default": {},
    "cav_mae": {"num_register_tokens": 0, "cls_token": False, "norm_pix_loss": True},
    "registers_kept": {"keep_register_tokens": True},
    "heads": {"contrastive_heads": True},
    "global_and_local": {"global_local_losses": True, "bidirectional_contrast": True},
    "two_joint_blocks": {"modality_specific_depth": 1},
    "two_chained": {"modality_specific_depth": 1, "chain_joint_blocks": True},
    "trained": {"tr_pos": True, "learnable_temperature": True},
    "tubelet": {"num_frames": 2, "frame_differences": True},
    "stem": {"conv_stem": True},
}
BACKENDS = ("automatic", "reference", "torch", "triton")


def both(backend: str, dtype: torch.dtype, options: dict) -> tuple[dict, dict, torch.Tensor, torch.Tensor]:
    """Gradients by name and losses of the packed and the plain forward, from the same weights, inputs and masks."""
    torch.manual_seed(0)
    model = CAVMAESync(small_config(**{**WIDE, **options})).to(dtype).eval()
    fbank, frames = (item.to(dtype) for item in small_inputs(model.config, batch=3))
    ids = {
        f"ids_restore_{name}": torch.rand(3, rows * columns).argsort(dim=1)
        for name, (rows, columns) in (("audio", model.config.audio_grid), ("visual", model.config.visual_grid))
    }
    if backend == "automatic":
        packed = model(fbank, frames, **ids).loss
    else:
        with use_backend(backend):
            packed = model(fbank, frames, **ids).loss
    packed.backward()
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    with use_backend("reference"):
        plain = plain_loss(model, fbank, frames, **ids)
    plain.backward()
    wanted = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    return found, wanted, packed, plain


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_one_pass_equals_three(options: dict) -> None:
    """In float64, where nothing but the order of sums differs."""
    found, wanted, packed, plain = both("reference", torch.float64, options)
    torch.testing.assert_close(packed, plain, rtol=1e-10, atol=1e-10)
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-8, atol=1e-10, msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", [OPTIONS["default"], OPTIONS["cav_mae"], OPTIONS["two_joint_blocks"]])
def test_every_backend_gives_the_plain_numbers(backend: str, options: dict) -> None:
    found, wanted, packed, plain = both(backend, torch.float32, options)
    torch.testing.assert_close(packed, plain, rtol=1e-5, atol=1e-6)
    assert found.keys() == wanted.keys()
    scale = max(gradient.norm().item() for gradient in wanted.values())
    for name, gradient in wanted.items():
        difference = (found[name] - gradient).norm().item()
        assert difference <= 1e-5 * gradient.norm().item() + 1e-6 * scale, name


def test_hidden_patches_are_never_read() -> None:
    """Where only the audio's embedding is asked for, a hidden patch may hold anything."""
    model = CAVMAESync(small_config()).eval()
    fbank, frames = small_inputs(model.config, batch=1)
    rows, columns = model.config.audio_grid
    ids = torch.arange(rows * columns)[None]
    first = model(fbank, frames, mae_loss_weight=0.0, ids_restore_audio=ids, ids_restore_visual=torch.arange(9)[None])
    fbank[:, :, 64:] = torch.nan  # the upper half of the bands: patches ranked last
    again = model(fbank, frames, mae_loss_weight=0.0, ids_restore_audio=ids, ids_restore_visual=torch.arange(9)[None])
    assert torch.equal(first.loss, again.loss)
    assert first.loss.isfinite()
