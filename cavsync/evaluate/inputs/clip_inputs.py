"""The encoders' inputs of a clip: evenly spaced frames and, for each, the segment of audio around it."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.data.clip import Clip
from cavsync.data.sampling import SamplePlan, SegmentRule, take_sample
from cavsync.errors import MediaError
from cavsync.evaluate.inputs.encoders import Encoder
from cavsync.media.align import even_indices
from cavsync.model import ModelConfig


@dataclass(frozen=True)
class ClipInputs:
    """F instants of one clip: `tubelets` (F, T, S, S, 3) RGB bytes, the U distinct `segments` (U, L, 128) of raw
    log-mel, and `segment_of` (F,), the segment of each frame. The hashes identify copies of frames and audio."""

    tubelets: NDArray[np.uint8]
    segments: NDArray[np.float32]
    segment_of: NDArray[np.int64]
    frames_sha256: str
    audio_sha256: str


def plan_for(encoder: Encoder, frames: int = 1, segments: SegmentRule = "by-time") -> SamplePlan:
    """Return the plan for an encoder's inputs at `frames` instants. By time, segments are moved inside the audio and
    zero-padded if it is shorter."""
    return _plan(encoder.segment_frames, encoder.num_frames, encoder.frame_step_seconds, frames, segments)


def plan_for_model(config: ModelConfig, frames: int = 1, segments: SegmentRule = "by-time") -> SamplePlan:
    """Return the same plan for a torch model."""
    return _plan(config.audio_length, config.num_frames, config.frame_step_seconds, frames, segments)


def _plan(
    segment_frames: int, num_frames: int, frame_step_seconds: float, frames: int, segments: SegmentRule
) -> SamplePlan:
    published_frames = frames if segments == "published" else None
    return SamplePlan(
        segment_frames, num_frames, frame_step_seconds, instants=frames, pad=True, published_frames=published_frames
    )


def clip_inputs(clip: Clip, plan: SamplePlan) -> ClipInputs:
    """Return the inputs at `plan.instants` evenly spaced frames. Raises MediaError for a clip of numbered frames that
    has another number of frames."""
    sample = take_sample(clip, even_instants(clip, plan.instants), plan)
    tubelets = np.ascontiguousarray(sample.frames[sample.tubelets].transpose(0, 1, 3, 4, 2))
    # In short audio, segments that are moved inside coincide.
    segments: list[NDArray[np.float32]] = []
    order: dict[bytes, int] = {}
    places: list[int] = []
    for segment in sample.audio.values.numpy():
        key = segment.tobytes()
        if key not in order:
            order[key] = len(segments)
            segments.append(segment)
        places.append(order[key])
    return ClipInputs(
        tubelets,
        np.stack(segments),
        np.asarray(places),
        frames_sha256=hashlib.sha256(tubelets.tobytes()).hexdigest(),
        audio_sha256=hashlib.sha256(b"".join(order)).hexdigest(),
    )


def even_instants(clip: Clip, frames: int) -> NDArray[np.int64]:
    """Return the indices of `frames` evenly spaced frames; all frames of a clip of numbered frames, or MediaError if it
    has another number of them."""
    if clip.segment_starts is not None:
        if len(clip.frames) != frames:
            raise MediaError(
                f"{clip.source} has {len(clip.frames)} numbered frames, {frames} are expected: pass --frames "
                f"{len(clip.frames)}",
                reason="frame_count",
            )
        return np.arange(frames)
    return even_indices(clip.pts_seconds, frames)


def load_ahead(
    indices: Iterable[int], load: Callable[[int], ClipInputs], threads: int
) -> Iterator[tuple[int, ClipInputs | MediaError]]:
    """Yield the index and inputs of each clip, or the error that rejects it, in order; clips are decoded by `threads`
    threads ahead of their use."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[int, Future[ClipInputs]]] = deque()
        try:
            for index in indices:
                waiting.append((index, pool.submit(load, index)))
                if len(waiting) > threads:
                    yield _result(*waiting.popleft())
            while waiting:
                yield _result(*waiting.popleft())
        finally:
            for _, future in waiting:
                future.cancel()


def _result(index: int, future: Future[ClipInputs]) -> tuple[int, ClipInputs | MediaError]:
    try:
        return index, future.result()
    except MediaError as error:
        return index, error
