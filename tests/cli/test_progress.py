"""Work on many clips says how far it is: as a line now and then where stderr is no terminal."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from cavsync.cli import progress
from cavsync.cli.train import training_progress


def test_lines_where_stderr_is_no_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for seconds, lines in ((1e9, []), (0.0, ["testing clips: 1 of 2", "testing clips: 2 of 2"])):
        monkeypatch.setattr(progress, "LINE_SECONDS", seconds)
        with progress.counting_bar("testing clips") as count:
            count(1, 2)
            count(2, 2)
        said = capsys.readouterr()
        assert (said.out, said.err.splitlines()) == ("", lines)


def test_long_work_says_once_a_minute_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of work resumed at a fifth, a hundredth is done every 30 s: 40 minutes for the rest."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    time_left = progress.time_left_lines()
    said = {}
    for step in range(81):
        said[step] = time_left(0.2 + 0.01 * step)
        now[0] += 30
    assert [step for step, line in said.items() if line] == list(range(2, 81, 2))
    assert said[2] == "about 39 min left"
    assert said[40] == "about 20 min left"
    assert said[80] == "about 1 min left"


def test_training_without_a_terminal_writes_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    written = io.StringIO()
    with training_progress(Console(file=written, width=200), "decoding clips") as (_, step):
        for number in range(1, 5):
            step(number, 10, number / 10, {"loss": 3.5})
            now[0] += 61
    lines = [line for line in written.getvalue().splitlines() if "left" in line]
    assert lines == [f"training: step {n}/10  loss 3.500  about {10 - n} min left" for n in (2, 3, 4)]
