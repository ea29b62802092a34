"""Classes of a file over time, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.files.paired import Array, PairedFrames, Progress, filled, paired_frames
from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.runtime.classifier import LOG_MEL, Classifier
from cavsync.deploy.runtime.tubelets import stacked
from cavsync.media.tracks import PLAYED, TrackChoice

NO_AUDIO = "no audio"


@dataclass(frozen=True)
class TagWindow:
    """`probabilities` (classes,) of `num_frames` frames between two times, together or their mean; None where there is
    no audio around any of the frames and the classifier needs it."""

    start_seconds: float
    end_seconds: float
    num_frames: int
    probabilities: NDArray[np.float64] | None


@dataclass
class TagTotals:
    """The mean of all frames, and the highest mean of a window with its start, of each class (classes,)."""

    num_frames: int = 0
    _sum: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    highest: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    highest_start_seconds: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def add(self, window: TagWindow) -> None:
        """Take a window in."""
        found = window.probabilities
        if found is None:
            return
        if not self.num_frames:
            self._sum, self.highest = np.zeros(len(found)), np.full(len(found), -1.0)
            self.highest_start_seconds = np.zeros(len(found))
        self.num_frames += window.num_frames
        self._sum += window.num_frames * found
        higher = found > self.highest
        self.highest[higher] = found[higher]
        self.highest_start_seconds[higher] = window.start_seconds

    @property
    def mean(self) -> NDArray[np.float64] | None:
        """(classes,); None without a frame that could be classified."""
        return self._sum / self.num_frames if self.num_frames else None


def file_tags(
    path: Path | str,
    bundle: Bundle,
    classifier: Classifier,
    *,
    window_seconds: float,
    frame_rate_hz: float,
    tracks: TrackChoice = PLAYED,
    on_progress: Progress | None = None,
) -> Iterator[TagWindow]:
    """Yield the windows of a file that hold frames, in order; window k begins at k * window_seconds.

    Each frame is classified with the segment of audio around it, which is moved inside the audio at its ends, as in
    training. A classifier of several frames takes a window as a clip: so many of its frames, spread evenly, some of
    them more than once where there are fewer; all frames of a window are kept until then. `bundle` gives the sizes of
    the inputs and the log-mel; on_progress as for `paired_frames`.

    Raises:
        MediaError: unreadable, truncated, without video or audio.
        ConfigError: a frame rate that cannot be used.
    """
    shape = (bundle.manifest.audio.segment_frames, bundle.manifest.frontend.num_mel_bins)
    pairs: PairedFrames[NDArray[np.uint8]] = PairedFrames(bundle, stacked, frame_rate_hz, pad=True)
    together = classifier.frames_per_clip > 1

    def rows() -> Iterator[tuple[int, Any]]:
        for times_seconds, tubelets, segments in paired_frames(path, pairs, tracks, on_progress):
            frames = zip(tubelets, segments, strict=True)
            found: Iterable[Any] = frames if together else _classified(classifier, tubelets, segments, shape)
            for seconds, row in zip(times_seconds, found, strict=True):
                yield math.floor(seconds / window_seconds), row

    for place, group in groupby(rows(), key=itemgetter(0)):
        window = [row for _, row in group]
        yield _window(place, window_seconds, _of_clip(classifier, window, shape) if together else window)


def _classified(
    classifier: Classifier, tubelets: NDArray[np.uint8], segments: list[Array | None], shape: tuple[int, int]
) -> list[NDArray[np.float64] | None]:
    """Return the probabilities (classes,) of each frame; None where it lacks audio that the classifier needs."""
    log_mel, missing = filled(segments, shape)
    usable = ~missing if LOG_MEL in classifier.inputs else np.ones(len(missing), np.bool_)
    if not usable.any():
        return [None] * len(usable)
    rows = iter(classifier.probabilities(log_mel[usable], tubelets[usable]))
    return [next(rows) if is_usable else None for is_usable in usable]


def _of_clip(
    classifier: Classifier, frames: list[tuple[NDArray[np.uint8], Array | None]], shape: tuple[int, int]
) -> list[NDArray[np.float64] | None]:
    """Return the probabilities (classes,) of a window's frames, classified together, once for each of them."""
    if LOG_MEL in classifier.inputs:
        frames = [(tubelet, segment) for tubelet, segment in frames if segment is not None]
    if not frames:
        return [None]
    chosen = np.linspace(0, len(frames) - 1, classifier.frames_per_clip).round().astype(int)
    log_mel, _ = filled([frames[index][1] for index in chosen], shape)
    row = classifier.probabilities(log_mel, np.stack([frames[index][0] for index in chosen]))[0]
    return [row] * len(frames)


def _window(place: int, window_seconds: float, rows: list[NDArray[np.float64] | None]) -> TagWindow:
    known = [row for row in rows if row is not None]
    mean = np.mean(known, axis=0) if known else None
    return TagWindow(place * window_seconds, (place + 1) * window_seconds, len(known), mean)
