"""The report page: complete, self-contained, small for long files; and writing whole or not at all."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sync_clips import write_clip

from cavsync.deploy import Bundle, FileScore, score_file
from cavsync.deploy.files.whole_file import HeatMap
from cavsync.deploy.sinks import write_text_atomically
from cavsync.deploy.sinks.axes import Scale, clock, line_path, time_ticks, value_ticks
from cavsync.deploy.sinks.html import html_text
from cavsync.errors import ConfigError

VOID = {"meta", "br", "img", "link", "hr", "input"}


@pytest.fixture(scope="module")
def result(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> FileScore:
    return score_file(write_clip(tmp_path_factory.mktemp("clip") / "clip.mkv", audio_offset_ms=-200.0), bundle)


class Balance(HTMLParser):
    """Checks that every element that opens also closes, and collects addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_well_formed_and_needs_nothing_else(result: FileScore) -> None:
    page = html_text([result, result])
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert all(address.startswith(("data:image/png;base64,", "#clip-")) for address in balance.addresses)
    assert "http" not in page.replace("http-equiv", "")
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_page_says_what_was_found_and_what_the_sign_means(result: FileScore) -> None:
    late_ms = round(-(result.summary.score.audio_offset_ms or 0.0))
    assert late_ms == pytest.approx(200, abs=3)
    text = re.sub(r"<[^>]+>", " ", html_text([result]))
    for part in (
        f"Audio late by {late_ms} ms",
        f"{late_ms} ms after the video",
        f"advance the audio by {late_ms} ms",
        "opposite sign",
        "libavcodec",
        "itu-bt1359-detect",
        "light and loudness meter",
        "half of such offsets are within 10 ms",
    ):
        assert part in text


def test_heat_map_is_light_at_the_offset(result: FileScore) -> None:
    (uri,) = re.findall(r'href="data:image/png;base64,([^"]+)"', html_text([result]))
    frame = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri))))
    assert frame.shape == (31, 12, 4)
    brightness = frame[..., :3].sum(axis=2)[:, 2:10]
    # Row 0 is +600 ms, a row is 40 ms: the audio is 200 ms late.
    assert float(np.median(600 - 40 * brightness.argmax(axis=0))) == pytest.approx(-200, abs=40)


def test_two_hours_stay_small(result: FileScore) -> None:
    records = [dataclasses.replace(result.records[0], time_seconds=2.0 + index) for index in range(7200)]
    columns = np.random.default_rng(0).normal(size=(7200, len(result.heat_map.lags_ms)))
    heat_map = HeatMap(np.arange(7200.0), result.heat_map.lags_ms, columns)
    summary = dataclasses.replace(
        result.summary,
        num_windows=7200,
        duration_seconds=7201.0,
        score=dataclasses.replace(result.summary.score, time_seconds=7201.0),
    )
    page = html_text([FileScore("long.mkv", records, summary, heat_map)])
    assert len(page) < 400_000
    assert "each mark is the largest of 18 windows" in page
    assert "1:30:00" in page


def test_ticks_are_round_and_inside() -> None:
    scale = Scale(0.3, 7.9, 40.0, 350.0)
    assert [tick.label for tick in time_ticks(scale)] == ["2 s", "4 s", "6 s"]
    values = value_ticks(Scale(-130.0, 90.0, 100.0, 0.0))
    assert [tick.label for tick in values] == ["\N{MINUS SIGN}100", "\N{MINUS SIGN}50", "0", "50"]
    assert values[2].position == pytest.approx(100 - 100 * 130 / 220, abs=0.05)
    assert (clock(90, 600), clock(3720, 9000)) == ("1:30", "1:02:00")


def test_lines_are_interrupted_where_nothing_is_known() -> None:
    points = [None, (1.0, 2.0), (3.0, 4.0), None, None, (5.0, 6.0)]
    assert line_path(points) == "M1.0 2.0L3.0 4.0M5.0 6.0"
    assert line_path(points, after_point="h.1") == "M1.0 2.0h.1L3.0 4.0h.1M5.0 6.0h.1"
    assert line_path([None]) == ""
    scale = Scale(0.0, 1.0, 100.0, 0.0)
    assert [scale.clipped(value) for value in (-0.5, 0.25, 7.0)] == [100.0, 75.0, 0.0]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    write_text_atomically(path, "first\n")
    write_text_atomically(path, "sécond\n")
    assert path.read_bytes() == "sécond\n".encode()
    assert [item.name for item in tmp_path.iterdir()] == ["out.txt"]
    assert path.stat().st_mode & 0o600 == 0o600
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_text_atomically(folder, "text")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["folder", "out.txt"]
