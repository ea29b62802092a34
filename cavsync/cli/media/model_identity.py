"""What identifies the model that wrote a file: name, kind and hash, and the options that its checkpoint needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cavsync.deploy import Bundle
    from cavsync.evaluate.results.result import ModelId


def identity_of_bundle(bundle: Bundle) -> dict[str, Any]:
    """Identify a bundle by its manifest, which holds the hash of every file."""
    from cavsync.manifest import MANIFEST_NAME, sha256_file

    sha256 = sha256_file(bundle.path / MANIFEST_NAME)
    return {"name": bundle.manifest.name, "kind": "bundle", "sha256": sha256}


def identity_of_checkpoint(model: ModelId) -> dict[str, Any]:
    """Identify a run's or the authors' checkpoint."""
    return {"name": model.name, "kind": model.kind, "sha256": model.sha256, **model.details}
