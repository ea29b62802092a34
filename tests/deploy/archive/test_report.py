"""The report of an archive: totals of all files, and the first rows of what to look at, whatever their order."""

from __future__ import annotations

import random
import re
from typing import Any

from cavsync.deploy.archive.report import MAX_LISTED, archive_page, overview_of

PROVENANCE: dict[str, Any] = {
    "source": "s3://a/<b>",
    "settings": {"bundle": {"name": "b", "precision": "fp32", "sha256": "00"}, "--engine": "onnxruntime"},
}


def row(source: str, offset_ms: float | None, state: str, error: str | None = None) -> dict[str, Any]:
    within_profile = None if state in ("undetermined", "failed") else state == "in_sync"
    return {
        "source": source,
        "state": state,
        "within_profile": within_profile,
        "audio_offset_ms": offset_ms,
        "confidence": None,
        "duration_seconds": None if error else 36.0,
        "error": error,
        "reason": None,
    }


def page_of(rows: list[dict[str, Any]]) -> str:
    return "".join(archive_page(overview_of(rows), PROVENANCE))


def listed(page: str) -> list[str]:
    return re.findall(r'<th scope="row" class="name">(.*?)</th>', page)


def test_the_largest_offsets_and_failures_are_shown() -> None:
    rows = [
        row("/clips/0.mkv", 20.0, "in_sync"),
        row("/clips/1.mkv", -300.0, "audio_late"),
        row("/clips/<i>.mkv", 700.0, "audio_early"),
        row("/clips/3.mkv", 5.0, "undetermined"),
        row("/clips/4.mkv", None, "failed", "4.mkv is damaged"),
    ]
    overview = overview_of(rows)
    assert overview.sentence() == "1 in sync, 1 audio early, 1 audio late, 1 undetermined, 1 failed"
    page = page_of(rows)
    assert listed(page) == ["/clips/&lt;i&gt;.mkv", "/clips/1.mkv", "/clips/4.mkv"]
    assert "4.mkv is damaged" in page
    assert "By the size of the offset" in page
    assert "s3://a/&lt;b&gt;" in page
    assert page.count('<rect fill="var(--confidence)"') == 3
    assert "<dt>Hours</dt><dd>0.0</dd>" in page


def test_of_many_files_the_first_are_shown_and_all_are_counted() -> None:
    """By offset, and by name where that is the same; an undetermined file has no offset to list."""
    late = [row(f"/{number:04d}.mkv", -200.0 - number % 3, "audio_late") for number in range(500)]
    lost = [row(f"/lost{number:04d}.mkv", None, "failed", "no") for number in range(300)]
    fine = [row(f"/fine{number}.mkv", 0.0, "in_sync") for number in range(10)]
    open_ones = [row(f"/open{number}.mkv", 900.0, "undetermined") for number in range(10)]
    wanted = sorted(late, key=lambda one: (one["audio_offset_ms"], one["source"]))[:MAX_LISTED]
    for seed in range(3):
        rows = [*late, *lost, *fine, *open_ones]
        random.Random(seed).shuffle(rows)
        page = page_of(rows)
        assert listed(page) == [
            *(one["source"] for one in wanted),
            *(f"/lost{number:04d}.mkv" for number in range(MAX_LISTED)),
        ]
        assert f"The {MAX_LISTED} largest offsets of 500" in page
        assert f"{MAX_LISTED} of 300" in page
        assert overview_of(rows).sentence() == "10 in sync, 0 audio early, 500 audio late, 10 undetermined, 300 failed"


def test_few_files_fill_no_list() -> None:
    page = page_of([row("/a.mkv", 0.0, "in_sync")])
    assert listed(page) == []
    assert "Out of sync" not in page
    assert "Not scored" not in page
