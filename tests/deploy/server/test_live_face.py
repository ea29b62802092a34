"""The face of a live stream: pictures only while somebody looks, mouth and sound of the last seconds, nothing else."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_clips import closed, frames_of, speaking
from live_sender import audio_chunk, frame_chunk
from PIL import Image
from serving import Client, answers_until
from sync_clips import make_audio, write_clip
from waiting import wait_until

from cavsync.deploy import Bundle
from cavsync.deploy.faces.tracks import Face
from cavsync.deploy.server.live_face import LOOKED_AT_SECONDS, PICTURE_SECONDS, SPAN_SECONDS, LiveFace
from cavsync.deploy.stream.face_grid import FaceLook
from cavsync.deploy.stream.face_path import FaceRow
from cavsync.deploy.verdict.face_view import FaceView, LipMotion
from cavsync.deploy.verdict.records import AUDIO_LATE, SyncScore
from cavsync.media.face import NUM_POINTS

FRAME = np.full((90, 160, 3), 90, np.uint8)
FACES = [
    Face(track, np.linspace((left, 30, 0), (left + 30, 60, 0), NUM_POINTS), 0.9) for track, left in ((0, 20), (1, 100))
]
SCORE = SyncScore(2.0, 2.0, -300.0, 5.0, -300.0, 0.9, 0.9, AUDIO_LATE, "custom", False, is_measured=True)


def row(track: int, time_seconds: float, opening: float = 0.1, sound_dbfs: float = -20.0) -> FaceRow:
    look = FaceLook(0.9, 0.9, 50.0, opening, (0, 0, 1, 1), (160, 90))
    return FaceRow(track, time_seconds, 0, np.zeros(3), -20.0, sound_dbfs, look)


def chose(track: int, time_seconds: float) -> SyncScore:
    """A decision that chose this face."""
    view = FaceView(track, (0, 0, 1, 1), (160, 90), 0.9, 0.9, 50.0, LipMotion(0.2, 0.5), 1.0)
    return replace(SCORE, time_seconds=time_seconds, face=view)


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def shown(face: dict[str, Any]) -> np.ndarray[Any, Any]:
    """The picture as numbers (H, W, 3)."""
    kind, content = face["picture"].split(",")
    assert kind == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))).astype(int)


def yellow_columns(picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Columns of the box, in shares of the width."""
    return np.nonzero(picture[..., 0] - picture[..., 2] > 90)[1] / picture.shape[1]


def test_pictures_are_made_only_while_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, made = Clock(), []
    face = LiveFace(has_pictures=True, now=clock)
    face.add(row(0, 0.0))

    def see(seconds: float) -> None:
        """25 frames per second."""
        for _ in range(round(25 * seconds)):
            clock.seconds += 0.04
            face.see(FRAME, clock.seconds, FACES)
            made.append(face._picture)

    see(5)
    assert made == [None] * 125
    assert face.to_dict()["picture"] is None
    see(20)
    times = sorted({picture.time_seconds for picture in made if picture is not None})
    assert LOOKED_AT_SECONDS - 1 <= len(times) <= LOOKED_AT_SECONDS + 1
    assert times[-1] - times[0] <= LOOKED_AT_SECONDS
    assert all(after - before >= PICTURE_SECONDS for before, after in pairwise(times))
    assert face.to_dict()["picture_seconds"] == pytest.approx(times[-1], abs=1e-3)


def test_without_thumbnails_none_is_made() -> None:
    clock = Clock()
    face = LiveFace(has_pictures=False, now=clock)
    face.add(row(0, 0.0))
    for _ in range(3):
        assert face.to_dict()["picture"] is None
        clock.seconds += 1
        face.see(FRAME, 0.0, FACES)
    assert face.to_dict()["mouth_opening"] == [0.1]


def test_the_box_is_around_the_face_that_was_chosen() -> None:
    clock = Clock()
    face = LiveFace(has_pictures=True, now=clock)
    for track in (0, 1):
        face.add(row(track, 1.0))
    for track, left in ((0, 20), (1, 100)):
        face.judged(chose(track, 2.0))
        face.to_dict()
        clock.seconds += 1
        face.see(FRAME, 2.0, FACES)
        found = face.to_dict()
        columns = yellow_columns(shown(found))
        np.testing.assert_allclose([columns.min(), columns.max()], [left / 160, (left + 30) / 160], atol=0.02)
        assert found["track"] == track


def test_mouth_and_sound_of_the_last_ten_seconds() -> None:
    face = LiveFace(has_pictures=True)
    assert not face.is_seen
    for index in range(25 * 30):
        for track in (0, 1, 2):
            face.add(row(track, index / 25, track + index / 1000, np.nan if index == 700 else -30.0))
    face.judged(chose(1, 29.0))
    found = face.to_dict()
    times = np.array(found["times_seconds"])
    assert times[-1] == 29.96
    assert times[0] == pytest.approx(29.96 - SPAN_SECONDS, abs=0.05)
    np.testing.assert_allclose(found["mouth_opening"], 1 + 25 * times / 1000, atol=1e-4)
    assert [level is None for level in found["sound_dbfs"]] == (times == 28.0).tolist()
    # Once no face is seen any more, it is forgotten.
    face.judged(replace(SCORE, time_seconds=50.0))
    assert (face.is_seen, face.to_dict()["times_seconds"], face.to_dict()["picture"]) == (False, [], None)


