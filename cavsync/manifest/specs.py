"""The records of a manifest with the limit of every entry; they are checked when a manifest is read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Interval, Len

from cavsync.manifest.files import MAX_NAME_BYTES, Files
from cavsync.records import Record, Rule, one_of

FORMAT_VERSION = 2
ENCODERS = ("audio_encoder", "visual_encoder")
GRAPHS = ("audio_frontend", *ENCODERS)
FRAME_ENCODER = "frame_encoder"
CLASSIFIER = "classifier"
FACE_GRAPHS = (
    *("face_detector_short_range", "face_detector_full_range", "face_mesh"),
    *("face_frame_encoder", "face_visual_encoder", "face_audio_encoder"),
)
OPTIONAL_ENTRIES = ("classifier", "faces", "file_calibration", FRAME_ENCODER)
OPTIONAL_NUMBERS = ("max_frames",)
"""Entries of calibrations; like OPTIONAL_ENTRIES they are left out where they are None."""
RUNTIMES = ("onnxruntime", "openvino", "tensorrt", "tensorrt_rtx")
PRECISIONS = ("fp32", "fp16", "bf16", "fp8", "int8")
DTYPES = ("float32", "float16", "uint8")
# Limits of untrusted numbers; real models stay far below all of them.
MAX_NUMBER = 10**18
MAX_WEIGHT = 1e9
MAX_FRAME_BYTES = 1 << 26
MAX_FRAME_RATE_HZ = 1000.0
MAX_WINDOW_SECONDS = 3600.0
MAX_WINDOW_INSTANTS = 100_000
MAX_OFFSET_MS = 60_000
MAX_DIMENSIONS = 8
MAX_TENSOR_SIZE = 1 << 31
MAX_EMBEDDING_WIDTH = 1 << 16
MAX_MODEL_ENTRIES = 200

Whole = Annotated[int, Interval(gt=-MAX_NUMBER, lt=MAX_NUMBER)]


def _is_name(text: Any) -> bool:
    return isinstance(text, str) and 0 < len(text.encode()) <= MAX_NAME_BYTES and text.isprintable()


def _is_size(size: int | str) -> bool:
    return 0 < size < MAX_TENSOR_SIZE if isinstance(size, int) else _is_name(size)


Size = Annotated[int | str, Rule(_is_size, f"should be from 1 to {MAX_TENSOR_SIZE - 1}, or the name of a dimension")]
Name = Annotated[str, Rule(_is_name, "should be a printable name")]
Number = Annotated[float, Interval(gt=-MAX_NUMBER, lt=MAX_NUMBER)]
Weight = Annotated[float, Interval(ge=-MAX_WEIGHT, le=MAX_WEIGHT)]
Distance = Annotated[float, Interval(ge=0, le=MAX_OFFSET_MS)]


@dataclass(frozen=True)
class TensorSpec(Record):
    """One input or output of a graph. A `shape` entry is a number of elements or the name of a dynamic dimension."""

    name: Name
    shape: Annotated[list[Size], Len(1, MAX_DIMENSIONS)]
    dtype: Annotated[str, one_of(DTYPES)]


@dataclass(frozen=True)
class GraphSpec(Record):
    """One ONNX graph: the name of its file in the bundle, its inputs and outputs in order."""

    file: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


@dataclass(frozen=True)
class ClassifierSpec(Record):
    """The graph of a classifier, from encoders' inputs to `logits` (batch, classes), and its `classes` in order.

    `target` is its training objective: "single-label" (softmax), "multi-label" (sigmoid), or None where unknown.
    """

    graph: GraphSpec
    classes: list[str]
    target: str | None = None


@dataclass(frozen=True)
class FrontendSpec(Record):
    """Kaldi-compatible log-mel of mono PCM. Frame m covers samples [m * shift, m * shift + length)."""

    sample_rate_hz: Literal[16_000] = 16_000
    frame_length_samples: Literal[400] = 400
    frame_shift_samples: Literal[160] = 160
    num_mel_bins: Annotated[int, Interval(ge=1, le=2048)] = 128


HOP_UNIT_MS = 1000 * FrontendSpec.frame_shift_samples / FrontendSpec.sample_rate_hz
"""Time from one log-mel frame to the next."""


@dataclass(frozen=True)
class AudioSpec(Record):
    """Audio segments of `segment_frames` log-mel frames; the graph itself normalises with `mean` and `std`."""

    segment_frames: Annotated[int, Interval(ge=1, le=6000)]
    mean: Number
    std: Number


@dataclass(frozen=True)
class VisualSpec(Record):
    """Frame input: tubelets of `num_frames` RGB frames `frame_step_seconds` apart, resized and centre-cropped."""

    img_size: Annotated[int, Interval(ge=1, le=4096)]
    num_frames: Annotated[int, Interval(ge=1, le=1024)]
    frame_step_seconds: Annotated[float, Interval(ge=0, le=10)]


def is_whole_hop(hop_ms: float) -> bool:
    """Whether a step of the lags is a whole number of log-mel frames."""
    frames = hop_ms / HOP_UNIT_MS
    return frames >= 1 and abs(frames - round(frames)) < 1e-6


@dataclass(frozen=True)
class SyncSpec(Record):
    """The grid of the similarity curve (SYNC.md) and the default windows of a decision."""

    frame_rate_hz: Annotated[float, Interval(gt=0, le=MAX_FRAME_RATE_HZ)]
    hop_ms: Annotated[float, Rule(is_whole_hop, f"should be a multiple of {HOP_UNIT_MS:g}")]
    max_offset_ms: Distance
    window_seconds: Annotated[float, Interval(gt=0, le=MAX_WINDOW_SECONDS)]
    decision_step_seconds: Annotated[float, Interval(ge=0.001, le=3600)]


@dataclass(frozen=True)
class Calibration(Record):
    """Probability that the offset is right, fitted on held-out clips: sigmoid(bias + sum of weights * features).

    `features` names the curve features in the order of `weights`. An offset within `tolerance_ms` counted as right.
    `resolution_ms` is the median absolute error of the decisions whose probability reached `threshold`; below
    `threshold` a decision is `undetermined`. `zero_point_ms` is subtracted from every offset. `max_frames` is the
    number of frames of the longest example; the feature `log_frames` is capped there, since nothing shows that longer
    ones are right more often still. None: no cap.
    """

    features: list[str]
    weights: list[Weight]
    bias: Weight
    threshold: Annotated[float, Interval(ge=0, le=1)]
    tolerance_ms: Distance
    resolution_ms: Distance
    zero_point_ms: Annotated[float, Interval(ge=-MAX_OFFSET_MS, le=MAX_OFFSET_MS)]
    num_clips: Whole
    num_windows: Whole
    source: str
    max_frames: Annotated[int, Interval(ge=1, lt=MAX_NUMBER)] | None = None


CALIBRATION_RULE = Rule(lambda found: len(found.weights) == len(found.features), "should have one weight per feature")
Calibrated = Annotated[Calibration, CALIBRATION_RULE] | None
"""None: every decision is undetermined."""


@dataclass(frozen=True)
class FaceSpec(Record):
    """The face path: graphs that find and measure faces, encoders of a mouth and of speech, and their calibration.

    `face_frame_encoder` encodes the features of one frame (batch, F). `face_visual_encoder` embeds each `num_frames`
    consecutive ones at `frame_rate_hz`, `face_audio_encoder` each `segment_frames` log-mel frames that start
    `step_frames` apart; both take any length, and their embeddings have the same width.
    `calibration` is for windows, `file_calibration` for whole files. `source` describes the run, `licences` the parts.
    """

    face_detector_short_range: GraphSpec
    face_detector_full_range: GraphSpec
    face_mesh: GraphSpec
    face_frame_encoder: GraphSpec
    face_visual_encoder: GraphSpec
    face_audio_encoder: GraphSpec
    frame_rate_hz: Annotated[float, Interval(ge=1, le=MAX_FRAME_RATE_HZ)]
    num_frames: Annotated[int, Interval(ge=1, le=1024)]
    segment_frames: Annotated[int, Interval(ge=1, le=6000)]
    step_frames: Annotated[int, Interval(ge=1, le=6000)]
    source: dict[str, Any]
    licences: dict[str, str]
    calibration: Calibrated = None
    file_calibration: Calibrated = None

    @property
    def graphs(self) -> dict[str, GraphSpec]:
        """The graphs by the names of FACE_GRAPHS."""
        return {name: getattr(self, name) for name in FACE_GRAPHS}


@dataclass(frozen=True)
class EngineSpec(Record):
    """Another way to compute a graph: `runtime` opens `file`, which needs the files `companions` too.

    `graph` is one of GRAPHS or FRAME_ENCODER, and its names, shapes and types are also the engine's; `runtime` is one
    of RUNTIMES.
    """

    graph: Annotated[str, one_of((*GRAPHS, FRAME_ENCODER))]
    runtime: Annotated[str, one_of(RUNTIMES)]
    precision: Annotated[str, one_of(PRECISIONS)]
    file: str
    companions: list[str] = field(default_factory=list)


VISUAL_RULE = Rule(
    lambda visual: 3 * visual.num_frames * visual.img_size**2 <= MAX_FRAME_BYTES,
    f"should take at most {MAX_FRAME_BYTES} bytes of frames at a time",
)
SYNC_RULES = (
    Rule(lambda sync: 2 * sync.hop_ms <= sync.max_offset_ms, "should have a max_offset_ms of at least two hops"),
    Rule(
        lambda sync: sync.window_seconds * sync.frame_rate_hz <= MAX_WINDOW_INSTANTS,
        f"should have at most {MAX_WINDOW_INSTANTS} frames in a window",
    ),
)
MODEL_SIZES = {"patch_size", "img_size", "num_frames", "audio_length", "embed_dim"}


def _is_plain(value: Any) -> bool:
    """Whether a value can be an entry of a model's configuration: one of a few kinds, or a list of such."""
    if isinstance(value, list):
        return len(value) <= MAX_MODEL_ENTRIES and all(not isinstance(item, list) and _is_plain(item) for item in value)
    if isinstance(value, float | int):
        return abs(value) < MAX_NUMBER
    return value is None or _is_name(value)


