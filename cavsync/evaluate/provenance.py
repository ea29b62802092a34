"""What a result depends on besides the protocol: weights, data, versions, decoders, device."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import av
from PIL import features

from cavsync import __version__
from cavsync.errors import DataError
from cavsync.evaluate.result import DataId, ModelId, Provenance
from cavsync.manifest import sha256_file

PACKAGES = ("numpy", "scipy", "torch", "torchaudio", "onnxruntime", "openvino", "av", "pillow")
DECODING_LIBRARIES = ("libavcodec", "libavformat", "libswresample", "libswscale")


def provenance(
    *, models: Sequence[ModelId], data: Sequence[DataId], seed: int | None = None, device: str = "cpu"
) -> Provenance:
    """The provenance of an evaluation that runs now, here."""
    return Provenance(
        models=list(models), data=list(data), versions=versions(), decoders=decoders(), seed=seed, device=device
    )


def versions() -> dict[str, str]:
    """Versions of cavsync, Python and the packages that compute, as far as they are installed."""
    found = {"cavsync": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def decoders() -> dict[str, str]:
    """Versions of the libraries that turn files into pixels and samples: another one may decode other values."""
    found = {name: ".".join(str(part) for part in av.library_versions[name]) for name in DECODING_LIBRARIES}
    return found | {"libjpeg": str(features.version("libjpeg_turbo") or features.version("jpg"))}


def data_id(name: str, files: Iterable[Path], root: Path) -> DataId:
    """Identity of data made of files: SHA-256 over their names below `root` and their contents, in sorted order.

    Raises DataError for a file that cannot be read.
    """
    digest, count = hashlib.sha256(), 0
    for path in sorted(set(files)):
        inside = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        try:
            digest.update(f"{inside}\0{sha256_file(path)}\n".encode())
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}): restore it, or leave it out") from None
        count += 1
    return DataId(name=name, sha256=digest.hexdigest(), count=count)
