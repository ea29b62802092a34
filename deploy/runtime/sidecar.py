"""The JSON sidecar of a TensorRT engine, and the checks before the engine is opened.

An engine is executable code that cannot be inspected without a GPU. So the builder describes it in a sidecar, which is
compared with the machine before the engine is opened.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import Annotated

from annotated_types import Interval, Len

from cavsync.deploy.runtime.tensorrt_library import PRODUCTS
from cavsync.errors import BundleError
from cavsync.manifest import GRAPHS, TensorSpec
from cavsync.manifest.files import MAX_FILE_BYTES
from cavsync.manifest.reading import open_plain
from cavsync.manifest.specs import DTYPES
from cavsync.records import Record, Rule, UnfitError, one_of, parse, shown

SIDECAR_VERSION = 1
MAX_SIDECAR_BYTES = 1 << 16
MAX_BATCH = 4096
# Per tensor and item; real models stay far below.
MAX_ITEM_VALUES = 1 << 26
MAX_DIMENSIONS = 8
# An engine of TensorRT-RTX for no named compute capability runs on these and later ones, data-centre GPUs excepted.
RTX_PORTABLE = ("80", "86", "89", "120", "121")
EXAMPLE = "cavsync export RUN --out BUNDLE"
FIRST_WITH_FP8 = 89


@dataclass(frozen=True)
class BatchProfile(Record):
    """Items per call: the fewest, the number that speed is tuned for, the most."""

    min: int
    opt: int
    max: int

    @property
    def is_ordered(self) -> bool:
        """Whether these numbers are a valid profile."""
        return 1 <= self.min <= self.opt <= self.max <= MAX_BATCH


DEFAULT_BATCH = BatchProfile(min=1, opt=8, max=64)


def _matches(pattern: str, expected: str) -> Rule:
    """Every pattern bounds the length, because messages print the text."""
    return Rule(lambda value: re.fullmatch(pattern, value, re.ASCII) is not None, f"should be {expected}")


def _is_tensor(tensor: TensorSpec) -> bool:
    batch, *others = tensor.shape or [0]
    sizes = [size for size in others if isinstance(size, int) and size >= 1]
    return (
        tensor.dtype in DTYPES
        and re.fullmatch(r"\w{1,100}", tensor.name, re.ASCII) is not None
        and isinstance(batch, str)
        and re.fullmatch(r"\w{1,40}", batch, re.ASCII) is not None
        and len(sizes) == len(others) < MAX_DIMENSIONS
        and math.prod(sizes) <= MAX_ITEM_VALUES
    )


Tensor = Annotated[TensorSpec, Rule(_is_tensor, "should have a named batch, fixed sizes and a known type")]
Sha256 = Annotated[str, _matches(r"[0-9a-f]{64}", "a SHA-256 in hex")]
Capability = Annotated[str, _matches(r"[1-9]\d{1,2}", 'a compute capability such as "89"')]


@dataclass(frozen=True)
class Sidecar(Record):
    """The description of an engine.

    Without `compute_capabilities` it runs on every GPU that `runtime` builds for by default. `cuda_version` is the
    major version of CUDA that the library was made for, empty if unknown. A tensor's first dimension is the batch.
    `rebuild_command` makes the same engine again; its words in capitals stand for a run and a folder.
    """

    graph: Annotated[str, one_of(GRAPHS)]
    runtime: Annotated[str, one_of(PRODUCTS)]
    library_version: Annotated[str, _matches(r"\d+(\.\d+){1,3}(\.?\w{1,20})?", "a version")]
    cuda_version: Annotated[str, _matches(r"(\d{1,3}(\.\d{1,3})?)?", "a version or empty")]
    precision: Annotated[str, _matches(r"\w{1,20}", "one word")]
    compute_capabilities: Annotated[list[Capability], Len(0, 16)]
    inputs: Annotated[list[Tensor], Len(1, 1)]
    outputs: Annotated[list[Tensor], Len(1, 16)]
    batch: Annotated[BatchProfile, Rule(attrgetter("is_ordered"), f"should ascend from 1 to {MAX_BATCH}")]
    engine_sha256: Sha256
    source_sha256: Sha256
    size_bytes: Annotated[int, Interval(gt=0, le=MAX_FILE_BYTES)]
    # Users paste it into a terminal.
    rebuild_command: Annotated[str, _matches(r"cavsync export [\w ./=,-]{1,300}", "a command of cavsync")]
    format_version: int = SIDECAR_VERSION

    def to_bytes(self) -> bytes:
        """Serialise canonically."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True) + "\n").encode()


def rebuild_command(
    runtime: str, precision: str, compute_capabilities: Sequence[str], batch: BatchProfile | None = None
) -> str:
    """Return the command that builds such an engine; its words in capitals stand for a run and a bundle."""
    words = [EXAMPLE, "--trt", PRODUCTS[runtime].choice]
    words += ["--precision", precision] if precision != "fp32" else []
    for capability in compute_capabilities:
        words += ["--compute-capability", capability]
    if batch is not None and batch != DEFAULT_BATCH:
        words += ["--batch", f"{batch.min},{batch.opt},{batch.max}"]
    return " ".join(words)


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar; its size is bounded and it has no entry that this version does not know.

    Raises:
        BundleError: it is missing, not a plain file, too large or not JSON; an entry is missing, unknown or unusable.
    """
    try:
        with open_plain(path) as stream:
            data = stream.read(MAX_SIDECAR_BYTES + 1)
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read ({error.strerror}), an engine is used only with its sidecar: copy the whole bundle "
            f"or build the engine again with `{EXAMPLE} --trt`"
        ) from None
    try:
        if len(data) > MAX_SIDECAR_BYTES:
            raise UnfitError(f"is larger than {MAX_SIDECAR_BYTES} bytes, which no sidecar is")
        version = json.loads(data)["format_version"]
        if type(version) is not int or version != SIDECAR_VERSION:
            raise UnfitError(f"has sidecar format {shown(version)}, this cavsync reads {SIDECAR_VERSION}")
        return parse(Sidecar, data)
    except UnfitError as error:
        problem = str(error)
    except (ValueError, RecursionError, TypeError, KeyError):
        problem = "does not hold a JSON object with a format_version"
    raise BundleError(f"{path} {problem}: build the engine again with this version")


def check_loadable(sidecar: Sidecar, engine_path: Path, *, library_version: str, compute_capability: str) -> bytes:
    """Compare an engine with its sidecar, and the sidecar with this machine, without opening the engine.

    Returns the engine's bytes, which were hashed, so that a later change of the file has no effect.

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


def _read_engine(sidecar: Sidecar, engine_path: Path) -> bytes:
    try:
        with open_plain(engine_path) as stream:
            # One byte more, to detect a longer file.
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
    """Whether a library is the release that built the engine."""
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
    """Return the command for this GPU, with the library that builds for it."""
    if sidecar.runtime == "tensorrt_rtx" and compute_capability in ("75", *RTX_PORTABLE):
        return rebuild_command(sidecar.runtime, sidecar.precision, [compute_capability], sidecar.batch)
    return rebuild_command("tensorrt", sidecar.precision, [], sidecar.batch)
