"""A Triton server's rules for reading a repository, applied with ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2 as pb


def read_config(repository: Path, model: str) -> Any:
    """The configuration of a model, parsed as Triton parses it: an unknown field is an error."""
    return text_format.Parse((repository / model / "config.pbtxt").read_text(), pb.ModelConfig())


def open_session(repository: Path, model: str) -> Any:
    """The ONNX file that Triton would open."""
    return onnxruntime.InferenceSession(str(repository / model / "1" / "model.onnx"))


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
