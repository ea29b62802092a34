"""The paths of a bundle: the whole picture, the faces in it, or `auto`, which lets the verdict choose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cavsync.deploy import FileScore
from cavsync.deploy.verdict.records import FACE, WHOLE
from cavsync.errors import ConfigError
from cavsync.manifest import Manifest

PATHS = ("auto", FACE, WHOLE)


def paths_to_test(manifest: Manifest, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the paths to test of a bundle: those `wanted` that it has, all of them where none is named.

    A bundle without a face path has one path, which `auto` means too. Raises ConfigError where only `face` is wanted.
    """
    if manifest.faces is not None:
        return tuple(path for path in PATHS if path in (wanted or PATHS))
    if wanted and set(wanted) <= {FACE}:
        raise ConfigError(f"bundle {manifest.name} has no face path: give --path whole, or a bundle with faces")
    return (WHOLE,)


def lacks_face(score: FileScore, asked: str) -> bool:
    """Return whether the face path had nothing to compare: no lag of its curve counts, as no face was found."""
    curve = score.summary.score.curve
    return asked == FACE and (curve is None or not np.isfinite(curve.similarity).any())


def zero_point_ms(manifest: Manifest, path: str) -> float:
    """Return the zero point of the verdict on a file that rests on `path`; 0 without a calibration."""
    part = manifest.faces if path == FACE else manifest
    calibration = None if part is None else part.file_calibration or part.calibration
    return 0.0 if calibration is None else calibration.zero_point_ms
