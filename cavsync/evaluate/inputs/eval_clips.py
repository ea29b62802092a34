"""The clips of a test: their source, selection, frames per clip and identity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from cavsync.data.sampling import SegmentRule
from cavsync.data.sources.cav_mae_list import CavMaeList
from cavsync.data.sources.clips import ClipSource, open_source
from cavsync.data.sources.listed_videos import ListedVideos
from cavsync.data.sources.rejects import Rejects
from cavsync.errors import ConfigError, DataError
from cavsync.evaluate.inputs.clip_selection import ClipSelection, clip_name, clips_per_class, listed_clips
from cavsync.evaluate.inputs.source_files import source_files
from cavsync.evaluate.results.provenance import named_data_id
from cavsync.evaluate.results.result import DataId
from cavsync.media.align import PUBLISHED_LOG_MEL_FRAMES
from cavsync.media.resample import ChannelRule

# Frames per clip in CAV-MAE Sync.
DEFAULT_FRAMES = 16


@dataclass(frozen=True)
class EvalClips:
    """Distinct clips `indices` of `source`, with `frames` frames of each. `data` identifies the files that they are
    read from, `selection` records how they were chosen, `segments` how the audio of each frame is found.

    rejects: clips that are known to be unusable before any is read (ids that are not in the data, rows without a file,
    damaged shards) -> why. notes: sentences for readers of the result.
    """

    source: ClipSource
    indices: list[int]
    frames: int
    data: DataId
    selection: dict[str, JsonValue]
    rejects: dict[str, str]
    notes: list[str]
    segments: SegmentRule = "by-time"

    @property
    def names(self) -> list[str]:
        """The id of each clip: the last part of its name, without the ending of a media file."""
        return [clip_name(self.source.names[index]) for index in self.indices]


def open_eval_clips(
    data: Path,
    *,
    segment_frames: int,
    frames: int | None = None,
    media: Path | None = None,
    only: Path | None = None,
    split: str | None = None,
    per_class: int | None = None,
    seed: int = 0,
    segments: SegmentRule = "by-time",
    channels: ChannelRule | None = None,
) -> EvalClips:
    """Open a folder of videos or shards, a CAV-MAE JSON, or a VGGSound or AudioSet CSV with the folder `media`.

    frames: per clip; by default 16, or the number that a CAV-MAE JSON has. only: a CAV-MAE JSON, such as the published
    lists of five clips per class, whose `video_id`s select clips. split: use the rows of this split of a VGGSound CSV.
    per_class: draw this many clips of each class with `seed`; the source must have labels.
    Raises DataError or ConfigError for data, lists and options that do not fit.
    """
    if data.suffix.lower() == ".csv":
        if media is None:
            raise ConfigError(f"{data} lists videos: give their folder with --media.")
        source: ClipSource = ListedVideos.open(data, media, split=split, channels=channels or "mix")
    elif media is not None or split is not None:
        raise ConfigError(f"{data} is not a .csv: leave out --media and --split, which are for lists.")
    else:
        if frames is None and data.suffix.lower() == ".json":
            frames = _frames_on_disk(data)
        source = open_source(
            data, frames_per_clip=frames or DEFAULT_FRAMES, segment_frames=segment_frames, channels=channels
        )
    damaged = Rejects()
    damaged.add_damage(source)
    chosen = ClipSelection(list(range(len(source.names))), damaged.sentences, [])
    if only is not None:
        chosen = listed_clips(source, chosen, only)
    selection: dict[str, JsonValue] = {"list": None if only is None else only.name, "split": split}
    if per_class is not None:
        chosen, class_sizes = clips_per_class(source, chosen, per_class, seed)
        selection |= {"per_class": per_class, "seed": seed, "class_sizes": class_sizes}
    return EvalClips(
        source=source,
        indices=chosen.indices,
        frames=frames or DEFAULT_FRAMES,
        data=_identity(data, source, chosen.indices, media),
        selection=selection,
        rejects=chosen.rejects,
        notes=chosen.notes,
        segments=segments,
    )


def channels_in_words(channels: ChannelRule | None) -> str:
    """Return how several channels of audio became one, for the protocol of a result; None: as the data hold it."""
    if channels is None:
        return "as stored, by a rule that the data do not name; of what has several channels, mixed"
    return {"mix": "mixed", "first": "the first channel, as published"}[channels]


def segments_in_words(segments: SegmentRule, frames: int) -> str:
    """Return how the audio segment of each of `frames` frames was found, for the protocol of a result."""
    if segments == "published":
        return (
            f"published: the log-mel is padded or cut to {PUBLISHED_LOG_MEL_FRAMES} frames, segments are centred at "
            f"round(i * {PUBLISHED_LOG_MEL_FRAMES} / {frames}) and moved inside it"
        )
    return "by time: centred on their frame, moved inside the audio, zero-padded if it is shorter"


def _identity(data: Path, source: ClipSource, indices: list[int], media: Path | None) -> DataId:
    """Return the identity of the clips. The content of a .csv is part of it; that of a CAV-MAE JSON is not, because it
    holds the paths of one machine."""
    files = list(source_files(source, indices, data if data.is_dir() else media or data.parent))
    if media is not None:
        files.append((data.name, data))
    return named_data_id(data.name, files, (clip_name(source.names[index]) for index in indices))


def _frames_on_disk(path: Path) -> int:
    """Return the number of frames of the first clip of a CAV-MAE JSON, which all its clips must have."""
    first = CavMaeList.read(path, frames_per_clip=0, segment_frames=0)
    found = first.count_frames(0)
    if not found:
        raise DataError(f"{first.names[0]} has no frame_0: extract the frames, or correct its video_path")
    return found
