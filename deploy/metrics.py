"""Scores as Prometheus metrics, under the same names wherever streams are watched or served.

Needs prometheus_client (the extra `serve`): import this module only where metrics are asked for.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.runtime.engines import Engine
from cavsync.deploy.verdict.records import FACE, STATES, WHOLE, SyncScore

# From a small encoder on a GPU to the published size on a slow CPU.
INFERENCE_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class SyncMetrics:
    """The metrics of any number of streams in one registry; safe to use from several threads.

    `cavsync_audio_offset_seconds{stream}` is the offset of the last decision, > 0 where the audio is early, and NaN
    unless it is trusted, so that an old offset is not mistaken for the present one.
    `cavsync_windows_total{stream,state}` counts decisions by their state, `cavsync_path_windows_total{stream,path}` by
    what they rest on, a face or the whole picture; `cavsync_inference_duration_seconds` is a histogram of single calls
    of an encoder or a graph of the face path.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._offset = Gauge(
            "cavsync_audio_offset_seconds",
            "Trusted offset of the last decision, > 0 where the audio is early (ITU-R BT.1359); NaN without one.",
            ["stream"],
            registry=registry,
        )
        self._windows = Counter("cavsync_windows", "Decisions by their state.", ["stream", "state"], registry=registry)
        self._paths = Counter(
            "cavsync_path_windows", "Decisions by what they rest on.", ["stream", "path"], registry=registry
        )
        self._inference = Histogram(
            "cavsync_inference_duration_seconds",
            "Duration of one call of an encoder or of a graph of the face path.",
            buckets=INFERENCE_BUCKETS_SECONDS,
            registry=registry,
        )

    def observe(self, stream: str, score: SyncScore) -> None:
        """Count a decision of `stream` and set its offset."""
        is_known = score.is_measured and score.audio_offset_ms is not None
        self._offset.labels(stream).set((score.audio_offset_ms or 0.0) / 1000 if is_known else math.nan)
        for state in STATES:
            # Create every state with the first decision: a rate needs a zero to start from.
            self._windows.labels(stream, state).inc(1 if state == score.state else 0)
        for path in (FACE, WHOLE):
            self._paths.labels(stream, path).inc(1 if path == score.path else 0)

    def forget(self, stream: str) -> None:
        """Remove the metrics of a stream that has ended."""
        self._offset.remove_by_labels({"stream": stream})
        self._windows.remove_by_labels({"stream": stream})
        self._paths.remove_by_labels({"stream": stream})

    def inference_timer(self) -> AbstractContextManager[object]:
        """Time one call, also where it fails."""
        return self._inference.time()


def timed(bundle: Bundle, metrics: SyncMetrics) -> Bundle:
    """The bundle with every call of its two encoders and of its face graphs timed into `metrics`."""

    def timed_engine(engine: Engine) -> Engine:
        return _TimedEngine(engine, metrics)

    faces = None if bundle.faces is None else bundle.faces.with_engines(timed_engine)
    return replace(bundle, audio=timed_engine(bundle.audio), visual=timed_engine(bundle.visual), faces=faces)


class _TimedEngine:
    """An engine whose calls are timed."""

    def __init__(self, engine: Engine, metrics: SyncMetrics) -> None:
        self._engine = engine
        self._metrics = metrics

    def run(self, values: NDArray[Any], output: str) -> NDArray[np.float32]:
        """Run the engine and record the duration."""
        with self._metrics.inference_timer():
            return self._engine.run(values, output)
