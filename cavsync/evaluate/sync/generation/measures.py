"""The chosen measures of one clip, by the bundle that measured it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from cavsync.deploy import Bundle
from cavsync.errors import ConfigError
from cavsync.evaluate.sync.generation.av_align import Peaks, read_peaks
from cavsync.evaluate.sync.generation.lip_distance import LipDistance, lip_distance
from cavsync.evaluate.sync.generation.window_scores import WindowScore, window_score

AV_ALIGN, LSE, JAVIS = "av-align", "lse", "javis"
GENERATION_METRICS = (LSE, AV_ALIGN, JAVIS)


@dataclass(frozen=True)
class Generation:
    """By name of the bundle, `lips` and `windows`; `peaks` are those of AV-Align, None where it was not asked for."""

    lips: dict[str, LipDistance] = field(default_factory=dict)
    windows: dict[str, WindowScore] = field(default_factory=dict)
    peaks: Peaks | None = None


def require_usable(bundles: dict[str, Bundle], wanted: Collection[str]) -> None:
    """Raise what the first clip would raise: ConfigError where no bundle has a face path, ModuleNotFoundError without
    OpenCV."""
    if LSE in wanted and all(bundle.faces is None for bundle in bundles.values()):
        raise ConfigError(f"no bundle has a face path, which {LSE} needs: leave {LSE} out, or give one with faces")
    if AV_ALIGN in wanted:
        import cv2  # noqa: F401


def measured(bundles: dict[str, Bundle], path: Path, wanted: Collection[str]) -> Generation:
    """Measure a clip as it is; `wanted` are names of `GENERATION_METRICS`. LSE is measured by the bundles that have a
    face path. Raises MediaError for a clip that cannot be read."""
    with_faces = {name: bundle for name, bundle in bundles.items() if bundle.faces is not None}
    return Generation(
        {name: lip_distance(bundle, path) for name, bundle in with_faces.items()} if LSE in wanted else {},
        {name: window_score(bundle, path) for name, bundle in bundles.items()} if JAVIS in wanted else {},
        read_peaks(path) if AV_ALIGN in wanted else None,
    )
