"""The generated clip, decoded or as a file, that the scoring benchmarks repeat; needs no torch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from cavsync.data.synth import ClipSpec, render
from cavsync.deploy import SyncScore, SyncScorer

FRAME_RATE_HZ = 25
SAMPLE_RATE_HZ = 48_000


@dataclass(frozen=True)
class Material:
    """An endlessly repeated decoded clip: `frames` (n, height, width, 3) at 25 Hz, `samples` (m, channels)."""

    frames: NDArray[np.uint8]
    samples: NDArray[np.float32]

    def push(self, scorer: SyncScorer, index: int) -> list[SyncScore]:
        """Push frame `index` of the stream and the 40 ms of audio that start with it."""
        frame = index % len(self.frames)
        chunk = SAMPLE_RATE_HZ // FRAME_RATE_HZ
        seconds = index / FRAME_RATE_HZ
        decisions = scorer.push_video(self.frames[frame], pts_seconds=seconds)
        samples = self.samples[frame * chunk : (frame + 1) * chunk]
        return decisions + scorer.push_audio(samples, pts_seconds=seconds, sample_rate_hz=SAMPLE_RATE_HZ)


FAMILIES = ("face", "drummer")


def clip_spec(seconds: float, width: int, height: int, family: str = "drummer") -> ClipSpec:
    """Return the specification of the clip that all scoring benchmarks use; a face is found and followed."""
    return ClipSpec(
        seed=1,
        family=family,
        duration_seconds=seconds,
        width=width,
        height=height,
        audio_rate_hz=SAMPLE_RATE_HZ,
        channels=2,
    )


def material(seconds: float, width: int = 320, height: int = 180, family: str = "drummer") -> Material:
    """Return the decoded clip: frames and audio in memory."""
    clip = render(clip_spec(seconds, width, height, family))
    return Material(np.stack([frame for _, frame in clip.frames]), clip.audio)


def decoded(path: Path) -> Material:
    """Return the frames and the audio of a file at 25 Hz, both cut to the shorter of them."""
    with av.open(str(path)) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    with av.open(str(path)) as file:
        resampler = av.AudioResampler("flt", "stereo", SAMPLE_RATE_HZ)
        pieces = [piece for frame in (*file.decode(audio=0), None) for piece in resampler.resample(frame)]
    samples = np.concatenate([piece.to_ndarray().reshape(-1, 2) for piece in pieces])
    chunk = SAMPLE_RATE_HZ // FRAME_RATE_HZ
    count = min(len(frames), len(samples) // chunk)
    return Material(np.stack(frames[:count]), samples[: count * chunk])


def seconds_to_push(scorer: SyncScorer, clip: Material, media_seconds: float) -> float:
    """Return the seconds needed to score `media_seconds` of the stream at full speed."""
    begin = time.perf_counter()
    for index in range(round(media_seconds * FRAME_RATE_HZ)):
        clip.push(scorer, index)
    scorer.flush()
    return time.perf_counter() - begin


def repeat_clip(source: Path, target: Path, times: int) -> None:
    """Repeat a clip by copying its packets."""
    with av.open(str(target), "w") as out, av.open(str(source)) as first:
        # Add all tracks before the first packet, because the header lists them.
        tracks = [out.add_stream_from_template(track) for track in first.streams]
        last_dts = [-(2**62)] * len(tracks)
        for turn in range(times):
            with av.open(str(source)) as clip:
                length_seconds = (clip.duration or 0) / av.time_base
                for packet in clip.demux():
                    if packet.dts is None or packet.pts is None or packet.time_base is None:
                        continue
                    shift = round(turn * length_seconds / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    index = packet.stream.index
                    # The encoder's priming samples of each repetition would overlap the end of the previous one.
                    if packet.dts > last_dts[index]:
                        last_dts[index] = packet.dts
                        packet.stream = tracks[index]
                        out.mux(packet)
