"""The bundle's manifest: what a model is, what it expects, and the hash of every file (standard library only).

A bundle is a folder of data. Nothing in it is executed or unpickled, paths cannot leave it, and a file that differs
from its hash in the manifest by one byte is refused, the manifest itself included (`digest`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from cavsync.errors import BundleError

FORMAT_VERSION = 2
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20
MAX_FILES = 256
MAX_FILE_BYTES = 16 << 30
GRAPHS = ("audio_frontend", "audio_encoder", "visual_encoder")
RUNTIMES = ("onnxruntime", "openvino", "tensorrt", "tensorrt_rtx")

Section = TypeVar("Section")


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph. A `shape` entry is a number of elements or the name of a dynamic dimension."""

    name: str
    shape: list[int | str]
    dtype: str


@dataclass(frozen=True)
class GraphSpec:
    """One ONNX graph of the bundle: `file` beside the manifest, its inputs and outputs in order."""

    file: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


@dataclass(frozen=True)
class FrontendSpec:
    """Kaldi-compatible log-mel of mono PCM. Frame m covers samples [m * shift, m * shift + length)."""

    sample_rate_hz: int = 16_000
    frame_length_samples: int = 400
    frame_shift_samples: int = 160
    num_mel_bins: int = 128


@dataclass(frozen=True)
class AudioSpec:
    """Audio segments: `segment_frames` log-mel frames; the graph normalises with `mean` and `std` by itself."""

    segment_frames: int
    mean: float
    std: float


@dataclass(frozen=True)
class VisualSpec:
    """Picture input: tubelets of `num_frames` RGB frames `frame_step_seconds` apart, resized and centre-cropped."""

    img_size: int
    num_frames: int
    frame_step_seconds: float


@dataclass(frozen=True)
class SyncSpec:
    """The grid of the similarity curve (SYNC.md) and the default windows of a decision."""

    frame_rate_hz: float
    hop_ms: float
    max_offset_ms: float
    window_seconds: float
    decision_step_seconds: float


@dataclass(frozen=True)
class Calibration:
    """Probability that the offset is right, fitted on held-out clips: sigmoid(bias + sum of weights * features).

    `features` names the curve features in the order of `weights`. `tolerance_ms` says what counted as right.
    `resolution_ms` is the median absolute error of the decisions whose probability reached `threshold`; below
    `threshold` a decision is `undetermined`. `zero_point_ms` is subtracted from every offset.
    """

    features: list[str]
    weights: list[float]
    bias: float
    threshold: float
    tolerance_ms: float
    resolution_ms: float
    zero_point_ms: float
    num_clips: int
    num_windows: int
    source: str


