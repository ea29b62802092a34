"""Write a bundle as a model repository for NVIDIA's Triton Inference Server (unrelated to the Triton language).

| model | computes | batch |
|---|---|---|
| `cavsync_audio_frontend` | 16 kHz PCM (1, samples) -> log-mel (1, frames, 128) | none: the graph's first axis is 1 |
| `cavsync_audio_encoder` | log-mel (B, L, 128) -> embedding (B, D), patches | up to `max_batch_size`, dynamic |
| `cavsync_visual_encoder` | RGB bytes (B, T, H, W, 3) -> embedding (B, D), patches | up to `max_batch_size`, dynamic |
| `cavsync_frame_encoder`, where the bundle has one | pairs of frames (B, 2, H, W, 3) -> features (B, N, D), of which
  the visual encoder then takes those of a tubelet's pairs (B, T - 1, N, D) | like the encoders |
| `cavsync_classifier`, of a classifier | log-mel, RGB bytes, or both -> logits (B, classes) | like the encoders |
| `cavsync_audio` | one segment of PCM (1, samples) -> embedding (1, D); an ensemble of the first two | none |

A segment of L frames takes exactly (L - 1) * 160 + 400 samples; the ensemble accepts no other length:

    client = tritonclient.http.InferenceServerClient("localhost:8000")
    samples = client.get_model_metadata("cavsync_audio")["inputs"][0]["shape"][1]
    segment = tritonclient.http.InferInput("waveform", [1, samples], "FP32")
    segment.set_data_from_numpy(waveform[None])  # 16 kHz mono, float32 in [-1, 1], shape (samples,)
    embedding = client.infer("cavsync_audio", [segment]).as_numpy("embedding")  # (1, D), of length 1

Batches. With `max_batch_size` > 0 Triton treats the first axis of every tensor as the batch and omits it in `dims`; its
backends refuse a graph whose first axis is fixed. So the front end and the ensemble have 0 and their full shapes. No
`reshape` is needed: an output of a model without batches is passed on unchanged to a model with batches, so the log-mel
(1, L, 128) becomes a request of batch 1 to the encoder. There the dynamic batcher joins it with others: send many
segments as many concurrent requests, not as one request of many rows. For a whole recording, call the front end once,
cut the log-mel into segments and call the encoder with batches of them.

Engines. An encoder for which the bundle has an engine of the runtime `tensorrt` is served by Triton's tensorrt backend
(the first such engine, in the manifest's order). It must have been built with the server's TensorRT version and for
batches of `max_batch_size`, or Triton refuses it. Engines of `tensorrt_rtx` (TensorRT for RTX) have a format of their
own that this backend cannot load, and those of OpenVINO belong to another backend: such an encoder is served as ONNX.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cavsync.atomic import atomic_folder
from cavsync.deploy import Bundle
from cavsync.errors import ConfigError, ExportError
from cavsync.export.output_folder import require_free
from cavsync.manifest import CLASSIFIER, FRAME_ENCODER, GraphSpec, Manifest, TensorSpec

ENSEMBLE = "cavsync_audio"
GRAPH_OF_MODEL = {
    "cavsync_audio_frontend": "audio_frontend",
    "cavsync_audio_encoder": "audio_encoder",
    "cavsync_visual_encoder": "visual_encoder",
}
OPTIONAL_GRAPH_OF_MODEL = {"cavsync_frame_encoder": FRAME_ENCODER, "cavsync_classifier": CLASSIFIER}
VERSION = "1"
CONFIG_NAME = "config.pbtxt"
METADATA_NAME = "metadata.json"
# Triton requires a version folder for an ensemble too, and neither git nor object stores keep an empty one.
PLACEHOLDER_NAME = ".keep"
# The manifest's types -> the Open Inference Protocol's names; Triton's configuration prefixes them with TYPE_.
DATATYPES = {"float32": "FP32", "float16": "FP16", "uint8": "UINT8"}
DYNAMIC = -1
MAX_INT32 = 2**31 - 1


@dataclass(frozen=True)
class Backend:
    """A backend of Triton, and the name that it expects for the model's file."""

    name: str
    platform: str
    file: str


ONNX_RUNTIME = Backend("onnxruntime", "onnxruntime_onnx", "model.onnx")
TENSORRT = Backend("tensorrt", "tensorrt_plan", "model.plan")


