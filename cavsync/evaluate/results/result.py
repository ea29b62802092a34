"""The result of an evaluation: metrics, protocol, data, model and versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from cavsync.atomic import write_text_atomically
from cavsync.errors import DataError
from cavsync.records import problem

Unit = Literal["", "share", "ms", "dB"]
Better = Literal["higher", "lower", ""]


class _ResultModel(BaseModel):
    """Immutable; unknown entries and numbers that are not finite are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Metric(_ResultModel):
    """One number, with its interval if there is one; None if it could not be measured.

    unit: "share" is a number in 0..1 that is shown in percent. better: "higher" or "lower", "" if neither.
    count: number of clips, queries or images that it is computed from.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    unit: Unit = ""
    better: Better = "higher"
    count: int | None = None


Cell = str | int | float | None | Metric


class Table(_ResultModel):
    """Rows of cells under `columns`; texts are left-aligned, numbers and metrics are right-aligned."""

    title: str
    columns: list[str]
    rows: list[list[Cell]]


class PlotCurve(_ResultModel):
    """A line of a plot; a y of None interrupts it. `low` and `high` are the ends of its band."""

    label: str
    x: list[float]
    y: list[float | None]
    low: list[float | None] | None = None
    high: list[float | None] | None = None


class Plot(_ResultModel):
    """Curves over common axes, or bars of the first curve; `x_range` and `y_range` override what the values span.

    reference: a dashed line to compare with, from (x, y) to (x, y).
    """

    title: str
    x_label: str
    y_label: str
    curves: list[PlotCurve]
    bars: bool = False
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    reference: tuple[tuple[float, float], tuple[float, float]] | None = None


class Picture(_ResultModel):
    """An image or video file; `file` is relative to the folder of the JSON."""

    title: str
    file: str


class ModelId(_ResultModel):
    """The weights that were measured; `sha256` is of the checkpoint's file, or of a bundle's manifest."""

    name: str
    kind: Literal["run", "upstream", "bundle", "none"]
    sha256: str
    details: dict[str, JsonValue] = Field(default_factory=dict)


class DataId(_ResultModel):
    """The data that were measured on; `sha256` is over the names and contents of the clips."""

    name: str
    sha256: str
    count: int


class Provenance(_ResultModel):
    """Everything that another machine needs to repeat the numbers; see `cavsync.evaluate.results.provenance`."""

    models: list[ModelId]
    data: list[DataId]
    versions: dict[str, str]
    decoders: dict[str, str]
    seed: int | None
    device: str


class EvalResult(_ResultModel):
    """One evaluation. `metrics` are flat and by name, for `cavsync eval compare`; `tables` are for reading.

    protocol: every choice that changes the numbers, as plain JSON values. rejects: clip -> why it was left out.
    notes: sentences that a reader of the numbers must know.
    """

    task: str
    protocol: dict[str, JsonValue]
    metrics: dict[str, Metric]
    provenance: Provenance
    tables: list[Table] = Field(default_factory=list)
    plots: list[Plot] = Field(default_factory=list)
    pictures: list[Picture] = Field(default_factory=list)
    rejects: dict[str, str] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    rows: dict[str, JsonValue] = Field(default_factory=dict)
    """Per-clip or per-class values by name, for other programs."""
    format: Literal[1] = 1

    def write(self, path: Path | str) -> None:
        """Write strict JSON atomically. ConfigError where the folder is missing or not writable."""
        write_text_atomically(path, json.dumps(self.model_dump(mode="json"), indent=1, allow_nan=False) + "\n")


def read_result(path: Path | str) -> EvalResult:
    """Read a result. DataError where the file is missing, damaged or of another format."""
    try:
        content: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        return EvalResult.model_validate(content)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): give a JSON that `cavsync eval` wrote") from None
    except ValidationError as error:
        raise DataError(
            f"{path} is not a result of format 1, it {problem(error)}: give a JSON that `cavsync eval` wrote"
        ) from None
    except (ValueError, RecursionError):
        raise DataError(f"{path} is not valid JSON: give a JSON that `cavsync eval` wrote") from None


def shown(value: Cell) -> str:
    """A cell as text: shares in percent, intervals in brackets, a dash for unknown values."""
    if isinstance(value, Metric):
        return _shown_metric(value)
    if value is None:
        return "-"
    return value if isinstance(value, str) else _number(value)


def _shown_metric(metric: Metric) -> str:
    if metric.value is None:
        return "-"
    factor, unit = (100.0, " %") if metric.unit == "share" else (1.0, f" {metric.unit}" if metric.unit else "")
    digits, ends = (_number, _number) if metric.unit != "share" else ("{:.1f}".format, "{:.0f}".format)
    interval = ""
    if metric.low is not None and metric.high is not None:
        # Between numbers that may be negative, a dash would read as a sign.
        between = "-" if metric.low >= 0 else " to "
        interval = f" ({ends(factor * metric.low)}{between}{ends(factor * metric.high)})"
    return f"{digits(factor * metric.value)}{unit}{interval}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