@dataclass(frozen=True)
class EngineSpec:
    """Another way to compute a graph: `file` is what `runtime` opens, `companions` are the files that belong to it.

    `graph` is one of GRAPHS, whose names, shapes and types are the engine's too; `runtime` is one of RUNTIMES.
    """

    graph: str
    runtime: str
    precision: str
    file: str
    companions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FileEntry:
    """Size and hash of a file of the bundle."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Manifest:
    """Everything a runtime needs to know before it opens a graph."""

    name: str
    model: dict[str, Any]
    precision: str
    frontend: FrontendSpec
    audio: AudioSpec
    visual: VisualSpec
    sync: SyncSpec
    audio_frontend: GraphSpec
    audio_encoder: GraphSpec
    visual_encoder: GraphSpec
    weights_licence: str
    versions: dict[str, str]
    source: dict[str, Any]
    calibration: Calibration | None = None
    engines: list[EngineSpec] = field(default_factory=list)
    files: dict[str, FileEntry] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def to_bytes(self) -> bytes:
        """Serialise canonically, with the digest of everything else as the last word on integrity."""
        content = asdict(self)
        content["digest"] = hashlib.sha256(_canonical(content)).hexdigest()
        return _canonical(content)


def _canonical(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def describe_files(folder: Path, names: list[str]) -> dict[str, FileEntry]:
    """Hash the named files of `folder` for `Manifest.files`."""
    return {name: FileEntry(sha256_file(folder / name), (folder / name).stat().st_size) for name in names}


def read_manifest(bundle: Path | str) -> Manifest:
    """Read and check the manifest of the bundle folder, without looking at its other files.

    Raises:
        BundleError: no such folder, no manifest, a changed manifest, or a format that this version does not know.
    """
    bundle = Path(bundle)
    path = bundle / MANIFEST_NAME
    if not bundle.is_dir():
        raise BundleError(f"bundle {bundle} does not exist: give the folder that `cavsync export` wrote")
    if not path.is_file():
        raise BundleError(
            f"{bundle} is not a bundle, it has no {MANIFEST_NAME}: give a folder that `cavsync export` wrote"
        )
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise BundleError(f"{path} is larger than {MAX_MANIFEST_BYTES} bytes, no manifest is: export the bundle again")
    data = path.read_bytes()
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise BundleError(f"{path} is not valid JSON, the bundle was changed or cut short: export it again") from None
    if not isinstance(content, dict):
        raise BundleError(f"{path} does not hold a JSON object: export the bundle again")
    if content.get("format_version") != FORMAT_VERSION:
        raise BundleError(
            f"{path} has bundle format {content.get('format_version')!r}, this cavsync reads {FORMAT_VERSION}: "
            "export the bundle again with this version"
        )
    digest = content.pop("digest", None)
    if digest != hashlib.sha256(_canonical(content)).hexdigest() or _canonical({**content, "digest": digest}) != data:
        raise BundleError(f"{path} does not match its own digest, it was changed after export: export the bundle again")
    return _parse(content, path)


def verify_files(bundle: Path | str, manifest: Manifest) -> None:
    """Check that every file that the manifest names is there with its size and hash.

    Raises:
        BundleError: a name that leaves the folder, a missing file, another size, another hash.
    """
    bundle = Path(bundle)
    _check_names(bundle, manifest)
    for name, entry in manifest.files.items():
        path = bundle / name
        if Path(name).name != name or path.is_symlink():
            raise BundleError(f"{bundle} names the file {name!r}, which is not a plain file inside it: do not use it")
        if not path.is_file():
            raise BundleError(f"{bundle} lacks {name}: copy the whole bundle or export it again")
        if path.stat().st_size != entry.size_bytes or sha256_file(path) != entry.sha256:
            raise BundleError(f"{path} differs from the hash in the manifest: the bundle was changed, export it again")


def _check_names(bundle: Path, manifest: Manifest) -> None:
    """Everything named is hashed, of a sensible size, and there are not too many."""
    if len(manifest.files) > MAX_FILES:
        raise BundleError(f"{bundle} names {len(manifest.files)} files, at most {MAX_FILES} are read: do not use it")
    for name, entry in manifest.files.items():
        if not 0 <= entry.size_bytes <= MAX_FILE_BYTES:
            raise BundleError(
                f"{bundle} declares {name} with {entry.size_bytes} bytes, at most {MAX_FILE_BYTES} are read: "
                "do not use it"
            )
    named = [manifest.audio_frontend.file, manifest.audio_encoder.file, manifest.visual_encoder.file]
    for engine in manifest.engines:
        if engine.graph not in GRAPHS or engine.runtime not in RUNTIMES:
            raise BundleError(
                f"{bundle} names an engine for {engine.graph!r} on {engine.runtime!r}, unknown to this version: "
                "export the bundle again with this version"
            )
        named += [engine.file, *engine.companions]
    for name in named:
        if name not in manifest.files:
            raise BundleError(f"{bundle} names {name} without a hash: export the bundle again")


def _parse(content: dict[str, Any], path: Path) -> Manifest:
    try:
        graphs = {name: _graph(content.pop(name)) for name in GRAPHS}
        calibration = content.pop("calibration")
        return _section(
            Manifest,
            {
                **content,
                **graphs,
                "frontend": _section(FrontendSpec, content["frontend"]),
                "audio": _section(AudioSpec, content["audio"]),
                "visual": _section(VisualSpec, content["visual"]),
                "sync": _section(SyncSpec, content["sync"]),
                "calibration": None if calibration is None else _section(Calibration, calibration),
                "engines": [_section(EngineSpec, engine) for engine in content["engines"]],
                "files": {name: _section(FileEntry, entry) for name, entry in content["files"].items()},
            },
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{path} does not follow bundle format {FORMAT_VERSION} ({error}): export it again") from None


def _graph(content: dict[str, Any]) -> GraphSpec:
    tensors = {side: [_section(TensorSpec, item) for item in content[side]] for side in ("inputs", "outputs")}
    return GraphSpec(file=content["file"], **tensors)


def _section(kind: type[Section], content: dict[str, Any]) -> Section:
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(content) - set(known))
    if unknown:
        raise TypeError(f"unknown entry {unknown[0]}")
    missing = [
        name
        for name, item in known.items()
        if name not in content and item.default is MISSING and item.default_factory is MISSING
    ]
    if missing:
        raise TypeError(f"missing entry {missing[0]}")
    return kind(**content)
