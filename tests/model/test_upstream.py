"""Authors' files: configuration read off the shapes, strict loading, refusals, and `cavsync convert`."""

import hashlib
import logging

import pytest
import torch
from click.testing import CliRunner
from small_models import small_config, small_inputs, small_model

from cavsync.cli.convert import convert
from cavsync.errors import CavsyncError, CheckpointError, ConfigError
from cavsync.model import CAVMAESync
from cavsync.model.checkpoint import load_model
from cavsync.model.classifier import CAVMAEFT
from cavsync.model.config import CAV_MAE, CAV_MAE_SYNC
from cavsync.model.upstream import infer_config, inspect_upstream, load_upstream
from cavsync.run import Run

HEADS = {"num_heads": 2, "decoder_num_heads": 2}
LAYOUTS = {
    "sync": {},
    "cav_mae": {"num_register_tokens": 0, "cls_token": False},
    "heads": {"contrastive_heads": True},
    "two_joint": {"modality_specific_depth": 1},
    "sizes": {"audio_length": 16, "img_size": 32, "mlp_ratio": 2.0, "patch_size": 8, "num_frames": 2},
    "encoder_only": {"has_decoder": False},
    "learned_temperature": {"learnable_temperature": True},
}


def _published(path, model, prefix="module."):
    torch.save({prefix + name: value for name, value in model.state_dict().items()}, path)
    return path


@pytest.mark.parametrize("prefix", ["module.", ""])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_configuration_and_weights_come_back(tmp_path, layout, prefix) -> None:
    model = small_model(**layout)
    overrides = HEADS if model.config.has_decoder else {"num_heads": 2}
    loaded = load_upstream(_published(tmp_path / "model.pth", model, prefix), **overrides)
    assert isinstance(loaded, CAVMAESync)
    ours = loaded.config.model_dump(exclude={"decoder_embed_dim", "decoder_depth", "decoder_num_heads"})
    assert ours == model.config.model_dump(exclude={"decoder_embed_dim", "decoder_depth", "decoder_num_heads"})
    fbank, frames = small_inputs(model.config)
    torch.testing.assert_close(loaded.encode_audio(fbank), model.encode_audio(fbank), rtol=0, atol=0)
    torch.testing.assert_close(loaded.encode_frames(frames), model.encode_frames(frames), rtol=0, atol=0)


@pytest.mark.parametrize("config", [CAV_MAE_SYNC, CAV_MAE])
def test_published_sizes_need_no_override(config) -> None:
    with torch.device("meta"):
        state = CAVMAESync(config).state_dict()
    assert infer_config(state) == config


def test_what_shapes_cannot_tell_is_an_override(tmp_path) -> None:
    path = _published(tmp_path / "model.pth", small_model())
    loaded = load_upstream(path, norm_pix_loss=True, bidirectional_contrast=True, **HEADS)
    assert loaded.config.norm_pix_loss
    assert loaded.config.bidirectional_contrast
    with pytest.raises(CheckpointError, match="pass num_heads"):
        load_upstream(path)
    with pytest.raises(CavsyncError, match="Unknown model option 'heads'"):
        load_upstream(path, heads=2, num_heads=2)
    with pytest.raises(CheckpointError, match="of another shape"):
        load_upstream(path, audio_length=160, **HEADS)


def test_hash_and_fingerprint_are_reported(tmp_path, caplog) -> None:
    path = _published(tmp_path / "model.pth", small_model())
    info = inspect_upstream(path, **HEADS)
    assert info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert info.num_tensors == len(small_model().state_dict())
    with caplog.at_level(logging.INFO):
        load_upstream(path, **HEADS)
    assert info.sha256 in caplog.text
    assert info.fingerprint in caplog.text


def test_classifier_files_give_the_classifier(tmp_path) -> None:
    model = CAVMAEFT(small_config(num_register_tokens=0, cls_token=False), 9)
    loaded = load_upstream(_published(tmp_path / "ft.pth", model), num_heads=2)
    assert isinstance(loaded, CAVMAEFT)
    assert loaded.label_dim == 9
    inputs = small_inputs(model.config)
    torch.testing.assert_close(loaded(*inputs), model(*inputs), rtol=0, atol=0)


def test_half_precision_files_become_float32(tmp_path) -> None:
    loaded = load_upstream(_published(tmp_path / "half.pth", small_model().half()), **HEADS)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_missing_and_left_over_keys_are_named(tmp_path) -> None:
    state = small_model().state_dict()
    del state["norm_v.bias"]
    state["cls_token_av"] = torch.zeros(1, 1, 32)
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=r"1 missing \(norm_v.bias\); 1 left over \(cls_token_av\)"):
        load_upstream(tmp_path / "model.pth", **HEADS)


class Payload:
    """What a malicious file would hold: unpickling it would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_other_files_are_refused_with_a_sentence(tmp_path) -> None:
    path = tmp_path / "file.pth"
    whole = _published(tmp_path / "whole.pth", small_model()).read_bytes()
    for content in (b"", b"not a checkpoint", b"\x80\x02garbage", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="cannot be read"):
            load_upstream(path)
    torch.save({"evil": Payload(tmp_path / "written")}, path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_upstream(path)
    assert not (tmp_path / "written").exists()
    for content in ([1, 2], {}, {"epoch": 3}, torch.zeros(2)):
        torch.save(content, path)
        with pytest.raises(CheckpointError, match="does not hold a state dict"):
            load_upstream(path)
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(CheckpointError, match="not a CAV-MAE or CAV-MAE Sync checkpoint: it lacks patch_embed_a"):
        load_upstream(path)
    with pytest.raises(CheckpointError, match="no checkpoint file"):
        load_upstream(tmp_path / "absent.pth")


def test_convert_writes_a_run(tmp_path) -> None:
    model = small_model()
    path, out = _published(tmp_path / "model.pth", model), tmp_path / "run"
    arguments = [str(path), "--out", str(out), "--set", "num_heads=2", "--set", "decoder_num_heads=2"]
    result = CliRunner().invoke(convert, [*arguments, "--set", "mask_mode_audio=time"], catch_exceptions=False)
    assert result.exit_code == 0
    info = inspect_upstream(path, **HEADS)
    assert info.sha256 in result.output
    assert info.fingerprint in result.output
    loaded = load_model(out)
    assert loaded.config == small_config(mask_mode_audio="time")
    torch.testing.assert_close(dict(loaded.state_dict()), dict(model.state_dict()), rtol=0, atol=0)
    assert Run.open(out).config.source == {
        "sha256": info.sha256,
        "fingerprint": info.fingerprint,
        "file": "model.pth",
    }
    assert (out / "checkpoints/step-0/model.safetensors").is_file()
    with pytest.raises(ConfigError, match="not an empty folder"):
        CliRunner().invoke(convert, arguments, catch_exceptions=False)
    assert CliRunner().invoke(convert, [*arguments, "--set", "oops"]).exit_code == 2
