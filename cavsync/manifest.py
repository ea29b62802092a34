"""The bundle's manifest: what a model is, what it expects, and the hash of every file (standard library only).

A bundle is a folder of data. Nothing in it is executed or unpickled, and the manifest says of every file, and of itself
(`digest`), what it must be to the byte. That keeps out accidents, not forgers, so whatever it says is distrusted too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections import Counter
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from io import BufferedReader
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from cavsync.errors import BundleError

FORMAT_VERSION = 2
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20
MAX_DEPTH = 16
MAX_NUMBER = 1e18
TOO_DEEP = f"nests values more than {MAX_DEPTH} deep"
ENCODERS = ("audio_encoder", "visual_encoder")
GRAPHS = ("audio_frontend", *ENCODERS)
CLASSIFIER = "classifier"
RUNTIMES = ("onnxruntime", "openvino", "tensorrt", "tensorrt_rtx")
# A system that lacks one of these flags lacks the kind of file that it is for.
READ_PLAIN = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"))
# As canonical JSON spells them, except line breaks and tabs: a terminal would obey them.
CONTROL_CHARACTERS = re.compile(r"(?<!\\)(?:\\\\)*\\u00[01]|[\x7f-\x9f]")
KINDS = {str: "text", int: "a whole number below 1e18", float: "a number below 1e18", list: "a list", dict: "an object"}


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
class ClassifierSpec:
    """The graph of a classifier, from encoders' inputs to `logits` (batch, classes), `classes` in their order; `target`
    as it was trained: "single-label" (softmax), "multi-label" (sigmoid), or None where that is not known."""

    graph: GraphSpec
    classes: list[str]
    target: str | None = None


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
    """Frame input: tubelets of `num_frames` RGB frames `frame_step_seconds` apart, resized and centre-cropped."""

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
    classifier: ClassifierSpec | None = None
    files: dict[str, FileEntry] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    @property
    def graphs(self) -> dict[str, GraphSpec]:
        """The graphs by the names of GRAPHS, and the classifier's as CLASSIFIER where there is one."""
        found = {name: getattr(self, name) for name in GRAPHS}
        return found | ({} if self.classifier is None else {CLASSIFIER: self.classifier.graph})

    def to_bytes(self) -> bytes:
        """Serialise canonically, with the digest of everything else as the last word on integrity."""
        content = asdict(self)
        if self.classifier is None:
            # Versions that know of no classifier read bundles that have none.
            del content["classifier"]
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


def open_plain(path: Path) -> BufferedReader:
    """Open a file of a bundle for reading; never follows a link, waits on a pipe or opens a device.

    Raises:
        OSError: there is no such file, or it may not be read.
        BundleError: it is there and no plain file.
    """
    if stat.S_ISREG(path.lstat().st_mode):
        stream = os.fdopen(os.open(path, READ_PLAIN), "rb")
        if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            return stream
        stream.close()
    raise BundleError(f"{path} is a link, folder or pipe, a bundle has plain files only: copy the files themselves")


def read_manifest(bundle: Path | str) -> Manifest:
    """Read and check the manifest of the bundle folder, without looking at its other files.

    Raises:
        BundleError: no such folder, no manifest, a changed manifest, or a format that this version does not know.
    """
    path = Path(bundle) / MANIFEST_NAME
    data = _read(path)
    try:
        text = data.decode()
        content = json.loads(text, object_pairs_hook=_object)
        if not isinstance(content, dict):
            raise _UnfitError("does not hold a JSON object")
        version = content.get("format_version")
        if type(version) is not int or version != FORMAT_VERSION:
            raise _UnfitError(f"has bundle format {_shown(version)}, this cavsync reads {FORMAT_VERSION}")
        if _depth(content) > MAX_DEPTH:
            raise _UnfitError(TOO_DEEP)
        if CONTROL_CHARACTERS.search(text):
            raise _UnfitError("holds control characters, names and notes are plain text")
        digest = content.pop("digest", None)
        sealed = _canonical({**content, "digest": digest})
        if digest != hashlib.sha256(_canonical(content)).hexdigest() or sealed != data:
            raise _UnfitError("does not match its own digest, it was changed after export")
        manifest: Manifest = _build(Manifest, content, "")
        # What the format leaves open may hold no NaN either.
        json.dumps(content, allow_nan=False)
    except _UnfitError as error:
        problem = str(error)
    except RecursionError:
        problem = TOO_DEEP
    except ValueError:
        problem = "is not valid JSON, the bundle was changed or cut short"
    else:
        return manifest
    raise BundleError(f"{path} {problem}: export the bundle again with this version")


class _UnfitError(ValueError):
    """What is wrong with a manifest, as the part of the sentence that follows its path."""


def _read(path: Path) -> bytes:
    try:
        with open_plain(path) as stream:
            data = stream.read(MAX_MANIFEST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        problem = f"is not a bundle, it has no {MANIFEST_NAME}" if path.parent.is_dir() else "does not exist"
        raise BundleError(f"{path.parent} {problem}: give a folder that `cavsync export` wrote") from None
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}): give a folder that is yours to read") from None
    if len(data) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{path} is larger than {MAX_MANIFEST_BYTES} bytes, no manifest is: export the bundle again")
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = Counter(name for name, _ in pairs)
    if len(names) < len(pairs):
        raise _UnfitError(f"names {_shown(names.most_common(1)[0][0])} twice")
    return dict(pairs)


def _build(kind: Any, value: Any, where: str) -> Any:
    """`value` as the annotation `kind` has it, objects as dataclasses; `where` names it in the sentence."""
    options = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    for option in options:
        outer, inner = get_origin(option) or option, get_args(option)
        if option is Any:
            return value
        if is_dataclass(option) and type(value) is dict:
            return _build_section(option, value, where)
        # True is no number here.
        if type(value) is outer or (outer is float and type(value) is int):
            if outer is list:
                return [_build(inner[0], item, f"{where}[{index}]") for index, item in enumerate(value)]
            if outer is dict:
                return {name: _build(inner[1], item, f"{where}[{_shown(name)}]") for name, item in value.items()}
            if value is None or isinstance(value, str) or abs(value) < MAX_NUMBER:
                return value
    wanted = " or ".join(KINDS.get(get_origin(item) or item, "an object") for item in options if item is not NoneType)
    raise _UnfitError(f"declares {where} = {_shown(value)}, which should be {wanted}")


def _build_section(kind: Any, value: dict[str, Any], where: str) -> Any:
    hints = get_type_hints(kind)
    required = [item.name for item in fields(kind) if item.default is MISSING and item.default_factory is MISSING]
    for problem, names in (("an unknown", value.keys() - hints.keys()), ("no", set(required) - value.keys())):
        if names:
            raise _UnfitError(f"has {problem} entry {_shown(min(names))} in {where or 'the manifest'}")
    return kind(**{name: _build(hints[name], item, f"{where}.{name}".lstrip(".")) for name, item in value.items()})


def _depth(value: Any) -> int:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, items), default=0)


def _shown(value: Any) -> str:
    """What a stranger wrote, in few words and without anything that a terminal would obey."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
