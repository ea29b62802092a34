"""The models that are shipped with the package."""

from __future__ import annotations

from pathlib import Path

from cavsync.errors import BundleError

NAME = "sync-tiny"


def packaged(name: str) -> Path:
    """Return where the model folder `name` of the package is, in a wheel as in a checkout, whether or not it exists."""
    return Path(__file__).resolve().parents[2] / "models" / name


def default_bundle() -> Path:
    """Return the folder of the bundle that is used unless another is named.

    Raises:
        BundleError: it is missing.
    """
    folder = packaged(NAME)
    if not folder.is_dir():
        raise BundleError(f"this installation has no bundle {NAME}: name a bundle, or install cavsync from a wheel")
    return folder
