"""Metrics as Prometheus reads them: the exposition is parsed by the client's own parser."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from cavsync.deploy import Bundle
from cavsync.deploy.verdict.records import AUDIO_LATE, IN_SYNC, UNDETERMINED, SyncScore
from cavsync.media.mouth import NUM_FEATURES

prometheus_client = pytest.importorskip("prometheus_client")
from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

from cavsync.deploy.metrics import SyncMetrics, timed  # noqa: E402

LATE = SyncScore(2.0, 2.0, -300.0, 5.0, -300.0, 0.9, 0.9, AUDIO_LATE, "custom", False, is_measured=True)


def samples(registry: prometheus_client.CollectorRegistry) -> dict[tuple[str, ...], float]:
    """Name and label values of every sample that was exposed."""
    text = prometheus_client.generate_latest(registry).decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_offset_and_states_of_a_stream() -> None:
    registry = prometheus_client.CollectorRegistry()
    metrics = SyncMetrics(registry)
    for record in (LATE, LATE, replace(LATE, state=IN_SYNC, audio_offset_ms=12.5)):
        metrics.observe("studio", record)
    found = samples(registry)
    assert found["cavsync_audio_offset_seconds", "studio"] == 0.0125
    counts = {key[1]: value for key, value in found.items() if key[0] == "cavsync_windows_total"}
    assert counts == {"in_sync": 1, "audio_late": 2, "audio_early": 0, "undetermined": 0}


def test_decisions_are_counted_by_their_path() -> None:
    registry = prometheus_client.CollectorRegistry()
    metrics = SyncMetrics(registry)
    for record in (LATE, replace(LATE, path="face"), LATE):
        metrics.observe("studio", record)
    counts = {key[1]: value for key, value in samples(registry).items() if key[0] == "cavsync_path_windows_total"}
    assert counts == {"face": 1, "whole": 2}


def test_the_graphs_of_the_face_path_are_timed(face_bundle: Bundle) -> None:
    registry = prometheus_client.CollectorRegistry()
    faces = timed(face_bundle, SyncMetrics(registry)).faces
    assert faces is not None
    assert face_bundle.faces is not None
    features = np.ones((2, NUM_FEATURES), np.float32)
    np.testing.assert_array_equal(faces.encode_frames(features), face_bundle.faces.encode_frames(features))
    for engine, size, output in (
        (faces.short_range, 128, "faces"),
        (faces.full_range, 192, "faces"),
        (faces.mesh, 192, "points"),
    ):
        engine.run(np.zeros((1, size, size, 3), np.uint8), output)
    assert samples(registry)["cavsync_inference_duration_seconds_count",] == 4


def test_an_offset_that_is_not_trusted_is_not_shown() -> None:
    registry = prometheus_client.CollectorRegistry()
    metrics = SyncMetrics(registry)
    metrics.observe("studio", LATE)
    assert samples(registry)["cavsync_audio_offset_seconds", "studio"] == -0.3
    metrics.observe("studio", replace(LATE, state=UNDETERMINED, is_measured=False))
    assert math.isnan(samples(registry)["cavsync_audio_offset_seconds", "studio"])


def test_a_forgotten_stream_leaves_nothing_and_the_others_stay() -> None:
    registry = prometheus_client.CollectorRegistry()
    metrics = SyncMetrics(registry)
    metrics.observe("one", LATE)
    metrics.observe("two", LATE)
    metrics.forget("one")
    metrics.forget("never seen")
    streams = {value for key in samples(registry) for value in key[1:]}
    assert "one" not in streams
    assert "two" in streams


def test_inference_durations_fall_into_their_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a call that ends after 20 ms, and of one that fails after 5."""
    registry = prometheus_client.CollectorRegistry()
    metrics = SyncMetrics(registry)
    moments = iter((10.0, 10.02, 11.0, 11.005))
    monkeypatch.setattr("prometheus_client.context_managers.default_timer", lambda: next(moments))
    with metrics.inference_timer():
        pass
    with pytest.raises(ValueError, match="fails"), metrics.inference_timer():
        raise ValueError("fails")
    found = samples(registry)
    assert found["cavsync_inference_duration_seconds_count",] == 2
    assert found["cavsync_inference_duration_seconds_bucket", "0.01"] == 1
    assert found["cavsync_inference_duration_seconds_bucket", "0.025"] == 2
