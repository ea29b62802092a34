"""Two results of one task side by side, with every difference that makes them incomparable."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from cavsync.errors import DataError
from cavsync.evaluate.results.result import Cell, EvalResult, Metric, Table

# Most rejects to name.
MAX_NAMES = 3


@dataclass(frozen=True)
class Comparison:
    """`differences` (what, in A, in B) of protocol, data, rejects and provenance; `tables` to read; `notes` on
    them."""

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
    rejects, counts = _rejects(a, b), _counts(a, b)
    notes = []
    if data:
        notes.append("The two were measured on different data: the difference is not the models' alone.")
    if protocol:
        notes.append("The two were measured by different protocols: the difference is not the models' alone.")
    if rejects:
        notes.append("The two left out different clips: what one could not use may have been hard for the other.")
    if counts:
        notes.append("Some metrics are over different numbers of clips: the two answered different questions.")
    is_alike = not (data or protocol)
    rows = [
        _row(name, a.metrics.get(name), b.metrics.get(name), is_alike=is_alike) for name in {**a.metrics, **b.metrics}
    ]
    tables = [Table(title=a.task, columns=["metric", "A", "B", "B - A", "verdict"], rows=rows)]
    found = [*data, *protocol, *rejects, *counts, *rest]
    if found:
        cells: list[list[Cell]] = [list(entry) for entry in found]
        tables.append(Table(title="what differs", columns=["what", "A", "B"], rows=cells))
    return Comparison(found, tables, notes)


def _row(name: str, a: Metric | None, b: Metric | None, *, is_alike: bool) -> list[Cell]:
    if a is None or b is None or a.value is None or b.value is None:
        return [name, a, b, None, ""]
    # Rounding errors of a subtraction are not a difference.
    difference = round(b.value - a.value, 12)
    shown = Metric(value=difference, unit=a.unit)
    return [name, a, b, shown, _verdict(a, b, difference, is_alike=is_alike)]


def _verdict(a: Metric, b: Metric, difference: float, *, is_alike: bool) -> str:
    """Better or worse where the intervals are disjoint, else only higher or lower, as chance alone may explain it.

    Results that were measured on different data or by different protocols are neither better nor equal.
    """
    word = "higher" if difference > 0 else "lower" if difference < 0 else "equal"
    if not is_alike:
        return f"{word}, measured differently"
    if difference == 0:
        return word
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return word
    if a.low <= b.high and b.low <= a.high:
        return f"{word}, intervals overlap"
    if a.better:
        word = "better" if word == a.better else "worse"
    return f"{word}, intervals apart"


def _rejects(a: EvalResult, b: EvalResult) -> list[tuple[str, str, str]]:
    """Clips that only one result rejected, by the last part of their names, as folders differ between machines."""
    of_a, of_b = ({name.rpartition("/")[2] for name in result.rejects} for result in (a, b))
    if of_a == of_b and len(a.rejects) == len(b.rejects):
        return []
    return [("rejects", _listed(len(a.rejects), of_a - of_b), _listed(len(b.rejects), of_b - of_a))]


def _listed(count: int, alone: set[str]) -> str:
    shown = ", ".join(sorted(alone)[:MAX_NAMES]) + (" ..." if len(alone) > MAX_NAMES else "")
    return f"{count}, only here: {shown}" if alone else str(count)


def _counts(a: EvalResult, b: EvalResult) -> list[tuple[str, str, str]]:
    """Numbers of clips behind the metrics, where they differ: a row for all metrics with the same two."""
    names: dict[tuple[int | None, int | None], list[str]] = {}
    for name in (name for name in a.metrics if name in b.metrics):
        pair = (a.metrics[name].count, b.metrics[name].count)
        if pair[0] != pair[1]:
            names.setdefault(pair, []).append(name)
    return [
        (f"count of {found[0]}" + (f" and {len(found) - 1} more" if found[1:] else ""), str(in_a), str(in_b))
        for (in_a, in_b), found in names.items()
    ]


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
