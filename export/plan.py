"""List what an export would write: files, sizes and requirements. Nothing is computed or written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cavsync.evaluate.classify.classifier import OpenClassifier
from cavsync.export.classifier import trained_mode
from cavsync.export.graphs import encoder_names
from cavsync.export.inputs import ExportInputs
from cavsync.export.parity import CLASSIFIER_INPUTS
from cavsync.export.precision import openvino
from cavsync.export.trt.encoders import AUTO
from cavsync.export.trt.library import Library
from cavsync.export.trt.options import TensorRTOptions
from cavsync.manifest import CLASSIFIER, FRAME_ENCODER
from cavsync.model.encoder import AudioVisualEncoder
from cavsync.model.flops import Part, count_parameters
from cavsync.model.patch import PairStem

BYTES = {"fp32": 4.0, "fp16": 2.0, "bf16": 2.0, "fp8": 1.02, "int8": 1.02}
STORED_BYTES = {"float32": 4.0, "half": 2.0, "int8": 1.02}
# Filter bank and Fourier transform.
FRONTEND_BYTES = 960_000
PARTS: dict[Part, str] = {"audio": "log_mel", "visual": "frames"}
NAMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


@dataclass(frozen=True)
class PlannedFile:
    """A file with its approximate size."""

    file: str
    purpose: str
    precision: str
    size_bytes: float
    needs: str


@dataclass(frozen=True)
class ExportPlan:
    """Files in the order in which they are written, and notes for the user."""

    files: list[PlannedFile]
    notes: list[str]


def plan(inputs: ExportInputs, *, precision: str, storage: str, tensorrt: TensorRTOptions | None) -> ExportPlan:
    """List what `export_bundle` would write, given checked inputs and its own options."""
    model, classifier, clips = inputs.model, inputs.classifier, inputs.clips
    notes = [
        f"calibrated, compared and quantized on {len(clips)} clips"
        if clips
        else "compared on generated clips; not calibrated: every decision would be undetermined"
    ]
    encoders = encoder_names(model.config)
    files = [PlannedFile("audio_frontend.onnx", "ONNX Runtime", "fp32", FRONTEND_BYTES, "")]
    for encoder in encoders:
        files += _graph_files(model, encoder, precision, storage)
    if classifier is not None:
        files.append(_classifier_file(classifier, storage))
        notes.append(f"a classifier of {len(classifier.labels)} classes, {trained_mode(classifier)}")
    if tensorrt is not None and inputs.library is not None:
        notes.append(inputs.finding)
        files += _engine_files(model, encoders, AUTO if precision == "auto" else precision, inputs.library, tensorrt)
    return ExportPlan(files, notes)


def _graph_files(model: AudioVisualEncoder, encoder: str, precision: str, storage: str) -> Iterator[PlannedFile]:
    parameters = _num_parameters(model, encoder)
    runtime = NAMES["onnxruntime"]
    if precision in ("fp32", "bf16", "fp8"):
        yield PlannedFile(f"{encoder}.onnx", runtime, "fp32", parameters * STORED_BYTES[storage], "")
    if precision == "bf16":
        yield PlannedFile(f"{encoder}.bf16.onnx", runtime, "bf16", parameters * BYTES["bf16"], "a GPU")
    if precision in ("fp16", "int8", "auto"):
        kind = "fp16" if precision == "fp16" else "int8"
        yield PlannedFile(f"{encoder}.onnx", runtime, kind, parameters * BYTES[kind], "")
    if precision == "auto":
        yield PlannedFile(f"{encoder}.fp32.onnx", runtime, "fp32", parameters * BYTES["fp32"], "")
    if precision in ("int8", "auto") and openvino.is_installed():
        needs = "openvino" if precision == "auto" else "openvino; only if it is faster"
        yield PlannedFile(f"{encoder}.openvino.xml, .bin", NAMES["openvino"], "int8", parameters * BYTES["int8"], needs)


def _classifier_file(classifier: OpenClassifier, storage: str) -> PlannedFile:
    model, names = classifier.model, CLASSIFIER_INPUTS[trained_mode(classifier)]
    parts: list[Part] = ["joint", *(part for part, name in PARTS.items() if name in names)]
    head = sum(value.numel() for name, value in model.named_parameters() if model.is_of_head(name))
    parameters = sum(count_parameters(model.config)[part].total for part in parts) + head
    size_bytes = parameters * STORED_BYTES[storage]
    return PlannedFile(f"{CLASSIFIER}.onnx", NAMES["onnxruntime"], "fp32", size_bytes, "")


def _engine_files(
    model: AudioVisualEncoder, encoders: Sequence[str], precision: str, library: Library, options: TensorRTOptions
) -> Iterator[PlannedFile]:
    wanted = [library.resolve([item]) for item in options.compute_capabilities] or [library.resolve(None)]
    for encoder in encoders:
        for targets in wanted:
            file = ".".join([encoder, library.runtime, *(f"sm{item}" for item in targets), "engine"])
            needs = f"{library.name}, compute capability {', '.join(targets) or ', '.join(library.offered)}"
            size_bytes = _num_parameters(model, encoder) * BYTES[precision]
            yield PlannedFile(file, library.name, precision, size_bytes, needs)


def _num_parameters(model: AudioVisualEncoder, encoder: str) -> int:
    stem = model.patch_embed_v
    frames = sum(value.numel() for value in stem.layers.parameters()) if isinstance(stem, PairStem) else 0
    if encoder == FRAME_ENCODER:
        return frames
    counts = count_parameters(model.config)
    if encoder == "audio_encoder":
        return counts["audio"].total + counts["joint"].total
    return counts["visual"].total - frames + counts["joint"].total
