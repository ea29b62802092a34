"""The JSON beside a TensorRT engine, and the checks that come before the engine is opened.

An engine is executable code that tells nothing of itself without a GPU. So whoever builds one writes beside it what it
is, and whoever opens one compares that with the machine first.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from cavsync.deploy.runtime.tensorrt_library import PRODUCTS
from cavsync.errors import BundleError
from cavsync.manifest import GRAPHS, TensorSpec, open_plain

SIDECAR_VERSION = 1
MAX_SIDECAR_BYTES = 1 << 16
MAX_ENGINE_BYTES = 16 << 30
MAX_BATCH = 4096
# Of one tensor and item; models are far below.
MAX_ITEM_VALUES = 1 << 26
DTYPES = ("float32", "float16", "uint8")
# TensorRT-RTX for no named compute capability: these, and later ones, but no data-centre GPU among them.
RTX_PORTABLE = ("80", "86", "89", "120", "121")
EXAMPLE = "cavsync export RUN --out BUNDLE"
FIRST_WITH_FP8 = 89


@dataclass(frozen=True)
class BatchProfile:
    """Items per call: the fewest, the number that speed is tuned for, the most."""

    min: int
    opt: int
    max: int

    @property
    def is_ordered(self) -> bool:
        """Whether these numbers can be a profile at all."""
        return 1 <= self.min <= self.opt <= self.max <= MAX_BATCH


DEFAULT_BATCH = BatchProfile(min=1, opt=8, max=64)


@dataclass(frozen=True)
class Sidecar:
    """What an engine is.

    Without `compute_capabilities` it runs on every GPU that `runtime` builds for by default. `cuda_version` is the
    major version of CUDA that the library was made for, empty where that is not known. A tensor's first dimension is
    the batch. `rebuild_command` makes the same engine again, with a run and a folder in place of its capitals.
    """

    graph: str
    runtime: str
    library_version: str
    cuda_version: str
    precision: str
    compute_capabilities: list[str]
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    batch: BatchProfile
    engine_sha256: str
    source_sha256: str
    size_bytes: int
    rebuild_command: str
    format_version: int = SIDECAR_VERSION

    def to_bytes(self) -> bytes:
        """Serialise canonically."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True) + "\n").encode()


def rebuild_command(
    runtime: str, precision: str, compute_capabilities: Sequence[str], batch: BatchProfile | None = None
) -> str:
    """The command that builds such an engine, with a run and a bundle in place of its capitals."""
    words = [EXAMPLE, "--trt", PRODUCTS[runtime].choice]
    words += ["--precision", precision] if precision != "fp32" else []
    for capability in compute_capabilities:
        words += ["--compute-capability", capability]
    if batch is not None and batch != DEFAULT_BATCH:
        words += ["--batch", f"{batch.min},{batch.opt},{batch.max}"]
    return " ".join(words)


def _matches(pattern: str) -> Callable[[Any], bool]:
    # Every text has a bound, so that nobody prints a novel.
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None


def _is_tensor(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"name", "shape", "dtype"} or value["dtype"] not in DTYPES:
        return False
    shape = value["shape"]
    if not isinstance(shape, list) or not 1 <= len(shape) <= 8 or not _matches(r"\w{1,40}")(shape[0]):
        return False
    count = 1
    for size in shape[1:]:
        if type(size) is not int or size < 1:
            return False
        count *= size
    return _matches(r"\w{1,100}")(value["name"]) and count <= MAX_ITEM_VALUES


def _is_batch(value: Any) -> bool:
    names = [item.name for item in fields(BatchProfile)]
    if not isinstance(value, dict) or set(value) != set(names) or any(type(value[name]) is not int for name in names):
        return False
    return BatchProfile(**value).is_ordered


