"""Files over HTTP: the same result as `score_file`, bounded, cancelled, forgotten."""

from __future__ import annotations

import math
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from coded_clips import write_coded_clip
from fake_clock import FakeClock
from serving import Client
from waiting import wait_until

from cavsync.deploy import Bundle, ScoringOptions, score_file
from cavsync.deploy.server import jobs as jobs_module
from cavsync.deploy.sinks.html import html_text


def upload(client: Client, path: Path, **fields: str) -> Any:
    with path.open("rb") as stream:
        return client.post("/v1/jobs", files={"file": (path.name, stream)}, data=fields)


def test_an_uploaded_file_scores_as_on_the_command_line(client: Client, bundle: Bundle, late_clip: Path) -> None:
    response = upload(client, late_clip)
    assert response.status_code == 202
    assert response.headers["location"] == response.json()["links"]["self"]
    job = client.finished(response.headers["location"])
    assert (job["state"], job["error"], job["name"]) == ("done", None, "late.mp4")
    assert job["verdict"].startswith("Audio late by 30")
    assert job["progress"]["done_seconds"] == pytest.approx(6, abs=0.1)
    wanted = score_file(late_clip, bundle)
    result = client.get(job["links"]["result"]).json()
    assert result["windows"] == [record.to_dict() for record in wanted.records]
    assert result["summary"] == {**wanted.summary.to_dict(), "source": "late.mp4"} == job["summary"]


def test_the_report_is_the_page_of_score(client: Client, bundle: Bundle, late_clip: Path) -> None:
    job = client.finished(upload(client, late_clip).headers["location"])
    report = client.get(job["links"]["report"])
    assert report.text == html_text([score_file(late_clip, bundle)]).replace(str(late_clip), "late.mp4")
    assert "sandbox" in report.headers["content-security-policy"]
    assert "script-src" not in report.headers["content-security-policy"]


def test_options_travel_with_the_file(client: Client, late_clip: Path) -> None:
    fields = {"profile": "custom", "early_ms": "400", "late_ms": "400", "window_seconds": "3"}
    job = client.finished(upload(client, late_clip, **fields).headers["location"])
    assert (job["summary"]["state"], job["summary"]["profile"]) == ("in_sync", "custom")
    assert job["summary"]["late_limit_ms"] == 400


def test_the_tracks_of_a_job_are_chosen(client: Client, tmp_path: Path) -> None:
    clip = write_coded_clip(tmp_path / "clip.mkv", seconds=4.0, num_audio=3)
    for fields, number in (({}, 1), ({"audio_stream": "2"}, 2), ({"all_audio": "true"}, 1)):
        job = client.finished(upload(client, clip, **fields).headers["location"])
        assert job["summary"]["audio_stream"] == str(number)
        assert job["summary"]["audio_offset_ms"] == pytest.approx(40 * number, abs=3)
        tracks = client.get(job["links"]["result"]).json()["tracks"]
        assert [track["audio_stream"] for track in tracks] == (["0", "1", "2"] if "all_audio" in fields else [])
    assert upload(client, clip, audio_stream="1,2").status_code == 400
    missing = client.finished(upload(client, clip, audio_stream="3").headers["location"])
    assert missing["error"] == "clip.mkv has no audio track 3: give 0 to 2"


@pytest.mark.parametrize("kind", ["video/mp4", "application/x-www-form-urlencoded"])
def test_a_file_without_a_form_is_told_of_the_form(client: Client, late_clip: Path, kind: str) -> None:
    for content in (late_clip.read_bytes(), bytes(3_000_000)):
        refused = client.post("/v1/jobs", content=content, headers={"content-type": kind})
        assert refused.status_code in (400, 413)
        assert "multipart/form-data in the field 'file'" in refused.json()["error"]


def test_options_in_the_address_are_refused_and_not_ignored(client: Client, late_clip: Path) -> None:
    with late_clip.open("rb") as file:
        refused = client.post("/v1/jobs?profile=ebu-r37", files={"file": file})
    assert refused.status_code == 400
    assert "fields of the form" in refused.text


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"profile": "none"}, "profile"),
        ({"profile": "custom"}, "limit"),
        ({"window_seconds": "nan"}, "window_seconds"),
        ({"window_seconds": "4000"}, "window_seconds"),
        ({"max_offset_ms": "1"}, "at least two hops"),
        ({"threads": "2"}, "threads"),
    ],
)
def test_options_that_cannot_be_are_refused(client: Client, late_clip: Path, fields: dict[str, str], word: str) -> None:
    response = upload(client, late_clip, **fields)
    assert response.status_code == 400
    assert word in response.json()["error"]
    assert client.get("/v1/jobs").json() == {"jobs": []}


def test_a_file_that_is_none_fails_with_a_sentence(client: Client, tmp_path: Path) -> None:
    for name, content in (("noise.mp4", os.urandom(5000)), ("empty.mp4", b"")):
        (tmp_path / name).write_bytes(content)
        job = client.finished(upload(client, tmp_path / name).headers["location"])
        assert job["state"] == "failed"
        assert job["error"].startswith(name)
        assert client.get(f"{job['links']['self']}/result").status_code == 409


def test_a_request_without_a_file_is_refused(client: Client) -> None:
    for body in (
        {"files": {"other": b"x"}},
        {"content": b"nonsense"},
        {"json": []},
        {"json": {"url": 3}},
        {"json": {}},
    ):
        response = client.post("/v1/jobs", **body)
        assert response.status_code == 400, body
        assert response.json()["error"]


