"""Runs on disk: round trips, replaced steps, and sentences for what cannot be read."""

import json

import pytest
import torch
from small_models import small_config, small_inputs, small_model

from cavsync.errors import CheckpointError
from cavsync.model.checkpoint import load_model, save_model, save_state
from cavsync.model.classifier import CAVMAEFT
from cavsync.model.fingerprint import architecture_fingerprint
from cavsync.model.load import load_any
from cavsync.model.state import read_state
from cavsync.run import RunFolder


def _same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_round_trip_keeps_weights_configuration_and_training(tmp_path) -> None:
    model = small_model(tr_pos=True, learnable_temperature=True)
    folder = save_model(model, tmp_path / "run", 3, train={"lr": 0.1}, source={"sha256": "0"})
    loaded = load_model(tmp_path / "run")
    assert folder == RunFolder(tmp_path / "run").checkpoint(3).path
    assert _same(model, loaded)
    assert loaded.config == model.config
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, parameter in loaded.named_parameters() if parameter.requires_grad}
    loaded(*small_inputs(loaded.config)).loss.backward()
    content = json.loads((tmp_path / "run/config.json").read_text())
    assert list(content) == ["format", "model", "train", "source"]
    assert (content["format"], content["train"], content["source"]) == (1, {"lr": 0.1}, {"sha256": "0"})


def test_the_latest_step_is_the_highest_number(tmp_path) -> None:
    first, second = small_model(seed=1), small_model(seed=2)
    save_model(first, tmp_path, 9)
    save_model(second, tmp_path, 10, train={"lr": 1})
    save_model(second, tmp_path, 10)
    assert RunFolder(tmp_path).latest_step() == 10
    assert _same(load_model(tmp_path), second)
    assert _same(load_model(tmp_path, 9), first)
    assert json.loads((tmp_path / "config.json").read_text())["train"] == {"lr": 1}
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-10", "step-9"]


def test_a_failed_write_leaves_the_old_step(tmp_path) -> None:
    model = small_model()
    save_model(model, tmp_path, 1)
    save_state(model.state_dict(), tmp_path, 1, lambda files: files.optimizer.write_text("old"))

    def fail(files):
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        save_state(small_model(seed=5).state_dict(), tmp_path, 1, fail)
    assert _same(load_model(tmp_path), model)
    assert RunFolder(tmp_path).checkpoint(1).optimizer.read_text() == "old"
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


def test_classifiers_have_their_own_loader(tmp_path) -> None:
    classifier = CAVMAEFT(small_config(), 7)
    save_model(classifier, tmp_path, 0)
    assert _same(load_any(tmp_path), classifier)
    with pytest.raises(CheckpointError, match="use load_any"):
        load_model(tmp_path)
    save_model(small_model(), tmp_path / "other", 0)
    assert _same(load_any(tmp_path / "other"), load_model(tmp_path / "other"))


def test_what_cannot_be_read_is_refused_with_a_sentence(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="not a run"):
        load_model(tmp_path)
    folder = save_model(small_model(), tmp_path, 0)
    with pytest.raises(CheckpointError, match="no step 4: its latest is 0"):
        load_model(tmp_path, 4)
    with pytest.raises(CheckpointError, match="another configuration"):
        save_model(small_model(embed_dim=64), tmp_path, 1)
    (folder / "model.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text('{"format": 99, "model": {}}')
    with pytest.raises(CheckpointError, match="format 1"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        load_model(tmp_path)


def test_weights_of_another_model_are_refused(tmp_path) -> None:
    save_model(small_model(), tmp_path / "one", 0)
    other = save_model(small_model(cls_token=False), tmp_path / "two", 0)
    (other / "model.safetensors").replace(RunFolder(tmp_path / "one").checkpoint(0).weights)
    with pytest.raises(CheckpointError, match="2 missing \\(cls_token_a, cls_token_v\\)"):
        load_model(tmp_path / "one")


def test_fingerprints_tell_architectures_not_values() -> None:
    base = architecture_fingerprint(small_model(seed=1).state_dict())
    assert base == architecture_fingerprint(dict(reversed(small_model(seed=2).state_dict().items())))
    assert base != architecture_fingerprint(small_model(num_register_tokens=4).state_dict())
    assert len(base) == 16


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"embed_dim": 1 << 32}, "embed_dim"),
        ({"depth": 10**9}, "depth"),
        ({"img_size": 1 << 16, "patch_size": 1}, "tokens of embed_dim"),
        ({"audio_length": -5}, "audio_length"),
        ({"mlp_ratio": 1e300}, "mlp_ratio"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_configurations_that_no_model_has(tmp_path, change: dict[str, object], words: str) -> None:
    """Nothing of that size is built, and the sentence names the file."""
    save_model(small_model(), tmp_path, 1)
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    content["model"].update(change)
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=f"config.json' describes no model .*{words}"):
        load_model(tmp_path)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"format": 1, "model": {}, "label_dim": 0}', b"null", b"\xff"])
def test_configurations_that_are_none(tmp_path, content: bytes) -> None:
    save_model(small_model(), tmp_path, 1)
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_model(tmp_path)


def test_tensors_of_other_kinds(tmp_path) -> None:
    model = small_model()
    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
    save_model(model, tmp_path, 1)
    weights["modality_a"] = weights["modality_a"].to(torch.int64)
    save_state(weights, tmp_path, 1)
    with pytest.raises(CheckpointError, match=r"1 without numbers \(modality_a\)"):
        load_model(tmp_path)


@pytest.mark.parametrize("content", [b"", b"a", b"b", b"\x80\x02.", b"PK\x03\x04" + bytes(40)])
def test_files_that_hold_no_tensors(tmp_path, content: bytes) -> None:
    """torch itself fails on them in ways of its own."""
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read as a PyTorch checkpoint"):
        read_state(tmp_path / "model.pth")