_is_capability, _is_hash = _matches(r"[1-9]\d{1,2}"), _matches(r"[0-9a-f]{64}")
RULES: dict[str, Callable[[Any], bool]] = {
    "graph": lambda value: value in GRAPHS,
    "runtime": lambda value: value in tuple(PRODUCTS),
    "library_version": _matches(r"\d+(\.\d+){1,3}(\.?\w{1,20})?"),
    "cuda_version": _matches(r"(\d{1,3}(\.\d{1,3})?)?"),
    "precision": _matches(r"\w{1,20}"),
    "compute_capabilities": lambda value: (
        isinstance(value, list) and len(value) <= 16 and all(map(_is_capability, value))
    ),
    "inputs": lambda value: isinstance(value, list) and len(value) == 1 and all(map(_is_tensor, value)),
    "outputs": lambda value: isinstance(value, list) and 1 <= len(value) <= 16 and all(map(_is_tensor, value)),
    "batch": _is_batch,
    "engine_sha256": _is_hash,
    "source_sha256": _is_hash,
    "size_bytes": lambda value: type(value) is int and 0 < value <= MAX_ENGINE_BYTES,
    # It is printed for people to paste.
    "rebuild_command": _matches(r"cavsync export [\w ./=,-]{1,300}"),
    "format_version": lambda value: type(value) is int and value == SIDECAR_VERSION,
}


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar: bounded, and nothing in it that this version does not know.

    Raises:
        BundleError: it is missing, no plain file, too large or no JSON; an entry is missing, unknown or unusable.
    """
    content = _load(path)
    if not RULES["format_version"](content.get("format_version")):
        raise BundleError(
            f"{path} has sidecar format {ascii(content.get('format_version'))[:20]}, this cavsync reads "
            f"{SIDECAR_VERSION}: build the engine again with this version"
        )
    for problem, names in (("an unknown", content.keys() - RULES.keys()), ("no", RULES.keys() - content.keys())):
        if names:
            raise BundleError(
                f"{path} has {problem} entry {ascii(min(names))[:40]}: build the engine again with this version"
            )
    for name, holds in RULES.items():
        if not holds(content[name]):
            raise BundleError(
                f"{path} declares {name} = {ascii(content[name])[:60]}, which this version cannot use: "
                "build the engine again with this version"
            )
    tensors = {side: [TensorSpec(**item) for item in content[side]] for side in ("inputs", "outputs")}
    return Sidecar(**{**content, **tensors, "batch": BatchProfile(**content["batch"])})


def check_loadable(sidecar: Sidecar, engine_path: Path, *, library_version: str, compute_capability: str) -> bytes:
    """Compare an engine with its sidecar, and the sidecar with this machine, without opening the engine.

    Returns the engine's bytes: what is opened is what was hashed, whatever happens to the file meanwhile.

    Raises:
        BundleError: another size or hash, another release of the library, another GPU. Releases are compared to the
        third number: neither library promises more without options that this version does not use (TensorRT 11.1,
        "Version Compatibility"; TensorRT-RTX, "Engine Compatibility").
    """
    plan = _read_engine(sidecar, engine_path)
    product = PRODUCTS[sidecar.runtime]
    if not is_same_release(sidecar, library_version):
        raise BundleError(
            f"{engine_path} was built by {product.name} {sidecar.library_version} and this machine has "
            f"{library_version}, an engine opens only in the release that built it: install that release, or rebuild "
            f"the engine with `{sidecar.rebuild_command}`"
        )
    if not runs_on(sidecar, compute_capability):
        wanted = ", ".join(sidecar.compute_capabilities) or "80, 86, 89, 120 and later GeForce and RTX GPUs"
        raise BundleError(
            f"{engine_path} was built for compute capability {wanted} and this GPU has {compute_capability}: "
            f"rebuild the engine with `{_command_for(sidecar, compute_capability)}`"
        )
    return plan


def _load(path: Path) -> dict[str, Any]:
    try:
        with open_plain(path) as stream:
            data = stream.read(MAX_SIDECAR_BYTES + 1)
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read ({error.strerror}), an engine is used only with its sidecar: copy the whole bundle "
            f"or build the engine again with `{EXAMPLE} --trt`"
        ) from None
    if len(data) > MAX_SIDECAR_BYTES:
        raise BundleError(f"{path} is larger than {MAX_SIDECAR_BYTES} bytes, no sidecar is: build the engine again")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise BundleError(f"{path} does not hold a JSON object: build the engine again")
    return content


def _read_engine(sidecar: Sidecar, engine_path: Path) -> bytes:
    try:
        with open_plain(engine_path) as stream:
            # One byte more tells a longer file from the right one.
            plan = stream.read(sidecar.size_bytes + 1)
    except OSError as error:
        raise BundleError(
            f"{engine_path} cannot be read ({error.strerror}): copy the whole bundle or rebuild the engine with "
            f"`{sidecar.rebuild_command}`"
        ) from None
    if len(plan) != sidecar.size_bytes or hashlib.sha256(plan).hexdigest() != sidecar.engine_sha256:
        raise BundleError(
            f"{engine_path} differs from the size and hash in its sidecar, it was changed or belongs to another "
            f"export: rebuild the engine with `{sidecar.rebuild_command}`"
        )
    return plan


def is_same_release(sidecar: Sidecar, library_version: str) -> bool:
    """Whether a library is of the release that built the engine."""
    return sidecar.library_version.split(".")[:3] == library_version.split(".")[:3]


def runs_on(sidecar: Sidecar, compute_capability: str) -> bool:
    """Whether the engine was built for GPUs of this compute capability."""
    if sidecar.precision == "fp8" and int(compute_capability) < FIRST_WITH_FP8:
        return False
    if sidecar.compute_capabilities:
        return compute_capability in sidecar.compute_capabilities
    if sidecar.runtime == "tensorrt_rtx":
        return compute_capability in RTX_PORTABLE or int(compute_capability) > int(RTX_PORTABLE[-1])
    return True


def _command_for(sidecar: Sidecar, compute_capability: str) -> str:
    """The command for this GPU, with the library that builds for it."""
    if sidecar.runtime == "tensorrt_rtx" and compute_capability in ("75", *RTX_PORTABLE):
        return rebuild_command(sidecar.runtime, sidecar.precision, [compute_capability], sidecar.batch)
    return rebuild_command("tensorrt", sidecar.precision, [], sidecar.batch)