def test_the_body_limit_holds_while_reading(make_client: Callable[..., Client]) -> None:
    client = make_client(max_body_bytes=300_000)

    def pieces() -> Any:
        # No Content-Length: only counting can tell.
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
        for _ in range(200):
            yield b"x" * 100_000

    response = client.post("/v1/jobs", content=pieces(), headers={"content-type": "multipart/form-data; boundary=b"})
    assert response.status_code == 413
    assert "larger" in response.json()["error"]
    assert client.get("/v1/jobs").json() == {"jobs": []}


def test_too_long_a_file_is_refused(make_client: Callable[..., Client], late_clip: Path) -> None:
    client = make_client(max_duration_seconds=3)
    job = client.finished(upload(client, late_clip).headers["location"])
    assert (job["state"], "longer than 3 s" in job["error"]) == ("failed", True)


class Gate:
    """Holds every job where it begins to score, until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        monkeypatch.setattr(jobs_module, "score_file", self._score)

    def _score(self, path: str, bundle: Bundle, options: ScoringOptions, **others: Any) -> Any:
        while not self.open.wait(0.01):
            others["on_progress"](0.0, None)
        return score_file(path, bundle, options, **others)


def test_the_queue_is_bounded(
    make_client: Callable[..., Client], late_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    client = make_client(max_jobs=2)
    locations = [upload(client, late_clip).headers["location"] for _ in range(2)]
    refused = upload(client, late_clip)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    gate.open.set()
    assert [client.finished(location)["state"] for location in locations] == ["done", "done"]
    assert upload(client, late_clip).status_code == 202


def test_a_full_queue_stays_full_when_waiting_jobs_are_removed(
    make_client: Callable[..., Client], late_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sending and removing in turn would else fill the disk, or at least the executor's queue."""
    gate = Gate(monkeypatch)
    client = make_client(max_jobs=2)
    uploads: list[Any] = []
    queue = client.app.state.services.jobs
    real = queue.submit

    def submit(name: str, open_file: Callable[[Any], Any], *rest: Any, **named: Any) -> Any:
        uploads.append(open_file(None))
        return real(name, open_file, *rest, **named)

    monkeypatch.setattr(queue, "submit", submit)
    running, waiting = [upload(client, late_clip).headers["location"] for _ in range(2)]
    assert client.delete(waiting).status_code == 204
    assert [file.closed for file in uploads] == [False, True]
    assert upload(client, late_clip).status_code == 503
    gate.open.set()
    assert client.finished(running)["state"] == "done"
    responses: list[Any] = []
    wait_until(lambda: responses.append(upload(client, late_clip)) or responses[-1].status_code != 503)
    assert client.finished(responses[-1].headers["location"])["state"] == "done"


def test_timestamps_that_do_not_advance_make_no_short_file(
    make_client: Callable[..., Client], late_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(*_: object, on_progress: Callable[[float, float | None], None], **__: object) -> None:
        for _ in range(100_000):
            on_progress(0.0, 1.0)

    monkeypatch.setattr(jobs_module, "score_file", endless)
    client = make_client(max_duration_seconds=3)
    job = client.finished(upload(client, late_clip).headers["location"])
    assert (job["state"], "longer than 3 s" in job["error"]) == ("failed", True)


def test_running_and_waiting_jobs_are_cancelled(
    make_client: Callable[..., Client], late_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Gate(monkeypatch)
    client = make_client()
    running, waiting = [upload(client, late_clip).headers["location"] for _ in range(2)]
    jobs = [client.app.state.services.jobs.get(location.rpartition("/")[2]) for location in (running, waiting)]
    wait_until(lambda: jobs[0].state == "running")
    assert client.delete(waiting).status_code == client.delete(running).status_code == 204
    assert (
        client.get(running).status_code == client.get(waiting).status_code == client.delete(running).status_code == 404
    )
    wait_until(lambda: all(job.state == "cancelled" for job in jobs))


def test_the_end_of_the_server_ends_its_jobs(bundle: Bundle, late_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Gate(monkeypatch)
    with Client(bundle) as client:
        location = upload(client, late_clip).headers["location"]
        job = client.app.state.services.jobs.get(location.rpartition("/")[2])
    assert job.state == "cancelled"


def test_results_are_kept_for_a_while(
    make_client: Callable[..., Client], late_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    monkeypatch.setattr(jobs_module, "time", clock)
    client = make_client(keep_results_seconds=300)
    location = upload(client, late_clip).headers["location"]
    job = client.app.state.services.jobs.get(location.rpartition("/")[2])
    wait_until(lambda: job.finished_monotonic < math.inf)
    clock.advance(299)
    assert client.get(location).json()["state"] == "done"
    clock.advance(2)
    assert client.get(location).status_code == 404
    assert client.get("/v1/jobs").json() == {"jobs": []}


def test_only_so_many_results_are_kept(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "KEPT_RESULTS", 2)
    (tmp_path / "noise.mp4").write_bytes(b"noise")
    locations = [upload(client, tmp_path / "noise.mp4").headers["location"] for _ in range(3)]
    client.finished(locations[2])
    assert [client.get(location).status_code for location in locations] == [404, 200, 200]


def test_uploads_leave_no_file_behind(
    client: Client, late_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    big = tmp_path / "big.mp4"
    # More than is kept in memory while a form is read.
    big.write_bytes(late_clip.read_bytes() + b"\0" * 3_000_000)
    job = client.finished(upload(client, big).headers["location"])
    assert job["state"] == "done"
    assert list(tmp_path.iterdir()) == [big]