@dataclass(frozen=True)
class Serving:
    """How a model is run: the largest batch, how long the batcher waits to fill one, copies per device."""

    max_batch_size: int
    max_queue_delay_microseconds: int
    instances: int


def write_triton_repository(
    bundle_dir: Path,
    out_dir: Path,
    *,
    max_batch_size: int = 64,
    max_queue_delay_microseconds: int = 2000,
    instances: int = 1,
    overwrite: bool = False,
) -> list[Path]:
    """Write the models of a bundle as a Triton model repository; returns the files written, in order of their names.

    Args:
        bundle_dir: folder that `cavsync export` wrote.
        out_dir: the repository, written whole or not at all; absent, empty, or one to replace with `overwrite`.
        max_batch_size: of the encoders; a TensorRT engine must have been built for at least this size.
        max_queue_delay_microseconds: how long a request to an encoder may wait for others to share its batch.
        instances: copies of each model that run at the same time: on every GPU of the server, else on its CPU.

    Raises:
        BundleError: the bundle cannot be used.
        ConfigError: a number out of range.
        ExportError: out_dir holds something else or lies in the bundle, or tritonclient is missing. No error leaves
            files behind.
    """
    serving = Serving(max_batch_size, max_queue_delay_microseconds, instances)
    _check(serving)
    check_triton_repository(bundle_dir, out_dir, overwrite=overwrite)
    manifest = Bundle.open(bundle_dir).manifest
    with atomic_folder(out_dir) as fresh:
        for name, graph in (GRAPH_OF_MODEL | OPTIONAL_GRAPH_OF_MODEL).items():
            if graph in manifest.graphs:
                _write_model(fresh / name, bundle_dir, manifest, graph, serving)
        _write_ensemble(fresh / ENSEMBLE, manifest)
    return sorted(path for path in out_dir.rglob("*") if path.is_file())


def check_triton_repository(bundle_dir: Path, out_dir: Path, *, overwrite: bool) -> None:
    """Check what is known before the bundle exists; ExportError as for `write_triton_repository`."""
    _model_config_protobuf()
    if out_dir.resolve().is_relative_to(bundle_dir.resolve()):
        raise ExportError(f"{out_dir} lies in the bundle {bundle_dir}: choose a --triton-repo outside it")
    require_free(
        out_dir, overwrite=overwrite, kind="Triton repository of cavsync", is_ours=_is_ours, option="--triton-repo"
    )


def _check(serving: Serving) -> None:
    for name, number, least in (
        ("max_batch_size", serving.max_batch_size, 1),
        ("max_queue_delay_microseconds", serving.max_queue_delay_microseconds, 0),
        ("instances", serving.instances, 1),
    ):
        if not least <= number <= MAX_INT32:
            raise ConfigError(f"{name} is {number}, expected {least} to {MAX_INT32}: change it")


def _model_config_protobuf() -> Any:
    """Import Triton's configuration messages from its client."""
    try:
        from tritonclient.grpc import model_config_pb2  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError as error:
        raise ExportError(
            f"a Triton repository is written with tritonclient, which cannot be imported ({error}): "
            "pip install 'cavsync[export]'"
        ) from None
    return model_config_pb2


def _is_ours(folder: Path) -> bool:
    """Whether a folder holds a repository of cavsync and nothing else: other models in it must not be deleted."""
    described = (CONFIG_NAME, METADATA_NAME)
    always = {f"{name}/{file}" for name in (*GRAPH_OF_MODEL, ENSEMBLE) for file in described}
    models = (*GRAPH_OF_MODEL, *OPTIONAL_GRAPH_OF_MODEL)
    possible = always | {f"{name}/{VERSION}/{item.file}" for name in models for item in (ONNX_RUNTIME, TENSORRT)}
    possible |= {f"{name}/{file}" for name in OPTIONAL_GRAPH_OF_MODEL for file in described}
    possible.add(f"{ENSEMBLE}/{VERSION}/{PLACEHOLDER_NAME}")
    found = {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()
    }
    return always <= found <= possible


def _write_model(folder: Path, bundle_dir: Path, manifest: Manifest, graph: str, serving: Serving) -> None:
    """Write one graph of the bundle with its configuration and metadata."""
    spec = manifest.graphs[graph]
    backend, file = _source(manifest, graph, spec)
    (folder / VERSION).mkdir(parents=True)
    shutil.copyfile(bundle_dir / file, folder / VERSION / backend.file)
    _describe(folder, _graph_config(folder.name, spec, backend, serving))


