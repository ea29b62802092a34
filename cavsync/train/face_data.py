"""The batches of a run that trains the face model, from its data sources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cavsync.data.face_batches import FaceWindows, collate_windows
from cavsync.data.faces.cache import FaceCache
from cavsync.data.faces.follow import OpenFinder
from cavsync.data.faces.windows import WindowPlan, usable_spans
from cavsync.data.sources.faces import JoinedFaces
from cavsync.data.sources.groups import clip_groups
from cavsync.data.sources.rejects import Rejects
from cavsync.errors import ConfigError, MediaError
from cavsync.model.face_config import FaceConfig
from cavsync.model.face_sync import NUM_FRAMES, SEGMENT_FRAMES
from cavsync.train.config import TrainConfig
from cavsync.train.data import RunData, require_usable
from cavsync.train.face_config import FaceTraining
from cavsync.train.ranks import Ranks
from cavsync.train.split import RunPaths

# Both only matter to clips of CAV-MAE lists, which hold no face track.
FRAMES_PER_CLIP, LIST_SEGMENT_FRAMES = 1, 1


@dataclass(frozen=True)
class FaceTracking:
    """Settings for finding faces in video files: the finder, the cache of tracks, progress, and when to stop."""

    open_finder: OpenFinder | None
    folder: Path
    progress: Callable[[int, int], None] = lambda *_: None
    is_stopped: Callable[[], bool] = lambda: False


def window_plan(model: FaceConfig, options: FaceTraining) -> WindowPlan:
    """Return which windows of each clip enter a batch."""
    return WindowPlan(
        frames=options.window_frames,
        min_frames=round(options.min_window_seconds * model.frame_rate_hz) + 1,
        frame_rate_hz=model.frame_rate_hz,
        num_frames=NUM_FRAMES,
        segment_frames=SEGMENT_FRAMES,
    )


def open_face_data(
    paths: RunPaths, model: FaceConfig, train: TrainConfig, ranks: Ranks, tracking: FaceTracking
) -> RunData | None:
    """Open the sources, follow the faces of video files that are not in the cache, and split the clips.

    Returns None where it was stopped before the end.

    Raises:
        DataError: nothing to train on.
        ConfigError: no face finder, or the number of repeats is not that of the sources.
    """
    assert train.face is not None
    if tracking.open_finder is None:
        raise ConfigError("A face run needs a face finder: pass open_finder, as `cavsync train` does.")
    source = paths.open(FRAMES_PER_CLIP, LIST_SEGMENT_FRAMES)
    faces = JoinedFaces(source, FaceCache(tracking.folder))
    # The others find everything in the cache afterwards.
    is_filled = not ranks.is_main or faces.fill(
        tracking.open_finder, workers=train.workers, progress=tracking.progress, is_stopped=tracking.is_stopped
    )
    if ranks.any(not is_filled):
        return None
    rejects = Rejects()
    for part in source.sources:
        rejects.add_damage(part)
    plan = window_plan(model, train.face)
    training = FaceWindows(
        faces,
        plan,
        seed=train.seed,
        augmentation=train.augmentation,
        face_augmentation=train.face.face_augmentation,
        keep=train.cache_clips,
    )
    usable = _usable(training, rejects) if train.cache_clips else list(range(len(faces.names)))
    require_usable(usable, paths, rejects)
    chosen, held_out = paths.split(source, usable, train)
    training.partners = sorted(set(chosen))
    return RunData(
        dataset=training,
        # Without augmentation, and sharing what is kept in memory.
        held_out=FaceWindows(faces, plan, seed=train.seed, keep=train.cache_clips, kept=training.kept),
        training_indices=chosen,
        held_out_indices=held_out,
        batch_clips=train.batch_clips,
        parts=train.gradient_accumulation,
        seed=train.seed,
        workers=0 if train.cache_clips else train.workers,
        rejects=rejects,
        ranks=ranks,
        num_clips=len(faces.names) + len(rejects),
        shard_of=source.shard_of,
        collate=collate_windows,
        groups=clip_groups(source, (*paths.train, *paths.held_out)),
    ).required(paths)


def _usable(windows: FaceWindows, rejects: Rejects) -> list[int]:
    """Load all clips into memory; return those of which a window can be taken, and count the others."""
    usable = []
    for index in range(len(windows.source.names)):
        try:
            usable_spans(windows.clip(index), windows.plan, windows.augmentation.tempo[1])
            usable.append(index)
        except MediaError as error:
            rejects.add(windows.source.names[index], error)
    return usable
