"""Send a live stream over a WebSocket: the signal of `sync_clips`, out of sync from a given time on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from sync_clips import make_audio, make_frames
from waiting import PATIENCE_SECONDS
from websockets.sync.client import ClientConnection, connect

RATE_HZ = 16_000
FRAME_RATE_HZ = 25


def frame_chunk(pts_seconds: float, rgb: np.ndarray) -> bytes:
    height, width, _ = rgb.shape
    header = {"type": "video", "pts_seconds": pts_seconds, "format": "rgb24", "width": width, "height": height}
    return json.dumps(header).encode() + b"\n" + rgb.tobytes()


def audio_chunk(pts_seconds: float, samples: np.ndarray, rate_hz: int = RATE_HZ) -> bytes:
    name = {"float32": "f32le", "int16": "s16le"}[str(samples.dtype)]
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    header = {"type": "audio", "pts_seconds": pts_seconds, "format": name}
    return json.dumps({**header, "sample_rate_hz": rate_hz, "channels": channels}).encode() + b"\n" + samples.tobytes()


def course_chunks(
    seconds: float,
    *,
    offset_ms: float | Callable[[np.ndarray], np.ndarray] = 0.0,
    from_seconds: float = 0.0,
    seed: int = 0,
    silent: bool = False,
) -> Iterator[tuple[float, bytes]]:
    """Yield (time, chunk) in order; from `from_seconds` on the audio is `offset_ms` early (late if negative)."""
    count = round(seconds * FRAME_RATE_HZ)
    times = np.arange(count) / FRAME_RATE_HZ

    def offset_at(at: np.ndarray) -> np.ndarray:
        return np.where(at >= from_seconds, offset_ms(at) if callable(offset_ms) else offset_ms, 0.0)

    samples = make_audio(0.0, round(seconds * RATE_HZ), seed=seed, audio_offset_ms=offset_at)
    piece = RATE_HZ // FRAME_RATE_HZ
    for index, (at, rgb) in enumerate(zip(times, make_frames(times, seed, 16, 16), strict=True)):
        yield float(at), frame_chunk(float(at), rgb)
        heard = samples[index * piece : (index + 1) * piece]
        yield float(at), audio_chunk(float(at), np.zeros_like(heard) if silent else heard)


def send(
    url: str, chunks: Iterable[tuple[float, bytes]], *, speed: float = 1.0, **options: Any
) -> list[dict[str, Any]]:
    """Send a stream at `speed` times real time, end it, and return all answers."""
    answers: list[dict[str, Any]] = []

    def listen(socket: ClientConnection) -> None:
        while not answers or answers[-1]["kind"] != "ended":
            answers.append(json.loads(socket.recv(timeout=PATIENCE_SECONDS)))

    with connect(url, max_size=None, **options) as socket:
        listener = threading.Thread(target=listen, args=(socket,), daemon=True)
        listener.start()
        begin = time.monotonic()
        for at, chunk in chunks:
            time.sleep(max(0.0, begin + at / speed - time.monotonic()))
            socket.send(chunk)
        socket.send('{"type": "flush"}')
        listener.join(PATIENCE_SECONDS)
    return answers
