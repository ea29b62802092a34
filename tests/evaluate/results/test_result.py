"""Results: written and read back, refused where they cannot be true, shown on the terminal and on a page, compared."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from pydantic import ValidationError
from rich.console import Console

from cavsync.cli.main import main
from cavsync.errors import ConfigError, DataError
from cavsync.evaluate.results.compare import compare_results
from cavsync.evaluate.results.page import page_text
from cavsync.evaluate.results.plots import draw
from cavsync.evaluate.results.provenance import data_id, provenance
from cavsync.evaluate.results.result import (
    EvalResult,
    Metric,
    ModelId,
    Picture,
    Plot,
    PlotCurve,
    Table,
    read_result,
    shown,
)
from cavsync.evaluate.results.table import print_result

NAUGHTY = "<script>alert(1)</script>[red]"


def make_result(value: float | None = 0.25, *, task: str = "retrieval", seed: int = 0, frames: int = 16) -> EvalResult:
    metric = Metric(value=value, low=0.2, high=0.3, unit="share", count=8)
    model = ModelId(name=NAUGHTY, kind="run", sha256="ab" * 32)
    curve = PlotCurve(label="model", x=[1.0, 2.0, 3.0], y=[0.1, None, 0.3], low=[0.0, None, 0.2], high=[0.2, None, 0.4])
    return EvalResult(
        task=task,
        protocol={"frames": frames, "kinds": ["a", "b"]},
        metrics={"r_at_1": metric, "rank": Metric(value=12.0, better="lower")},
        provenance=provenance(models=[model], data=[], seed=seed),
        tables=[Table(title=NAUGHTY, columns=["", "R@1"], rows=[[NAUGHTY, metric], ["none", None]])],
        plots=[
            Plot(title="Recall", x_label="k", y_label="share", curves=[curve], reference=((1, 0), (3, 1))),
            Plot(
                title="Counts", x_label="k", y_label="n", curves=[PlotCurve(label="n", x=[0, 1], y=[3, 4])], bars=True
            ),
        ],
        rejects={NAUGHTY: "cannot be read"},
        notes=["heed this"],
    )


def test_written_and_read(tmp_path: Path) -> None:
    result = make_result()
    result.write(tmp_path / "a.json")
    assert read_result(tmp_path / "a.json") == result
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["provenance"]["versions"]["cavsync"]
    assert set(content["provenance"]["decoders"]) == {
        *("libavcodec", "libavformat", "libswresample", "libswscale", "libjpeg"),
    }
    with pytest.raises(ConfigError, match="cannot be written"):
        result.write(tmp_path / "none" / "a.json")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_result(bad: float) -> None:
    with pytest.raises(ValidationError):
        Metric(value=bad)
    with pytest.raises(ValidationError, match="finite number"):
        EvalResult.model_validate({**make_result().model_dump(), "protocol": {"limits": [{"ms": bad}]}})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a result"),
        ('{"task": "sync"}', "protocol"),
        ("[" * 100_000, "not valid JSON"),
        ('{"rows": {"kinds": 1}}', "not a result"),
    ],
)
def test_damaged_files(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=why):
        read_result(tmp_path / "a.json")
    with pytest.raises(DataError, match="cannot be read"):
        read_result(tmp_path)


def test_unknown_entries_and_formats_are_refused(tmp_path: Path) -> None:
    content = make_result().model_dump(mode="json")
    for changed in ({**content, "extra": 1}, {**content, "format": 2}):
        (tmp_path / "a.json").write_text(json.dumps(changed))
        with pytest.raises(DataError, match="not a result of format 1"):
            read_result(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Metric(value=0.279, low=0.2, high=0.31, unit="share"), "27.9 % (20-31)"),
        (Metric(value=-3.0, low=-5.25, high=1.0, unit="ms"), "-3 ms (-5.25 to 1)"),
        (Metric(value=None, unit="ms"), "-"),
        (None, "-"),
        (12345.6, "12346"),
        (12, "12"),
        ("text", "text"),
    ],
)
def test_cells(cell: object, text: str) -> None:
    assert shown(cell) == text  # type: ignore[arg-type]


def test_terminal_shows_markup_and_obeys_none() -> None:
    out = io.StringIO()
    print_result(make_result(), Console(file=out, width=60))
    assert "[red]" in out.getvalue()
    assert "25.0 % (20-30)" in out.getvalue()
    assert "heed this" in out.getvalue()
    assert "1 left out" in out.getvalue()


def test_page_is_self_contained_and_escaped(tmp_path: Path) -> None:
    """No script, nothing from elsewhere, whatever names hold; pictures lie inside, videos are links."""
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(tmp_path / "one.png")
    result = make_result().model_copy(
        update={"pictures": [Picture(title="one", file="one.png"), Picture(title="two", file="two.mp4")]}
    )
    page = page_text(result, tmp_path)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "data:image/png;base64," in page
    assert 'href="two.mp4"' in page
    assert page.count("<svg viewBox") >= 2
    assert "25.0 %" in page
    (tmp_path / "one.png").unlink()
    with pytest.raises(DataError, match=r"one\.png"):
        page_text(result, tmp_path)


def test_plots_break_where_nothing_is_known() -> None:
    """A None interrupts the line; the band closes; bars stand inside the axes; the order of y is that of values."""
    lines, bars = (draw(plot) for plot in make_result().plots)
    curve = lines.curves[0]
    assert curve.line.count("M") == 2
    assert curve.band.endswith("z")
    assert curve.dots[0][1] > curve.dots[1][1]
    left, right = bars.chart.x.begin, bars.chart.x.end
    assert all(left <= bar.x and bar.x + bar.width <= right + 0.1 for bar in bars.bars)
    assert bars.bars[0].height / bars.bars[1].height == pytest.approx(3 / 4, abs=0.01)


def test_data_id_follows_names_and_contents(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    files = [tmp_path / "b", tmp_path / "a"]
    first = data_id("set", files, tmp_path)
    assert first == data_id("set", reversed(files), tmp_path)
    assert first.count == 2
    (tmp_path / "a").write_text("changed")
    second = data_id("set", files, tmp_path)
    (tmp_path / "a").rename(tmp_path / "c")
    third = data_id("set", [tmp_path / "c", tmp_path / "b"], tmp_path)
    assert len({first.sha256, second.sha256, third.sha256}) == 3
    with pytest.raises(DataError, match="cannot be read"):
        data_id("set", [tmp_path / "none"], tmp_path)


def test_compare() -> None:
    """Differences with their direction; whatever else differs is said."""
    same = compare_results(make_result(), make_result())
    assert same.differences == []
    assert [row[4] for row in same.tables[0].rows] == ["equal", "equal"]
    found = compare_results(make_result(0.25), make_result(0.2, frames=4, seed=1))
    assert {entry[0] for entry in found.differences} == {"protocol frames", "seed"}
    assert found.notes == ["The two were measured by different protocols: the difference is not the models' alone."]
    assert [row[4] for row in found.tables[0].rows] == ["lower, measured differently", "equal, measured differently"]
    assert compare_results(make_result(0.25), make_result(0.2)).tables[0].rows[0][4] == "lower, intervals overlap"
    assert shown(found.tables[0].rows[0][3]) == "-5.0 %"
    unknown = compare_results(make_result(None), make_result(0.2))
    assert unknown.tables[0].rows[0][3:] == [None, ""]
    with pytest.raises(DataError, match="one task"):
        compare_results(make_result(), make_result(task="sync"))


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        (Metric(value=1.0, low=0.5, high=1.5), Metric(value=2.0, low=1.6, high=2.5), "better, intervals apart"),
        (Metric(value=2.0, low=1.6, high=2.5), Metric(value=1.0, low=0.5, high=1.5), "worse, intervals apart"),
        (Metric(value=1.0, low=0.5, high=1.5), Metric(value=2.0, low=1.5, high=2.5), "higher, intervals overlap"),
        (Metric(value=2.0), Metric(value=1.0, low=0.5, high=1.5), "lower"),
        (Metric(value=1.0, better="lower"), Metric(value=2.0, better="lower"), "higher"),
        (
            Metric(value=1.0, low=0.5, high=1.5, better="lower"),
            Metric(value=2.0, low=1.6, high=2.5, better="lower"),
            "worse, intervals apart",
        ),
        (
            Metric(value=1.0, low=0.5, high=1.5, better=""),
            Metric(value=2.0, low=1.6, high=2.5, better=""),
            "higher, intervals apart",
        ),
    ],
)
def test_verdicts(a: Metric, b: Metric, verdict: str) -> None:
    """Better and worse only where the intervals lie apart."""
    first, second = (make_result().model_copy(update={"metrics": {"m": metric}}) for metric in (a, b))
    assert compare_results(first, second).tables[0].rows[0][4] == verdict


def test_compare_tells_what_was_left_out() -> None:
    """Other clips or other numbers of them are said; the same clips below other folders are the same."""
    first = make_result().model_copy(update={"rejects": {"/here/a.mp4": "broken", "/here/b.mp4": "broken"}})
    moved = first.model_copy(update={"rejects": {"/there/a.mp4": "broken", "/there/b.mp4": "broken"}})
    assert compare_results(first, moved).differences == []
    other = first.model_copy(update={"rejects": {"/here/b.mp4": "broken", "/here/c.mp4": "short"}})
    found = compare_results(first, other)
    assert found.differences == [("rejects", "2, only here: a.mp4", "2, only here: c.mp4")]
    assert found.tables[1].rows == [["rejects", "2, only here: a.mp4", "2, only here: c.mp4"]]
    assert "different clips" in found.notes[0]
    fewer = {name: metric.model_copy(update={"count": 7}) for name, metric in first.metrics.items()}
    found = compare_results(first, first.model_copy(update={"metrics": fewer}))
    assert found.differences == [("count of r_at_1", "8", "7"), ("count of rank", "None", "7")]
    assert "different numbers of clips" in found.notes[0]


def test_compare_command(tmp_path: Path) -> None:
    for name, value in (("a", 0.25), ("b", 0.31)):
        make_result(value).write(tmp_path / f"{name}.json")
    done = CliRunner().invoke(main, ["eval", "compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert done.exit_code == 0
    assert "higher, intervals overlap" in done.output.replace("\n", " ")
    (tmp_path / "b.json").write_text("{}")
    done = CliRunner().invoke(main, ["eval", "compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert done.exit_code == 1
    assert done.output.startswith("error: ")
