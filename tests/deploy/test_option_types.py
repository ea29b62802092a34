"""Options are typed: mypy accepts those that exist and refuses misspelt ones and wrong types."""

from __future__ import annotations

from pathlib import Path

from mypy import api

ROOT = Path(__file__).resolve().parents[2]
ACCEPTED = """\
from cavsync.deploy import Bundle, Profile, ScoringOptions, SyncScorer, Watcher, score_file

bundle = Bundle.open("b", engine="auto", threads=1)
options = ScoringOptions(hop_ms=20, profile=Profile("own", 10.0, None))
SyncScorer(bundle, options, adaptive=True, on_row=print)
SyncScorer.from_bundle("b", hop_ms=20, threads=1, cores=[0], providers=None)
SyncScorer.from_bundle("b", path="face")
score_file("clip.mp4", bundle, options, audio_shift_ms=1.0, window_seconds=None, path="whole")
Watcher("clip.mp4", "b", options, max_tries=1, max_lead_seconds=2.0, engine="auto")
"""
REFUSED = (
    "SyncScorer(bundle, hopms=10)",
    'SyncScorer.from_bundle("b", hopms=10)',
    'SyncScorer.from_bundle("b", thread=1)',
    'score_file("clip.mp4", bundle, hopms=10)',
    'score_file("clip.mp4", bundle, threads=1)',
    'Watcher("clip.mp4", "b", hopms=10)',
    'Watcher("clip.mp4", "b", adaptive="yes")',
    "ScoringOptions(hopms=10)",
)


def test_mypy_sees_misspelt_options(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(ACCEPTED + "\n".join(REFUSED) + "\n")
    report, errors, _ = api.run(["--config-file", str(ROOT / "pyproject.toml"), "--hide-error-context", str(snippet)])
    assert errors == ""
    found = [line for line in report.splitlines() if ": error: " in line]
    first = ACCEPTED.count("\n") + 1
    lines = [int(line.split(":")[1]) for line in found]
    assert lines == list(range(first, first + len(REFUSED))), report
    assert all("hopms" in line or "thread" in line or "adaptive" in line for line in found), report
