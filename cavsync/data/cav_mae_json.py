"""CAV-MAE's lists: `{"data": [{"wav", "video_id", "video_path", "labels"}]}`, and the times and segments of frames.

Frame i of a clip is `video_path/frame_{i}/video_id.jpg`. Upstream spreads the frames over the audio by their number;
their true times are not known.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from cavsync.errors import DataError
from cavsync.media.align import FRAME_SHIFT_SECONDS, upstream_start_frame
from cavsync.media.resample import ChannelRule

REQUIRED_KEYS = ("wav", "video_id", "video_path")


class CavMaeJson(NamedTuple):
    """A list's entries, and how the channels of their audio became one, if the list says so."""

    entries: list[dict[str, str]]
    channels: ChannelRule | None


def read_list(path: Path) -> CavMaeJson:
    """Read a list, without the files that it names. Raises DataError for a damaged or different file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = content["data"]
        for entry in entries:
            missing = [key for key in REQUIRED_KEYS if key not in entry]
            if missing:
                raise KeyError(missing[0])
            if not isinstance(entry.get("labels", ""), str):
                raise TypeError("labels must be a string")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f'{path} is not a CAV-MAE list ({error!r}), expected {{"data": [{{"wav", "video_id", "video_path", '
            '"labels"}]}: correct it'
        ) from None
    # Lists of `cavsync data frames` say it, those of others do not.
    channels = content.get("channels")
    if channels not in (None, *get_args(ChannelRule)):
        raise DataError(f'{path} says "channels": {channels!r:.40}, expected "mix" or "first": correct or remove it')
    return CavMaeJson(list(entries), channels)


def frame_path(video_path: str, video_id: str, number: int) -> Path:
    """Path of frame `number` of a clip."""
    return Path(video_path, f"frame_{number}", f"{video_id}.jpg")


def frame_times_seconds(num_frames: int, audio_frames: int) -> NDArray[np.float64]:
    """Times (num_frames,) of frames spread evenly over audio of `audio_frames` log-mel frames."""
    return np.arange(num_frames) * max(audio_frames, 1) * FRAME_SHIFT_SECONDS / num_frames


def segment_starts(num_frames: int, audio_frames: int, segment_frames: int) -> NDArray[np.int64]:
    """Log-mel frame (num_frames,) at which upstream's index rule starts each frame's segment of `segment_frames`."""
    total = max(audio_frames, 1)
    starts = [upstream_start_frame(number, num_frames, total, segment_frames) for number in range(num_frames)]
    return np.asarray(starts, dtype=np.int64)
