"""Similarity by time and offset, as a small PNG inside the page."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cavsync.deploy.files.whole_file import HeatMap

MAX_COLUMNS = 400
# Even steps of lightness, so that it is readable in grey and with any colour vision.
COLOURS = np.array(
    [(13, 17, 48), (38, 42, 108), (48, 84, 150), (35, 130, 158), (47, 172, 143), (135, 205, 104), (248, 230, 92)]
)


def heat_map_data_uri(heat_map: HeatMap) -> str:
    """PNG data URI: time to the right, audio offset (minus lag) upwards, light where the similarity is high.

    Each column's median is subtracted, so that scenes of different content can be compared.
    Missing audio is transparent.
    """
    columns = _pool(heat_map.similarity)
    # Offset = -lag, and rows run downwards: the lowest lag, which is the highest offset, is the top row.
    frame = _colour(columns).transpose(1, 0, 2)
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).save(out, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def _pool(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most `MAX_COLUMNS` columns, each the mean of its neighbours."""
    if len(columns) <= MAX_COLUMNS:
        return columns
    parts = np.array_split(columns, MAX_COLUMNS)
    sums = np.stack([np.nansum(part, axis=0) for part in parts])
    counts = np.stack([np.isfinite(part).sum(axis=0) for part in parts])
    pooled: NDArray[np.float64] = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return pooled


def _colour(columns: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(columns, lags) -> RGBA (columns, lags, 4)."""
    rgba = np.zeros((*columns.shape, 4), dtype=np.uint8)
    known = np.isfinite(columns)
    if not known.any():
        return rgba
    levelled = columns.copy()
    for column, is_known in zip(levelled, known, strict=True):
        if is_known.any():
            column -= np.median(column[is_known])
    low, high = np.percentile(levelled[known], [2, 99.5])
    share = np.clip((levelled[known] - low) / max(high - low, 1e-9), 0, 1)
    stops = np.linspace(0, 1, len(COLOURS))
    channels = [np.interp(share, stops, COLOURS[:, channel]) for channel in range(3)]
    rgba[known, :3] = np.round(np.stack(channels, axis=-1)).astype(np.uint8)
    rgba[known, 3] = 255
    return rgba
