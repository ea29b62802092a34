"""Write the overlays of clips: for each a video with its heat map, and a strip of its frames as an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cavsync.errors import MediaError
from cavsync.evaluate.inputs.encoders import Encoder
from cavsync.evaluate.localize.overlay_video import ColourRange, write_overlay_video
from cavsync.evaluate.results.images import save_image, side_by_side
from cavsync.media import MediaReader, VideoFrame
from cavsync.media.resample import ChannelRule

STRIP_FRAMES = 6
STRIP_HEIGHT = 180


def overlay_clips(
    encoder: Encoder,
    clips: Sequence[Path],
    folder: Path,
    *,
    max_seconds: float,
    scale: ColourRange = "clip",
    channels: ChannelRule = "mix",
    progress: Callable[[int, int], None] = lambda *_: None,
) -> tuple[list[Path], dict[str, str]]:
    """Write NAME.overlay.mp4 and NAME.overlay.png of each clip; return the videos, and the errors of rejected clips.

    `progress(done, total)` counts clips; `max_seconds`, `scale` and `channels` as in `write_overlay_video`.
    """
    written, rejects = list[Path](), dict[str, str]()
    for done, clip in enumerate(clips, start=1):
        # Clips in different folders may have the same name.
        stem = clip.stem if [other.stem for other in clips].count(clip.stem) == 1 else f"{clip.stem}-{done:03d}"
        video = folder / f"{stem}.overlay.mp4"
        try:
            write_overlay_video(clip, video, encoder, max_seconds=max_seconds, scale=scale, channels=channels)
            save_image(strip(video), folder / f"{stem}.overlay.png")
        except MediaError as error:
            rejects[str(clip)] = str(error)
        else:
            written.append(video)
        progress(done, len(clips))
    return written, rejects


def strip(video: Path) -> NDArray[np.uint8]:
    """Return STRIP_FRAMES evenly spread frames of a video side by side, RGB (STRIP_HEIGHT, W, 3)."""
    from PIL import Image

    # Read twice, first to count, because all frames of a long clip would exhaust memory.
    count = sum(1 for _ in _frames(video))
    chosen = [int((place + 0.5) * count / STRIP_FRAMES) for place in range(STRIP_FRAMES)]
    kept: dict[int, NDArray[np.uint8]] = {}
    for number, frame in enumerate(_frames(video)):
        if number in chosen:
            width = round(frame.shape[1] * STRIP_HEIGHT / frame.shape[0])
            kept[number] = np.asarray(Image.fromarray(frame).resize((width, STRIP_HEIGHT)))
    return side_by_side([kept[number] for number in chosen])


def _frames(video: Path) -> Iterator[NDArray[np.uint8]]:
    with MediaReader(video, video_threads=1) as reader:
        for item in reader:
            if isinstance(item, VideoFrame):
                yield item.rgb
