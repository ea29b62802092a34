"""Files with faces through the server: a client's choice of the path, on engines that jobs share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_clips import closed, frames_of, speaking
from serving import Client
from sync_clips import make_audio, write_clip

from cavsync.deploy import Bundle, EnginePool, score_file


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds in which the left one of two faces speaks, 150 ms early."""
    times = np.arange(100) / 25
    frames = frames_of(speaking(times), closed(times))
    samples = make_audio(0.0, 4 * 16_000, audio_offset_ms=150.0)
    path = tmp_path_factory.mktemp("clip") / "one.mkv"
    return write_clip(path, frames=frames, samples=samples, audio_rate_hz=16_000)


def test_a_job_is_judged_on_the_path_that_its_client_names(face_bundle: Bundle, clip: Path) -> None:
    with Client(face_bundle) as client:
        for fields, path in (({}, "face"), ({"path": "face"}, "face"), ({"path": "whole"}, "whole")):
            with clip.open("rb") as file:
                sent = client.post("/v1/jobs", files={"file": ("one.mkv", file)}, data=fields)
            job = client.finished(sent.headers["location"])
            wanted = score_file(clip, face_bundle, path=fields.get("path", "auto")).summary.to_dict()
            assert job["summary"] == {**wanted, "source": "one.mkv"}
            assert job["summary"]["path"] == path


def test_streams_in_several_threads_share_the_face_graphs(face_bundle: Bundle, clip: Path) -> None:
    wanted = [record.to_dict() for record in score_file(clip, face_bundle).records]
    with EnginePool(face_bundle) as pool, ThreadPoolExecutor(3) as threads:
        jobs: list[Any] = [threads.submit(score_file, clip, pool.bundle) for _ in range(3)]
        for job in jobs:
            assert [record.to_dict() for record in job.result().records] == wanted
