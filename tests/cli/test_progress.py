"""Work on many clips says how far it is: as a line now and then where stderr is no terminal."""

from __future__ import annotations

import pytest

from cavsync.cli import progress


def test_lines_where_stderr_is_no_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for seconds, lines in ((1e9, []), (0.0, ["testing clips: 1 of 2", "testing clips: 2 of 2"])):
        monkeypatch.setattr(progress, "LINE_SECONDS", seconds)
        with progress.counting_bar("testing clips") as count:
            count(1, 2)
            count(2, 2)
        said = capsys.readouterr()
        assert (said.out, said.err.splitlines()) == ("", lines)