def test_a_clock_that_is_set_back_starts_over() -> None:
    face = LiveFace(has_pictures=True)
    face.add(row(0, 500.0))
    face.add(row(0, 1.0))
    assert face.to_dict()["times_seconds"] == [1.0]
    face.clear()
    assert not face.is_seen


def chunks(seconds: float, offset_ms: float) -> list[bytes]:
    """The left one of two faces speaks."""
    times = np.arange(round(25 * seconds)) / 25
    samples = make_audio(0.0, len(times) * 640, audio_offset_ms=offset_ms)
    found = []
    for index, frame in enumerate(frames_of(speaking(times), closed(times))):
        found.append(frame_chunk(float(times[index]), frame))
        found.append(audio_chunk(float(times[index]), samples[640 * index : 640 * (index + 1)]))
    return found


@pytest.mark.parametrize("thumbnails", [True, False])
def test_a_pushed_stream_shows_its_face(face_bundle: Bundle, thumbnails: bool) -> None:
    with Client(face_bundle, thumbnails=thumbnails) as client, client.stream("one") as socket:
        assert client.get("/v1/streams/one/face").status_code == 404
        socket.send_text('{"type": "start", "path": "face"}')
        assert socket.receive_json()["kind"] == "ready"
        pictures = []
        for chunk in chunks(6, -200.0):
            socket.send_bytes(chunk)
            pictures.append(client.get("/v1/streams/one/face").json()["picture"])
        socket.send_text('{"type": "flush"}')
        answers_until(socket, "ended")
        found = client.get("/v1/streams/one/face").json()
        status = client.get("/v1/streams/one").json()
        assert status["has_face"]
        assert status["latest"]["path"] == "face"
        assert status["latest"]["state"] == "audio_late"
        assert len(found["times_seconds"]) > 100
        # What is heard at t is seen 200 ms before.
        heard = np.interp(np.array(found["times_seconds"]) + 0.2, found["times_seconds"], found["sound_dbfs"])
        assert np.corrcoef(heard[:-10], found["mouth_opening"][:-10])[0, 1] > 0.97
        if not thumbnails:
            assert set(pictures) == {None}
            return
        columns = yellow_columns(shown(found))
        assert (columns.min(), columns.max()) == (pytest.approx(0.15, abs=0.02), pytest.approx(0.35, abs=0.02))
        assert len(found["picture"]) < 20_000


def test_a_watched_stream_shows_its_face(face_bundle: Bundle, tmp_path: Path) -> None:
    times = np.arange(150) / 25
    frames = frames_of(speaking(times), closed(times))
    path = write_clip(tmp_path / "one.mkv", frames=frames, samples=make_audio(0.0, 96_000), audio_rate_hz=16_000)
    with Client(face_bundle, watch=(("cam", str(path)),)) as client:
        wait_until(lambda: client.get("/v1/streams/cam").json()["state"] == "ended")
        assert client.get("/v1/streams/cam").json()["has_face"]
        assert len(client.get("/v1/streams/cam/face").json()["mouth_opening"]) > 100


def test_a_stream_without_faces_has_none(bundle: Bundle) -> None:
    with Client(bundle) as client, client.stream("plain") as socket:
        for chunk in chunks(3, 0.0):
            socket.send_bytes(chunk)
        socket.send_text('{"type": "flush"}')
        assert {answer["path"] for answer in answers_until(socket, "ended") if answer["kind"] == "window"} == {"whole"}
        assert not client.get("/v1/streams/plain").json()["has_face"]
        found = client.get("/v1/streams/plain/face").json()
        assert (found["picture"], found["times_seconds"]) == (None, [])


@pytest.mark.parametrize("thumbnails", [True, False])
def test_the_report_of_a_job_has_a_picture_where_allowed(face_bundle: Bundle, tmp_path: Path, thumbnails: bool) -> None:
    times = np.arange(100) / 25
    frames = frames_of(speaking(times), closed(times))
    path = write_clip(tmp_path / "one.mkv", frames=frames, samples=make_audio(0.0, 64_000), audio_rate_hz=16_000)
    with Client(face_bundle, thumbnails=thumbnails) as client, path.open("rb") as file:
        sent = client.post("/v1/jobs", files={"file": ("one.mkv", file)})
        job = client.finished(sent.headers["location"])
        report = client.get(job["links"]["report"])
        assert ("data:image/jpeg" in report.text) == thumbnails
        assert "Mouth and sound" in report.text
        assert "img-src data:" in report.headers["content-security-policy"]
