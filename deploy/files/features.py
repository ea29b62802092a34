"""Embeddings of the frames of a file and of the audio around each, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.files.paired import Array, PairedFrames, Progress, filled, paired
from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.runtime.tubelets import Tubelet
from cavsync.media import AudioChunk, MediaReader, VideoFrame
from cavsync.media.tracks import PLAYED, TrackChoice


@dataclass(frozen=True)
class Features:
    """Features of n successive frames of a file, at `times_seconds` (n,) float64 of the file's clock.

    `visual`, `audio`: unit embeddings (n, D) of the frames and of the segment of audio centred on each.
    `visual_patches` (n, N, D), `audio_patches` (n, M, D): the encoders' patch tokens, row-major (audio:
    frequency-major), None where they were not asked for. Audio features are NaN where the audio does not cover the
    segment, as at the beginning and the end of a file.
    """

    times_seconds: NDArray[np.float64]
    visual: Array
    audio: Array
    visual_patches: Array | None = None
    audio_patches: Array | None = None

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays by name, without those that are missing."""
        named = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: values for name, values in named.items() if values is not None}


def file_features(
    path: Path | str,
    bundle: Bundle,
    *,
    frame_rate_hz: float | None = None,
    patches: bool = False,
    tracks: TrackChoice = PLAYED,
    on_progress: Progress | None = None,
) -> Iterator[Features]:
    """Yield the features of a media file, group by group.

    Args:
        path: a file, or an address that FFmpeg opens.
        bundle: computes them.
        frame_rate_hz: use at most so many frames per second; None for the bundle's own rate.
        patches: the patch tokens too.
        tracks: the tracks to read.
        on_progress: called with the seconds done and the seconds declared (None where nothing is declared).

    Raises:
        MediaError: unreadable, truncated, without video or audio.
        ConfigError: a frame rate that cannot be used.
    """
    with MediaReader(path, tracks=tracks) as reader:
        yield from item_features(
            reader,
            bundle,
            frame_rate_hz=frame_rate_hz,
            patches=patches,
            duration_seconds=reader.info.duration_seconds,
            on_progress=on_progress,
        )


def item_features(
    items: Iterable[VideoFrame | AudioChunk],
    bundle: Bundle,
    *,
    frame_rate_hz: float | None = None,
    patches: bool = False,
    duration_seconds: float | None = None,
    on_progress: Progress | None = None,
) -> Iterator[Features]:
    """Yield the features of frames and audio, each in order of time; options and errors as for `file_features`."""

    def see(tubelets: Sequence[Tubelet]) -> tuple[Array, Array | None]:
        return bundle.embed_frames_with_patches(tubelets) if patches else (bundle.embed_frames(tubelets), None)

    manifest = bundle.manifest
    shape = (manifest.audio.segment_frames, manifest.frontend.num_mel_bins)
    pairs = PairedFrames(bundle, see, frame_rate_hz, pad=False)
    for times_seconds, (visual, visual_patches), segments in paired(items, pairs, duration_seconds, on_progress):
        # What is missing is computed from silence and then blotted out: it is rare, and shapes need no second source.
        log_mel, missing = filled(segments, shape)
        if patches:
            audio, tokens = bundle.embed_audio_with_patches(log_mel)
            audio_patches = _blotted(tokens, missing)
        else:
            audio, audio_patches = bundle.embed_audio(log_mel), None
        yield Features(times_seconds, visual, _blotted(audio, missing), visual_patches, audio_patches)


def _blotted(values: Array, missing: NDArray[np.bool_]) -> Array:
    """Return a copy of `values` (n, ...), NaN where they are `missing` (n,)."""
    found = values.copy()
    found[missing] = np.nan
    return found
