"""Provenance of a result, in addition to its protocol: weights, data, versions, decoders, device."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import av
from PIL import features

from cavsync import __version__
from cavsync.errors import DataError
from cavsync.evaluate.results.result import DataId, ModelId, Provenance
from cavsync.file_names import legible
from cavsync.manifest import sha256_file

PACKAGES = ("numpy", "scipy", "torch", "torchaudio", "onnxruntime", "openvino", "av", "pillow")
DECODING_LIBRARIES = ("libavcodec", "libavformat", "libswresample", "libswscale")


def provenance(
    *, models: Sequence[ModelId], data: Sequence[DataId], seed: int | None = None, device: str = "cpu"
) -> Provenance:
    """Provenance of an evaluation in this process."""
    return Provenance(
        models=list(models), data=list(data), versions=versions(), decoders=decoders(), seed=seed, device=device
    )


def versions() -> dict[str, str]:
    """Versions of cavsync, Python and the numerical packages that are installed."""
    found = {"cavsync": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def decoders() -> dict[str, str]:
    """Versions of the decoding libraries: another version may decode other values."""
    found = {name: ".".join(str(part) for part in av.library_versions[name]) for name in DECODING_LIBRARIES}
    return found | {"libjpeg": str(features.version("libjpeg_turbo") or features.version("jpg"))}


def data_id(name: str, files: Iterable[Path], root: Path) -> DataId:
    """Identity of data made of files, by their paths relative to `root`; see `named_data_id`."""
    return named_data_id(name, ((relative_name(path, root), path) for path in files))


def named_data_id(name: str, files: Iterable[tuple[str, Path]], chosen: Iterable[str] = ()) -> DataId:
    """Identity of data: SHA-256 over the names and contents of `files`, and the clips `chosen` among them.

    The order does not matter; relative names give the same identity on every machine. Raises DataError for a file that
    cannot be read.
    """
    named = set(files)
    lines = [f"{inside}\0{_content(path)}" for inside, path in named] + [f"{clip}\0chosen" for clip in chosen]
    return DataId(name=name, sha256=hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest(), count=len(named))


def relative_name(path: Path, root: Path) -> str:
    """A path relative to `root`, also where it lies outside."""
    return legible(Path(os.path.relpath(path, root)).as_posix())


def _content(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): restore it, or leave it out") from None
