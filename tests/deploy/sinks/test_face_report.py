"""The report of a file judged on faces: who was looked at, and mouth and sound falling together."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_clips import closed, frames_of, speaking
from PIL import Image
from sync_clips import make_audio, write_clip

from cavsync.deploy import Bundle, FileScore, score_file
from cavsync.deploy.files.face_file import SpeakingFace
from cavsync.deploy.sinks.face_chart import STRETCH_SECONDS, face_chart, telling_part
from cavsync.deploy.sinks.html import html_text

OFFSET_MS = 160.0


@pytest.fixture(scope="module")
def result(face_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> FileScore:
    """Ten seconds in which the left one of two faces speaks and the sound is early."""
    times = np.arange(250) / 25
    samples = make_audio(0.0, 160_000, audio_offset_ms=OFFSET_MS)
    path = tmp_path_factory.mktemp("clip") / "left.mkv"
    write_clip(path, frames=frames_of(speaking(times), closed(times)), samples=samples, audio_rate_hz=16_000)
    return score_file(path, face_bundle, path="face", keep_picture=True)


class Found(HTMLParser):
    """Collects the elements of a page by their tag, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def of(self, tag: str, name: str) -> list[dict[str, Any]]:
        """Attributes of the elements of this tag and class."""
        return [attrs for found, attrs in self.elements if found == tag and attrs.get("class") == name]


def points(path: str) -> np.ndarray[Any, Any]:
    """The points (n, 2) of an SVG path."""
    return np.array(re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path), dtype=float)


def test_the_picture_shows_the_speaking_face_in_a_box(result: FileScore) -> None:
    (image,) = [attrs for tag, attrs in Found(html_text([result])).elements if tag == "img"]
    kind, content = str(image["src"]).split(",")
    assert kind == "data:image/jpeg;base64"
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))).astype(int)
    assert shown.shape[:2] == (int(image["height"] or 0), int(image["width"] or 0))
    assert shown.shape[1] <= 240
    # Yellow is what blue lacks; the left face is 28.8 to 67.2 in both directions of the frame, which is shown whole.
    rows, columns = np.nonzero(shown[..., 0] - shown[..., 2] > 90)
    np.testing.assert_allclose(np.percentile(columns, [1, 99]) / shown.shape[1], [28.8 / 192, 67.2 / 192], atol=0.02)
    np.testing.assert_allclose(np.percentile(rows, [1, 99]) / shown.shape[0], [28.8 / 96, 67.2 / 96], atol=0.03)


def test_the_chart_moves_the_sound_onto_the_mouth(result: FileScore) -> None:
    found = Found(html_text([result]))
    mouths = [points(attrs["d"])[1:-1] for attrs in found.of("path", "mouth")[1:]]
    sounds = [points(attrs["d"]) for attrs in found.of("path", "line sound")[1:]]
    assert len(mouths) == len(sounds) == 2
    likeness = [
        np.corrcoef(np.interp(mouth[:, 0], *sound.T), mouth[:, 1])[0, 1]
        for mouth, sound in zip(mouths, sounds, strict=True)
    ]
    assert likeness[0] < 0.6
    assert likeness[1] > 0.97
    assert "with the audio delayed by 160 ms" in html_text([result])


def test_only_a_trusted_offset_is_drawn(result: FileScore) -> None:
    doubtful = replace(result.summary.score, is_measured=False)
    page = html_text([replace(result, summary=replace(result.summary, score=doubtful))])
    assert len(Found(page).of("line", "base")) == 1
    assert "with the audio" not in page


def test_every_window_names_its_path_and_the_file_the_shares(result: FileScore) -> None:
    mixed = replace(
        result,
        records=[replace(result.records[0], path="whole"), *result.records[1:]],
        summary=replace(result.summary, path_share={"face": 0.75, "whole": 0.25}),
    )
    page = html_text([mixed])
    (table,) = re.findall(r'aria-label="Windows".*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    paths = re.findall(r"<tr><td>[^<]*</td><td>([^<]*)</td>", table)
    assert paths == ["whole picture"] + ["face"] * (len(mixed.records) - 1)
    words = re.sub(r"<[^>]+>", " ", page)
    assert re.search(r"Windows on the face\s+75%\s+Windows on the whole picture\s+25%", words)
    assert re.search(r"Most faces at once\s+2", words)


def test_names_are_escaped(result: FileScore) -> None:
    source = "<img src=x onerror=alert(1)>.mkv"
    page = html_text([replace(result, source=source, summary=replace(result.summary, source=source))])
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_two_hours_stay_small(result: FileScore) -> None:
    face = result.face
    assert face is not None
    random = np.random.default_rng(0)
    count = 7200 * 25
    times = np.arange(count) / 25
    opening = random.uniform(0, 0.01, count)
    # A minute in which the mouth moves, an hour after the beginning.
    opening[3600 * 25 : 3660 * 25] = random.uniform(0, 0.3, 60 * 25)
    tracks = np.zeros(count, dtype=np.int64)
    long = replace(
        face, times_seconds=times, tracks=tracks, mouth_opening=opening, sound_dbfs=random.uniform(-40, -10, count)
    )
    begin, end = times[telling_part(long)][[0, -1]]
    assert end > 3600
    assert begin < 3660
    assert end - begin <= STRETCH_SECONDS
    records = [replace(result.records[0], time_seconds=2.0 + index) for index in range(7200)]
    extra = len(html_text([replace(result, records=records, face=long)])) - len(
        html_text([replace(result, records=records, face=None)])
    )
    assert extra < 150_000


def test_a_line_ends_where_the_face_is_gone(result: FileScore) -> None:
    face = result.face
    assert face is not None

    def without(lost: slice) -> SpeakingFace:
        kept = np.delete(np.arange(len(face.times_seconds)), lost)
        names = ("times_seconds", "tracks", "mouth_opening", "sound_dbfs")
        return replace(face, **{name: getattr(face, name)[kept] for name in names})

    whole, broken = face_chart(face, None).panels[0], face_chart(without(slice(100, 125)), None).panels[0]
    assert (whole.mouth.count("M"), broken.mouth.count("M"), broken.sound.count("M")) == (1, 2, 2)
    # The areas end at the bottom of the panel.
    assert {float(points(part)[end, 1]) for part in broken.mouth.split("z")[:2] for end in (0, -1)} == {broken.bottom}


def test_a_file_without_a_face_has_no_trace_of_one(bundle: Bundle, face_bundle: Bundle, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "plain.mkv", seconds=6.0)
    score = score_file(path, bundle, keep_picture=True)
    page = html_text([score])
    assert (score.face, score.picture) == (None, None)
    assert page == html_text([score_file(path, bundle)])
    for part in ("<img", "portrait", "lips", "mouth", "rests on"):
        assert part not in page


def test_no_picture_is_kept_unless_asked_for(result: FileScore, face_bundle: Bundle) -> None:
    score = score_file(result.source, face_bundle, path="face")
    assert score.picture is None
    page = html_text([score])
    assert "<img" not in page
    assert "Mouth and sound" in page
