"""Starting from a vision MAE, on a file made in its layout."""

import pytest
import torch
from small_models import small_model

from cavsync.errors import CheckpointError
from cavsync.model.vision_mae import initialise_from_vision_mae


def _vision_mae(path, depth=3, dim=32, decoder_dim=16, decoder_depth=1):
    """A checkpoint in the layout of the public vision MAE, random values."""
    torch.manual_seed(7)

    def block(width):
        shapes = {"norm1.weight": (width,), "norm1.bias": (width,), "norm2.weight": (width,), "norm2.bias": (width,)}
        shapes |= {"attn.qkv.weight": (3 * width, width), "attn.qkv.bias": (3 * width,)}
        shapes |= {"attn.proj.weight": (width, width), "attn.proj.bias": (width,)}
        shapes |= {"mlp.fc1.weight": (4 * width, width), "mlp.fc1.bias": (4 * width,)}
        return shapes | {"mlp.fc2.weight": (width, 4 * width), "mlp.fc2.bias": (width,)}

    shapes = {"cls_token": (1, 1, dim), "pos_embed": (1, 10, dim)}
    shapes |= {"patch_embed.proj.weight": (dim, 3, 16, 16), "patch_embed.proj.bias": (dim,)}
    shapes |= {f"blocks.{i}.{name}": shape for i in range(depth) for name, shape in block(dim).items()}
    shapes |= {"norm.weight": (dim,), "norm.bias": (dim,)}
    if decoder_depth:
        shapes |= {"mask_token": (1, 1, decoder_dim), "decoder_pos_embed": (1, 10, decoder_dim)}
        shapes |= {"decoder_embed.weight": (decoder_dim, dim), "decoder_embed.bias": (decoder_dim,)}
        for i in range(decoder_depth):
            shapes |= {f"decoder_blocks.{i}.{name}": shape for name, shape in block(decoder_dim).items()}
        shapes |= {"decoder_norm.weight": (decoder_dim,), "decoder_norm.bias": (decoder_dim,)}
        shapes |= {"decoder_pred.weight": (768, decoder_dim), "decoder_pred.bias": (768,)}
    state = {name: torch.randn(shape) for name, shape in shapes.items()}
    torch.save({"model": state}, path)
    return path, state


def test_blocks_and_norms_reach_both_modalities_and_the_joint_blocks(tmp_path) -> None:
    path, theirs = _vision_mae(tmp_path / "mae.pth")
    model = small_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = initialise_from_vision_mae(model, path)
    ours = model.state_dict()
    for name in ("attn.qkv.weight", "mlp.fc2.bias", "norm1.weight"):
        for stack in "av":
            assert torch.equal(ours[f"blocks_{stack}.1.{name}"], theirs[f"blocks.1.{name}"])
        assert torch.equal(ours[f"blocks_u.0.{name}"], theirs[f"blocks.2.{name}"])
    for kind in ("", "_a", "_v"):
        assert torch.equal(ours[f"blocks_u.0.norm2{kind}.bias"], theirs["blocks.2.norm2.bias"])
        assert torch.equal(ours[f"norm{kind}.weight"], theirs["norm.weight"])
    assert torch.equal(ours["cls_token_v"], theirs["cls_token"])
    for name in ("pos_embed_a", "pos_embed_v", "register_tokens", "modality_a", "decoder_pos_embed_v"):
        assert torch.equal(ours[name], before[name])
        assert name in report.untouched
    assert set(report.left_aside) == {"pos_embed", "decoder_pos_embed"}
    assert set(report.used) | set(report.left_aside) == set(theirs)


def test_a_grey_frame_excites_both_patch_embeddings_alike(tmp_path) -> None:
    path, theirs = _vision_mae(tmp_path / "mae.pth")
    model = small_model()
    initialise_from_vision_mae(model, path)
    assert torch.equal(model.patch_embed_v.proj.weight, theirs["patch_embed.proj.weight"])
    grey = torch.randn(1, 1, 16, 16)
    torch.testing.assert_close(
        model.patch_embed_a(grey), model.patch_embed_v(grey.expand(1, 3, 16, 16)), rtol=1e-4, atol=1e-4
    )
    latent = torch.randn(1, 16)
    colours = model.decoder_pred_v(latent).reshape(1, 256, 3)
    torch.testing.assert_close(model.decoder_pred_a(latent), colours.mean(2), rtol=1e-4, atol=1e-4)


def test_a_still_tubelet_looks_like_its_frame(tmp_path) -> None:
    path, _ = _vision_mae(tmp_path / "mae.pth")
    single, tubelet = small_model(), small_model(num_frames=3)
    initialise_from_vision_mae(single, path)
    initialise_from_vision_mae(tubelet, path)
    frame = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(
        tubelet.patch_embed_v(frame.repeat(1, 3, 1, 1)), single.patch_embed_v(frame), rtol=1e-4, atol=1e-3
    )
    latent = torch.randn(1, 16)
    frames = tubelet.decoder_pred_v(latent).reshape(256, 3, 3)
    expected = single.decoder_pred_v(latent).reshape(256, 1, 3).expand(256, 3, 3)
    torch.testing.assert_close(frames, expected)


@pytest.mark.parametrize(("options", "layout"), [({}, {"decoder_depth": 0}), ({"decoder_depth": 2}, {})])
def test_a_decoder_that_does_not_fit_is_left_aside(tmp_path, options, layout) -> None:
    path, theirs = _vision_mae(tmp_path / "mae.pth", **layout)
    model = small_model(**options)
    before = model.decoder_embed.weight.clone()
    report = initialise_from_vision_mae(model, path)
    assert torch.equal(model.decoder_embed.weight, before)
    assert "decoder_embed.weight" in report.untouched
    assert torch.equal(model.norm.weight, theirs["norm.weight"])


def test_models_without_decoder_or_global_token_take_the_rest(tmp_path) -> None:
    path, _ = _vision_mae(tmp_path / "mae.pth", depth=4)
    report = initialise_from_vision_mae(small_model(has_decoder=False, cls_token=False), path)
    assert "blocks.3.norm1.weight" in report.left_aside
    assert "cls_token" in report.left_aside


@pytest.mark.parametrize("layout", [{"dim": 64}, {"depth": 2}])
def test_other_sizes_are_refused_and_change_nothing(tmp_path, layout) -> None:
    path, _ = _vision_mae(tmp_path / "mae.pth", **layout)
    model = small_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match="does not fit the model"):
        initialise_from_vision_mae(model, path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_files_of_another_kind_are_refused(tmp_path) -> None:
    torch.save(small_model().state_dict(), tmp_path / "ours.pth")
    with pytest.raises(CheckpointError, match="not a vision-MAE checkpoint"):
        initialise_from_vision_mae(small_model(), tmp_path / "ours.pth")
