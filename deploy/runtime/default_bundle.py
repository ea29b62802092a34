"""The bundle that is shipped with the package."""

from __future__ import annotations

from pathlib import Path

from cavsync.errors import BundleError

NAME = "sync-tiny"


def default_bundle() -> Path:
    """Return the folder of the bundle that is used unless another is named, in a wheel as in a checkout.

    Raises:
        BundleError: it is missing.
    """
    folder = Path(__file__).resolve().parents[2] / "models" / NAME
    if not folder.is_dir():
        raise BundleError(f"this installation has no bundle {NAME}: name a bundle, or install cavsync from a wheel")
    return folder
