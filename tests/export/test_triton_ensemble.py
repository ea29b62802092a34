"""The ensemble of a Triton repository computes what the bundle computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from triton_models import open_session, read_config

from cavsync.deploy import Bundle


def fits(dims: Any, shape: tuple[int, ...]) -> bool:
    """Triton's comparison: as many dimensions, each equal or left open."""
    return len(dims) == len(shape) and all(want in (-1, have) for want, have in zip(dims, shape, strict=True))


def infer(repository: Path, model: str, values: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """One request to one model, refused where Triton would refuse its shape, answered with the declared shapes."""
    config = read_config(repository, model)
    size = 1 if config.max_batch_size else 0
    for tensor in config.input:
        shape = values[tensor.name].shape
        assert fits(tensor.dims, shape[size:]), f"{model} refuses {shape}"
        assert shape[0] <= config.max_batch_size or not size
    session = open_session(repository, model)
    names = [tensor.name for tensor in config.output]
    results = dict(zip(names, session.run(names, values), strict=True))
    assert all(fits(tensor.dims, results[tensor.name].shape[size:]) for tensor in config.output)
    return results


def infer_ensemble(repository: Path, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """A request to the ensemble, its tensors handed on by the rules of Triton's ensemble scheduler.

    Between a model without batches and one with them, a tensor gets a batch axis of 1 if it fits the other's `dims`
    without one, and loses one if it fits only so; otherwise it stays as it is.
    """
    config = read_config(repository, "cavsync_audio")
    assert config.max_batch_size == 0
    assert [tensor.name for tensor in config.input] == ["waveform"]
    assert fits(config.input[0].dims, waveform.shape)
    tensors, batched = {"waveform": waveform}, {"waveform": False}
    for step in config.ensemble_scheduling.step:
        model = read_config(repository, step.model_name)
        values = {}
        for tensor in model.input:
            name = step.input_map[tensor.name]
            value = tensors[name]
            if model.max_batch_size and not batched[name] and fits(tensor.dims, value.shape):
                value = value[None]
            elif not model.max_batch_size and batched[name] and not fits(tensor.dims, value.shape):
                value = value[0]
            values[tensor.name] = value
        results = infer(repository, step.model_name, values)
        for name, mapped in step.output_map.items():
            tensors[mapped], batched[mapped] = results[name], bool(model.max_batch_size)
    (output,) = config.output
    embedding = tensors[output.name]
    assert fits(output.dims, embedding.shape)
    return embedding


def test_the_ensemble_maps_tensors_that_exist(repository: Path) -> None:
    """Each step's tensors are the model's; each is the ensemble's input or an earlier step's output; types agree."""
    config = read_config(repository, "cavsync_audio")
    assert config.platform == "ensemble"
    known = {tensor.name: tensor.data_type for tensor in config.input}
    for step in config.ensemble_scheduling.step:
        model = read_config(repository, step.model_name)
        assert step.model_version == -1
        assert set(step.input_map) == {tensor.name for tensor in model.input}
        assert all(known[step.input_map[tensor.name]] == tensor.data_type for tensor in model.input)
        outputs = {tensor.name: tensor.data_type for tensor in model.output}
        known |= {mapped: outputs[name] for name, mapped in step.output_map.items()}
    assert all(known[tensor.name] == tensor.data_type for tensor in config.output)


def test_the_ensemble_embeds_as_the_bundle_does(bundle_dir: Path, repository: Path) -> None:
    """One segment of 80 frames is 79 * 160 + 400 samples; one sample less is refused."""
    bundle = Bundle.open(bundle_dir)
    waveform = np.random.default_rng(0).normal(0, 0.1, (1, 79 * 160 + 400)).astype(np.float32)
    embedding = infer_ensemble(repository, waveform)
    assert embedding.shape == (1, bundle.embedding_dim)
    np.testing.assert_allclose(embedding, bundle.embed_audio(bundle.log_mel(waveform[0])[None]), atol=1e-6)
    with pytest.raises(AssertionError):
        infer_ensemble(repository, waveform[:, :-1])


def test_batches_of_a_recording(bundle_dir: Path, repository: Path) -> None:
    """The front end takes any length, the encoders as many rows as they declare, each row as if it were alone."""
    bundle = Bundle.open(bundle_dir)
    random = np.random.default_rng(1)
    waveform = random.normal(0, 0.1, (1, 32_000)).astype(np.float32)
    log_mel = infer(repository, "cavsync_audio_frontend", {"waveform": waveform})["log_mel"]
    segments = np.stack([log_mel[0, start : start + 80] for start in range(0, 90, 15)])
    heard = infer(repository, "cavsync_audio_encoder", {"log_mel": segments})["embedding"]
    alone = np.concatenate([bundle.embed_audio(segment[None]) for segment in segments])
    np.testing.assert_allclose(heard, alone, atol=1e-5)
    frames = random.integers(0, 256, (6, 3, 48, 48, 3), dtype=np.uint8)
    seen = infer(repository, "cavsync_visual_encoder", {"frames": frames})["embedding"]
    np.testing.assert_allclose(seen, bundle.embed_frames(frames), atol=1e-5)