def _source(manifest: Manifest, graph: str, spec: GraphSpec) -> tuple[Backend, str]:
    """Return the backend for a graph and the file of the bundle that it loads."""
    if graph != "audio_frontend":
        for engine in manifest.engines:
            if (engine.graph, engine.runtime) == (graph, "tensorrt"):
                return TENSORRT, engine.file
    return ONNX_RUNTIME, spec.file


def _write_ensemble(folder: Path, manifest: Manifest) -> None:
    (folder / VERSION).mkdir(parents=True)
    (folder / VERSION / PLACEHOLDER_NAME).touch()
    _describe(folder, _ensemble_config(folder.name, manifest))


def _describe(folder: Path, config: Any) -> None:
    """Write a model's configuration, and its metadata in the Open Inference Protocol's form."""
    from google.protobuf import text_format  # type: ignore[import-untyped, unused-ignore]

    (folder / CONFIG_NAME).write_text(text_format.MessageToString(config), encoding="utf-8")
    (folder / METADATA_NAME).write_text(json.dumps(_metadata(config), indent=1) + "\n", encoding="utf-8")


def _graph_config(name: str, spec: GraphSpec, backend: Backend, serving: Serving) -> Any:
    pb = _model_config_protobuf()
    config = pb.ModelConfig(name=name, backend=backend.name, platform=backend.platform)
    # No kind of device is set: the server takes its GPUs, or its CPU.
    config.instance_group.add(count=serving.instances)
    has_batch = all(isinstance(tensor.shape[0], str) for tensor in (*spec.inputs, *spec.outputs))
    if has_batch:
        largest = serving.max_batch_size
        config.max_batch_size = largest
        config.dynamic_batching.preferred_batch_size.extend(
            sorted({max(1, largest // 4), max(1, largest // 2), largest})
        )
        config.dynamic_batching.max_queue_delay_microseconds = serving.max_queue_delay_microseconds
    for tensors, described in ((spec.inputs, config.input), (spec.outputs, config.output)):
        for tensor in tensors:
            _add(described, tensor, tensor.shape[1:] if has_batch else tensor.shape)
    return config


def _ensemble_config(name: str, manifest: Manifest) -> Any:
    """Waveform of one segment -> embedding; `Bundle` guarantees the names."""
    pb = _model_config_protobuf()
    frontend, encoder = manifest.audio_frontend, manifest.audio_encoder
    embedding = next(tensor for tensor in encoder.outputs if tensor.name == "embedding")
    config = pb.ModelConfig(name=name, platform="ensemble")
    _add(config.input, frontend.inputs[0], [1, segment_samples(manifest)])
    _add(config.output, embedding, [1, *embedding.shape[1:]])
    for model, source, result in (
        ("cavsync_audio_frontend", "waveform", "log_mel"),
        ("cavsync_audio_encoder", "log_mel", "embedding"),
    ):
        config.ensemble_scheduling.step.add(
            model_name=model, model_version=-1, input_map={source: source}, output_map={result: result}
        )
    return config


def segment_samples(manifest: Manifest) -> int:
    """Samples of which the front end makes the frames of one audio segment."""
    frontend = manifest.frontend
    return (manifest.audio.segment_frames - 1) * frontend.frame_shift_samples + frontend.frame_length_samples


def _add(described: Any, tensor: TensorSpec, shape: list[int | str]) -> None:
    """Describe one input or output; named dimensions may have any size."""
    described.add(
        name=tensor.name,
        data_type=f"TYPE_{DATATYPES[tensor.dtype]}",
        dims=[size if isinstance(size, int) else DYNAMIC for size in shape],
    )


def _metadata(config: Any) -> dict[str, Any]:
    """Return the server's metadata of a model; its batch may have any size."""
    pb = _model_config_protobuf()
    batch = [DYNAMIC] if config.max_batch_size else []

    def tensors(described: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": tensor.name,
                "datatype": pb.DataType.Name(tensor.data_type).removeprefix("TYPE_"),
                "shape": [*batch, *tensor.dims],
            }
            for tensor in described
        ]

    return {
        "name": config.name,
        "versions": [VERSION],
        "platform": config.platform,
        "inputs": tensors(config.input),
        "outputs": tensors(config.output),
    }
