"""The settings that a worker gets: the bundle, the scoring options, and the limits for one file."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from cavsync import __version__
from cavsync.atomic import atomic_folder
from cavsync.deploy.runtime.engine_keywords import EngineKeywords
from cavsync.deploy.stream.options import ScoringOptions
from cavsync.errors import BundleError
from cavsync.manifest import Manifest, read_manifest


@dataclass(frozen=True)
class Setup:
    """The settings of every worker.

    Args:
        bundle: folder of the bundle, on every machine of the cluster or to be copied there.
        bundle_sha256: `digest` of its manifest, which holds the hashes of its files.
        engine: keywords of `Bundle.open`.
        options: how to score.
        streams: files that one worker scores at a time, with common batches of embeddings.
        memory_mb: most memory of a worker's scoring process, in MiB.
        stall_seconds: longest time without any progress on a file.
        version: version of cavsync.
    """

    bundle: Path
    bundle_sha256: str
    engine: EngineKeywords
    options: ScoringOptions
    streams: int = 1
    memory_mb: int = 4096
    stall_seconds: float = 300.0
    version: str = __version__


def digest(manifest: Manifest) -> str:
    """Return the hash that identifies a bundle."""
    return hashlib.sha256(manifest.to_bytes()).hexdigest()


def require_same(manifest: Manifest, setup: Setup) -> None:
    """Raise BundleError where a bundle that was opened is not the one that the archive began with."""
    if digest(manifest) != setup.bundle_sha256:
        raise BundleError(f"{setup.bundle} was changed while the archive was scored: begin again with another OUT")


def packed(bundle: Path) -> dict[str, bytes]:
    """Return the content of a bundle's files, to be sent to other machines."""
    return {str(path.relative_to(bundle)): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}


def local_bundle(setup: Setup, content: dict[str, bytes] | None) -> Path:
    """Return a folder of this machine with the bundle of `setup`, written from `content` where there is none.

    Raises:
        BundleError: there is none and no content was sent.
    """
    if _holds(setup.bundle, setup.bundle_sha256):
        return setup.bundle
    copy = Path(gettempdir()) / f"cavsync-bundle-{setup.bundle_sha256[:24]}"
    if not _holds(copy, setup.bundle_sha256):
        if content is None:
            raise BundleError(f"{setup.bundle} was changed while the archive was scored: begin again with another OUT")
        with atomic_folder(copy) as folder:
            for name, data in content.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
    return copy


def _holds(folder: Path, sha256: str) -> bool:
    """Whether the folder's manifest is the one wanted; `Bundle.open` compares the files with it."""
    try:
        return digest(read_manifest(folder)) == sha256
    except BundleError:
        return False


def settings_of(setup: Setup, manifest: Manifest) -> dict[str, Any]:
    """Return everything by which the rows of two archives may differ, by the name that a message gives it."""
    return {
        "version of cavsync": setup.version,
        "bundle": {"name": manifest.name, "precision": manifest.precision, "sha256": setup.bundle_sha256},
        "--engine": setup.engine.get("engine"),
        "--streams": setup.streams,
        **asdict(setup.options),
    }
