"""Two results of one task side by side, with everything in which they are not comparable."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from cavsync.errors import DataError
from cavsync.evaluate.result import Cell, EvalResult, Metric, Table


@dataclass(frozen=True)
class Comparison:
    """`differences` (what, in A, in B) of protocol, data and provenance; `tables` for reading; `notes` to heed."""

    differences: list[tuple[str, str, str]]
    tables: list[Table]
    notes: list[str]


def compare_results(a: EvalResult, b: EvalResult) -> Comparison:
    """Every metric that either result has, with the difference B - A. DataError for results of different tasks."""
    if a.task != b.task:
        raise DataError(f"The results are of {a.task} and of {b.task}, expected one task: compare like with like.")
    protocol = _differences("protocol", a.protocol, b.protocol)
    data = [("data", _ids(a), _ids(b))] if _ids(a) != _ids(b) else []
    rest = [
        *_differences("model", _models(a), _models(b)),
        *_differences("version", {**a.provenance.versions}, {**b.provenance.versions}),
        *_differences("decoder", {**a.provenance.decoders}, {**b.provenance.decoders}),
        *_differences("", {"seed": a.provenance.seed}, {"seed": b.provenance.seed}),
        *_differences("", {"device": a.provenance.device}, {"device": b.provenance.device}),
    ]
    notes = []
    if data:
        notes.append("The two were measured on different data: the difference is not the models' alone.")
    if protocol:
        notes.append("The two were measured by different protocols: the difference is not the models' alone.")
    rows = [_row(name, a.metrics.get(name), b.metrics.get(name)) for name in {**a.metrics, **b.metrics}]
    tables = [Table(title=a.task, columns=["metric", "A", "B", "B - A", "verdict"], rows=rows)]
    found = [*data, *protocol, *rest]
    if found:
        cells: list[list[Cell]] = [list(entry) for entry in found]
        tables.append(Table(title="what differs", columns=["what", "A", "B"], rows=cells))
    return Comparison(found, tables, notes)


def _row(name: str, a: Metric | None, b: Metric | None) -> list[Cell]:
    if a is None or b is None or a.value is None or b.value is None:
        return [name, a, b, None, ""]
    # Rounding noise of a subtraction is no difference.
    difference = round(b.value - a.value, 12)
    shown = Metric(value=difference, unit=a.unit)
    return [name, a, b, shown, _verdict(a, b, difference)]


def _verdict(a: Metric, b: Metric, difference: float) -> str:
    """Better or worse, and whether the intervals lie apart; overlapping ones may still hide a difference."""
    if difference == 0 or not a.better:
        return "equal" if difference == 0 else ""
    word = "better" if (difference > 0) == (a.better == "higher") else "worse"
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return word
    return f"{word}, intervals {'overlap' if a.low <= b.high and b.low <= a.high else 'apart'}"


def _differences(what: str, a: dict[str, JsonValue], b: dict[str, JsonValue]) -> list[tuple[str, str, str]]:
    return [
        (f"{what} {name}".strip(), _text(a, name), _text(b, name))
        for name in {**a, **b}
        if name not in a or name not in b or a[name] != b[name]
    ]


def _text(values: dict[str, JsonValue], name: str) -> str:
    return str(values[name]) if name in values else "-"


def _ids(result: EvalResult) -> str:
    return ", ".join(f"{data.name} ({data.count} files, {data.sha256[:12]})" for data in result.provenance.data)


def _models(result: EvalResult) -> dict[str, JsonValue]:
    return {str(place): f"{model.name} ({model.sha256[:12]})" for place, model in enumerate(result.provenance.models)}
