"""Agreement with the public implementation on two small instances (weights from a rule, outputs recorded)."""

import importlib.util
import json
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from shared_folder import shared_folder

from cavsync.kernels import use_backend
from cavsync.model import CAVMAESync, ModelConfig

pytestmark = pytest.mark.shared

SMALL = {"embed_dim": 96, "num_heads": 3, "decoder_embed_dim": 64, "decoder_depth": 2, "decoder_num_heads": 4}
CASES = {
    "sync_small": ModelConfig(audio_length=96, num_register_tokens=4, **SMALL),
    "cav_small": ModelConfig(audio_length=1024, num_register_tokens=0, cls_token=False, norm_pix_loss=True, **SMALL),
}


def _fill_rule(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("parity_fill", folder / "fill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BACKENDS = ("automatic", "reference", "torch", "triton")
"""Every backend that runs here; Triton's kernels on the CPU, where ten seconds of audio take long."""


@pytest.fixture(
    params=[
        pytest.param((name, backend), marks=[pytest.mark.slow] if (name, backend) == ("cav_small", "triton") else [])
        for name in sorted(CASES)
        for backend in BACKENDS
    ],
    ids="-".join,
)
def case(request: pytest.FixtureRequest):
    name, backend = request.param
    folder = shared_folder("parity")
    fill = _fill_rule(folder)
    config = CASES[name]
    model = CAVMAESync(config).eval()
    state = model.state_dict()
    keys = json.loads((folder / f"{name}_keys.json").read_text())
    for key, shape in keys.items():
        if "pos_embed" not in key:
            state[key] = torch.from_numpy(fill.weight(key, tuple(shape)))
    model.load_state_dict(state, strict=True)
    audio, frames = map(torch.from_numpy, fill.inputs(config.audio_length))
    with nullcontext() if backend == "automatic" else use_backend(backend):
        yield model, keys, dict(np.load(folder / f"{name}.npz")), audio, frames


def _close(ours: torch.Tensor, theirs: np.ndarray) -> None:
    difference = np.linalg.norm(ours.detach().numpy() - theirs) / np.linalg.norm(theirs)
    assert difference < 1e-5


def test_state_dict_has_the_published_names_and_shapes(case) -> None:
    model, keys, *_ = case
    assert {name: list(value.shape) for name, value in model.state_dict().items()} == keys


def test_embeddings_agree(case) -> None:
    model, _, expected, audio, frames = case
    with torch.no_grad():
        waveform, frame = model.encode_audio(audio), model.encode_frames(frames)
    _close(waveform.patches.mean(1), expected["ca_mean"])
    _close(frame.patches.mean(1), expected["cv_mean"])
    _close(waveform.patches[:, :4, :16], expected["ca_tok"])
    _close(frame.patches[:, :4, :16], expected["cv_tok"])
    _close(waveform.pooled, expected.get("cls_a", expected["ca_mean"]))
    _close(frame.pooled, expected.get("cls_v", expected["cv_mean"]))


def test_losses_of_a_pretraining_forward_agree(case) -> None:
    model, _, expected, audio, frames = case
    with torch.no_grad():
        output = model(
            audio,
            frames,
            ids_restore_audio=torch.from_numpy(expected["ids_restore_a"]),
            ids_restore_visual=torch.from_numpy(expected["ids_restore_v"]),
        )
    for ours, theirs in [
        (output.loss, "loss"),
        (output.loss_mae, "mae"),
        (output.loss_mae_audio, "mae_a"),
        (output.loss_mae_visual, "mae_v"),
        (output.loss_contrastive, "loss_c"),
    ]:
        _close(ours, expected[theirs])
