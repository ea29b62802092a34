"""Clips of a "mouth" whose opening is the brightness of the frame, with a tone that is as loud as it is open.

`open_finder` opens a finder that reads them: real finders see no face in grey frames. Black frames show none.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from fake_heads import head_points
from numpy.typing import NDArray

from cavsync.data.faces.track import FaceTrack
from cavsync.media.mouth import MOUTH_SIZE

SIDE_PX = 64
EYE_DISTANCE_PX = 30.0
DARKEST_LEVEL, LEVELS = 60, 150
RATE_HZ = 16_000


@dataclass(frozen=True)
class FakeFace:
    """A face, as finders give it."""

    track: int
    points: NDArray[np.float64]
    presence: float = 0.9
    frontality: float = 0.8
    eye_distance_px: float = EYE_DISTANCE_PX


def face_points(opening: float) -> NDArray[np.float64]:
    """A symmetric face, upright in the middle of the frame, whose mouth is `opening` (0 to 1) open."""
    return EYE_DISTANCE_PX * head_points(opening) + (SIDE_PX / 2, SIDE_PX / 2 - 12, 0)


@dataclass
class BrightnessFinder:
    """Finds the face of `talking_clips` in frames that are not black; each pause begins a new track."""

    num_tracks: int = 0
    is_seen: bool = field(default=False)

    def push(self, frame: NDArray[np.uint8], pts_seconds: float) -> list[FakeFace]:
        """The face of the frame."""
        del pts_seconds
        level = float(frame.mean())
        if level < DARKEST_LEVEL / 2:
            self.is_seen = False
            return []
        self.num_tracks += not self.is_seen
        self.is_seen = True
        return [FakeFace(self.num_tracks, face_points((level - DARKEST_LEVEL) / LEVELS))]


def open_finder() -> BrightnessFinder:
    """Open a finder for one clip; picklable."""
    return BrightnessFinder()


def syllables(seed: int) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """A random opening over time, with a new value four to eight times a second."""
    random = np.random.default_rng(seed)
    times = np.cumsum(random.uniform(0.12, 0.25, 200))
    values = random.uniform(0, 1, 200)
    return lambda seconds: np.interp(seconds, times, values)


def write_talking_clip(
    path: Path,
    opening: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    seconds: float = 2.6,
    frame_rate_hz: int = 25,
    audio_late_seconds: float = 0.0,
    dark_seconds: tuple[float, float] = (0.0, 0.0),
) -> Path:
    """Write a clip as FFV1 and PCM in Matroska; frames within `dark_seconds` are black."""
    path.parent.mkdir(parents=True, exist_ok=True)
    moments = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    tone = 0.4 * np.sin(2 * np.pi * 440 * moments) * opening(moments - audio_late_seconds) ** 2
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(tone))
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        video = container.add_stream("ffv1", rate=frame_rate_hz)
        video.width = video.height = SIDE_PX
        video.pix_fmt = "gray"
        audio = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        for number in range(int(seconds * frame_rate_hz)):
            time = number / frame_rate_hz
            is_dark = dark_seconds[0] <= time < dark_seconds[1]
            level = 0 if is_dark else DARKEST_LEVEL + LEVELS * float(opening(np.array([time]))[0])
            image = np.full((SIDE_PX, SIDE_PX), round(level), np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, "gray")))
        container.mux(video.encode(None))
        samples = np.rint((tone + noise) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return path


def write_talking_clips(folder: Path, count: int, **options: float) -> Path:
    """Write `count` different clips into a folder."""
    for number in range(count):
        write_talking_clip(folder / f"clip-{number}.mkv", syllables(number), **options)  # type: ignore[arg-type]
    return folder


def make_track(openings: NDArray[np.float64], times_seconds: NDArray[np.float64]) -> FaceTrack:
    """The track of a face with these openings (n,) at these times."""
    count = len(openings)
    mouths = np.broadcast_to((openings * 200).astype(np.uint8)[:, None, None], (count, MOUTH_SIZE, MOUTH_SIZE))
    share = np.full(count, 0.9, np.float32)
    points = np.stack([face_points(opening) for opening in openings]).astype(np.float32)
    eyes = np.full(count, EYE_DISTANCE_PX, np.float32)
    return FaceTrack(np.asarray(times_seconds, np.float64), points, np.ascontiguousarray(mouths), share, share, eyes)
