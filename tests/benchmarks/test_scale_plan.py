"""The page on scale shows what the script computes from measured rows, and nothing else in its tables."""

from __future__ import annotations

import re

import pytest
from documents import ROOT

pytest.importorskip("torch", reason="the script counts the operations of the model")
PAGE = ROOT / "docs" / "explanation" / "scale.md"
TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)


def test_the_page_shows_what_the_script_prints(load, capsys: pytest.CaptureFixture[str]) -> None:
    load("scale_plan").main([])
    printed = TABLE.findall(capsys.readouterr().out)
    assert len(printed) == 6
    shown = TABLE.findall(PAGE.read_text("utf-8"))
    assert shown == printed, "rows were measured since: take over what benchmarks/scale_plan.py prints"


def test_arithmetic(load) -> None:
    """Against numbers that were computed by hand."""
    script = load("scale_plan")
    plan = script.Assumptions(hours=1000.0, days=10.0, media_mbit=8.0, network_gbit=80.0, node_gbyte=100.0)
    assert script.storage(plan)[1] == ["0.00 PB", "0.0"]
    assert script.storage(script.Assumptions(hours=1e6, media_mbit=8.0, days=100.0))[1] == ["3.60 PB", "3.3"]
    assert script.exchange_seconds(plan, 1, 1e9) == 0
    assert script.exchange_seconds(plan, 4, 1e9) == pytest.approx(2 * 3 / 4 / 100)
    # Ten GB/s between machines.
    assert script.exchange_seconds(plan, 16, 1e9) == pytest.approx(2 * 15 / 16 / 10)
    assert [script.count(value) for value in (3, 3.0, 9.96, 42.0, 1234.0, 966_900.0)] == (
        ["3", "3.0", "10.0", "42", "1,230", "967,000"]
    )
    (case,) = [one for one in script.scorings() if one.name == "published size, int8"]
    file, decoded = (script.latest("real_time", model="cav-mae-sync-base", source=name) for name in ("file", "decoded"))
    assert case.total == pytest.approx(2 * file["seconds"] / file["media_seconds"], abs=1e-3)
    assert case.reading == pytest.approx(case.total - 2 * decoded["seconds"] / decoded["media_seconds"], abs=1e-3)


def test_training_time_is_clips_over_speed(load) -> None:
    script = load("scale_plan")
    plan = script.Assumptions()
    heads, *rows = script.pretraining(plan, "packed")
    assert [int(row[0]) for row in rows] == [1, 2, 4, 8, 16, 32, 64]
    step = script.latest("train_step", variant="packed", batch=256, dtype="bf16")
    hours = plan.clips * plan.epochs / 256 * step["p50_ms"] / 1000 / 3600
    assert float(rows[0][heads.index("hours")]) == pytest.approx(hours, abs=0.01)


def test_gpus_cost_their_hours_and_the_cores_that_read_for_them(load) -> None:
    """Computed again from the rows, for prices at which both parts show."""
    script = load("scale_plan")
    plan = script.Assumptions(hours=100_000.0, core_price=2.0, gpu_price=30.0)
    heads, *rows = script.archive_on_gpus(plan)
    file, decoded = (script.latest("real_time", model="cav-mae-sync-base", source=name) for name in ("file", "decoded"))
    reading = 2 * (file["seconds"] / file["media_seconds"] - decoded["seconds"] / decoded["media_seconds"])
    assert len(rows) >= 4
    for row in rows:
        shown = {head: float(cell.replace(",", "")) for head, cell in zip(heads[1:], row[1:], strict=True)}
        assert shown["price of GPUs"] == pytest.approx(shown["GPU hours"] * 30, rel=0.02)
        assert shown["price of reading"] == pytest.approx(100_000 * reading * 2, rel=0.02)
        assert shown["price together"] == pytest.approx(shown["price of GPUs"] + shown["price of reading"], rel=0.02)
        assert shown["cores that read for one GPU"] == pytest.approx(shown["media s per s"] * reading, abs=1.5)
