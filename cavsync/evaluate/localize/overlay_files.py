"""Overlays as files: a picture per question, a video and a strip of pictures per clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cavsync.errors import MediaError
from cavsync.evaluate.inputs.encoders import Encoder
from cavsync.evaluate.localize.case import LocalizationCase
from cavsync.evaluate.localize.overlay import outline, overlay
from cavsync.evaluate.localize.overlay_video import Scale, write_overlay_video
from cavsync.evaluate.results.images import save_picture, side_by_side
from cavsync.evaluate.results.result import Picture
from cavsync.media import MediaReader, VideoFrame

STRIP_PICTURES = 6
STRIP_HEIGHT = 180


@dataclass
class CaseExamples:
    """Writes the first `limit` questions to `folder`: the picture, the heat map over it with the object outlined."""

    folder: Path
    limit: int
    written: list[Picture] = field(default_factory=list)

    def __call__(self, case: LocalizationCase, heat: NDArray[np.float32]) -> None:
        """Write one question, unless there are enough."""
        if len(self.written) >= self.limit:
            return
        warm = overlay(case.shown, heat, float(heat.min()), float(heat.max()))
        name = f"{len(self.written):04d}.png"
        save_picture(side_by_side([case.shown, outline(warm, case.mask)]), self.folder / name)
        self.written.append(Picture(title=f"{case.name}: {case.category}", file=name))


def overlay_clips(
    encoder: Encoder,
    clips: Sequence[Path],
    folder: Path,
    *,
    max_seconds: float,
    scale: Scale = "clip",
    progress: Callable[[int, int], None] = lambda *_: None,
) -> tuple[list[Path], dict[str, str]]:
    """Write NAME.overlay.mp4 and NAME.overlay.png of each clip, and return the videos and why clips were left out."""
    written, rejects = list[Path](), dict[str, str]()
    for done, clip in enumerate(clips, start=1):
        # Clips of several folders may share a name.
        stem = clip.stem if [other.stem for other in clips].count(clip.stem) == 1 else f"{clip.stem}-{done:03d}"
        video = folder / f"{stem}.overlay.mp4"
        try:
            write_overlay_video(clip, video, encoder, max_seconds=max_seconds, scale=scale)
            save_picture(strip(video), folder / f"{stem}.overlay.png")
        except MediaError as error:
            rejects[str(clip)] = str(error)
        else:
            written.append(video)
        progress(done, len(clips))
    return written, rejects


def strip(video: Path) -> NDArray[np.uint8]:
    """STRIP_PICTURES frames of a video, evenly spread, side by side."""
    from PIL import Image

    # Read twice, first to count: frames of a long clip would fill the memory.
    count = sum(1 for _ in _pictures(video))
    chosen = [int((place + 0.5) * count / STRIP_PICTURES) for place in range(STRIP_PICTURES)]
    kept: dict[int, NDArray[np.uint8]] = {}
    for number, frame in enumerate(_pictures(video)):
        if number in chosen:
            width = round(frame.shape[1] * STRIP_HEIGHT / frame.shape[0])
            kept[number] = np.asarray(Image.fromarray(frame).resize((width, STRIP_HEIGHT)))
    return side_by_side([kept[number] for number in chosen])


def _pictures(video: Path) -> Iterator[NDArray[np.uint8]]:
    with MediaReader(video, video_threads=1) as reader:
        for item in reader:
            if isinstance(item, VideoFrame):
                yield item.rgb