MODEL_RULES = (
    Rule(
        lambda model: (
            len(model) <= MAX_MODEL_ENTRIES and all(map(_is_name, model)) and all(map(_is_plain, model.values()))
        ),
        "should hold numbers, names, and lists of them",
    ),
    Rule(
        lambda model: all(
            type(model[name]) is int and 0 < model[name] < MAX_TENSOR_SIZE for name in MODEL_SIZES & model.keys()
        ),
        f"should have whole, positive numbers as {', '.join(sorted(MODEL_SIZES))}",
    ),
)


@dataclass(frozen=True)
class Manifest(Record):
    """Everything a runtime needs to know before it opens a graph.

    With `frame_encoder`, which gives the features of a pair of successive frames, `visual_encoder` takes those of a
    tubelet's num_frames - 1 pairs; without, it takes the tubelet itself.
    """

    name: str
    model: Annotated[dict[str, Any], *MODEL_RULES]
    precision: Annotated[str, one_of(PRECISIONS)]
    frontend: FrontendSpec
    audio: AudioSpec
    visual: Annotated[VisualSpec, VISUAL_RULE]
    sync: Annotated[SyncSpec, *SYNC_RULES]
    audio_frontend: GraphSpec
    audio_encoder: GraphSpec
    visual_encoder: GraphSpec
    weights_licence: str
    versions: dict[str, str]
    source: dict[str, Any]
    calibration: Calibrated = None
    engines: list[EngineSpec] = field(default_factory=list)
    classifier: ClassifierSpec | None = None
    faces: FaceSpec | None = None
    file_calibration: Calibrated = None
    frame_encoder: GraphSpec | None = None
    files: Files = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    @property
    def graphs(self) -> dict[str, GraphSpec]:
        """The graphs by the names of GRAPHS; FRAME_ENCODER, CLASSIFIER and those of faces (FACE_GRAPHS) if any."""
        found = {name: getattr(self, name) for name in GRAPHS}
        found |= {} if self.frame_encoder is None else {FRAME_ENCODER: self.frame_encoder}
        found |= {} if self.classifier is None else {CLASSIFIER: self.classifier.graph}
        return found | ({} if self.faces is None else self.faces.graphs)

    @property
    def encoders(self) -> dict[str, GraphSpec]:
        """The graphs that engines may compute: ENCODERS, and FRAME_ENCODER if there is one."""
        return {name: spec for name, spec in self.graphs.items() if name in (*ENCODERS, FRAME_ENCODER)}

    def to_bytes(self) -> bytes:
        """Serialise canonically, with the hash of everything else as `digest`."""
        content = asdict(self, dict_factory=_without_optional_numbers)
        for name in OPTIONAL_ENTRIES:
            if content[name] is None:
                # Older versions, which do not know the entry, can then read the bundle.
                del content[name]
        content["digest"] = hashlib.sha256(canonical(content)).hexdigest()
        return canonical(content)


def _without_optional_numbers(entries: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in entries if value is not None or name not in OPTIONAL_NUMBERS}


def canonical(content: dict[str, Any]) -> bytes:
    """The one spelling of a manifest's content."""
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
