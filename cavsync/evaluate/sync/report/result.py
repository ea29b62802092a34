"""The result of a sync test: metrics by name, tables, plots, notes and every trial."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import JsonValue

from cavsync.evaluate.results.result import EvalResult, Metric, Provenance, Table
from cavsync.evaluate.sync.judges import Answer
from cavsync.evaluate.sync.measure import SyncTrials
from cavsync.evaluate.sync.report.cells import calibration_error, milliseconds, share
from cavsync.evaluate.sync.report.class_metrics import absolute_figures, class_figures
from cavsync.evaluate.sync.report.control_metrics import variant_figures, wrong_sound_figures
from cavsync.evaluate.sync.report.generation_metrics import (
    generation_figures,
    generation_metrics,
    generation_rows,
    generation_tables,
)
from cavsync.evaluate.sync.report.metrics import ALL_KINDS, ALL_OFFSETS, sync_metrics
from cavsync.evaluate.sync.report.plots import sync_plots
from cavsync.evaluate.sync.report.tables import (
    FACE_SHARES,
    SHARES,
    absolute_table,
    class_table,
    offset_tables,
    source_table,
    variant_table,
    wrong_sound_table,
)

WAYS = {"raw": "", "without_source_offsets": "_without_source_offsets"}


def sync_result(result: SyncTrials, protocol: dict[str, JsonValue], provenance: Provenance) -> EvalResult:
    """Make the result: metrics `METHOD.NAME` over all clips and offsets, tables, plots, and every trial in `rows`."""
    report = sync_metrics(result)
    methods = report["kinds"][ALL_KINDS]["methods"]
    classes, control, variants = (
        figures(result.clips) for figures in (class_figures, wrong_sound_figures, variant_figures)
    )
    tables = [*offset_tables(report), source_table(report)]
    tables += _tables_of_tests(classes, control, variants)
    absolute = absolute_figures(result.clips)
    tables += [absolute_table(absolute)] if absolute else []
    generation = generation_figures(result)
    tables += generation_tables(generation)
    return EvalResult(
        task="sync",
        protocol=protocol,
        metrics=dict(
            [
                *_metrics(methods),
                *_metrics_of_tests(classes, control, variants),
                *_absolute_metrics(absolute),
                *((f"{_named(method)}.{name}", metric) for method, name, metric in generation_metrics(generation)),
            ]
        ),
        provenance=provenance,
        tables=tables,
        plots=sync_plots(result, {name: found["raw"][ALL_OFFSETS] for name, found in methods.items()}, control),
        rejects=result.rejects,
        notes=_notes(result, classes),
        rows={
            **report,
            "classes": classes,
            "wrong_sound": control,
            "variants": variants,
            "absolute_offsets": absolute,
            "generation": generation,
            "trials": _trials(result),
        },
    )


def _tables_of_tests(classes: dict[str, Any], control: dict[str, Any], variants: dict[str, Any]) -> Iterator[Table]:
    if classes:
        yield class_table(classes)
    if control:
        yield wrong_sound_table(control)
    if variants:
        yield variant_table(variants)


def _named(method: str) -> str:
    return method.replace(".", "_").replace(", ", "_").replace(" ", "_")


def _metrics(methods: dict[str, Any]) -> Iterator[tuple[str, Metric]]:
    for method, ways in methods.items():
        for way, ending in WAYS.items():
            found, name = ways[way][ALL_OFFSETS], f"{_named(method)}."
            for key in SHARES:
                yield f"{name}{key}{ending}", share(found[key])
            yield f"{name}median_error_ms{ending}", milliseconds(found["median_error_ms"])
            for shift, figure in found["two_choice"].items():
                yield f"{name}two_choice_{shift}_ms{ending}", share(figure)
            yield f"{name}calibration_error{ending}", calibration_error(found)
        for key in FACE_SHARES:
            yield f"{_named(method)}.{key}", share(ways["raw"][ALL_OFFSETS][key], "")


def _metrics_of_tests(
    classes: dict[str, Any], control: dict[str, Any], variants: dict[str, Any]
) -> Iterator[tuple[str, Metric]]:
    for method, found in classes.items():
        for key, figure in found.items():
            yield f"{_named(method)}.21_classes_{key}", share(figure)
    for method, found in control.items():
        yield f"{_named(method)}.wrong_sound_decided", share(found["decided"], "lower")
    for method, names in variants.items():
        for variant, found in names.items():
            name = f"{_named(method)}.{variant}"
            yield f"{name}_p95_movement_ms", milliseconds(found["p95_movement_ms"])
            yield f"{name}_became_undetermined", share(found["became_undetermined"], "lower")
            yield f"{name}_moved", share(found["moved"], "lower")


def _absolute_metrics(absolute: dict[str, Any]) -> Iterator[tuple[str, Metric]]:
    for method, found in absolute.items():
        name = f"{_named(method)}.abs_offset"
        yield f"{name}_seconds", share(found["seconds"], "lower", "")
        yield f"{name}_at_zero", share(found["at_zero"])
        yield f"{name}_within_1_class", share(found["within_1"])
        yield f"{name}_no_evidence", share(found["no_evidence"], "lower")


def _notes(result: SyncTrials, classes: dict[str, Any]) -> list[str]:
    notes = []
    if result.stopped is not None:
        notes.append(f"The test was interrupted: these are the figures of the first {len(result.clips)} clips.")
    # The number is the same for all methods, because only classes that all of them can search for count.
    tested = min((found["accuracy"]["clips"] for found in classes.values()), default=len(result.clips))
    if tested < len(result.clips):
        notes.append(f"{tested} of {len(result.clips)} clips are long enough for the 21 classes.")
    return notes


def _trials(result: SyncTrials) -> list[JsonValue]:
    """Return every answer as JSON values: `test` is "offset", "wrong sound" or the name of a variant."""
    rows: list[JsonValue] = []
    for clip in result.clips:
        case = clip.case
        about: dict[str, JsonValue] = {
            "clip": case.name, "kind": case.kind, "source": case.source, "group": case.group
        }  # fmt: skip
        for method, absolute in clip.absolute.items():
            windows: dict[str, JsonValue] = {"first_class": absolute.first, "last_class": absolute.last}
            seconds: dict[str, JsonValue] = {"abs_offset_seconds": absolute.seconds}
            rows.append({**about, "method": method, "test": "absolute offset", **windows, **seconds})
        rows += [{**about, **found} for found in generation_rows(clip)]
        for method, trials in clip.trials.items():
            for trial in trials:
                offsets: dict[str, JsonValue] = {"injected_ms": trial.injected_ms, "offset_ms": trial.offset_ms}
                rows.append({**about, "method": method, "test": "offset", **offsets, **_answer(trial.answer)})
        for name, answers in clip.variants.items():
            for method, answer in answers.items():
                offset = {"offset_ms": case.true_offset_ms}
                rows.append({**about, "method": method, "test": name or "unchanged", **offset, **_answer(answer)})
        if clip.swapped is not None:
            sound: dict[str, JsonValue] = {"sound": clip.swapped.sound, "sound_is_shorter": clip.swapped.is_shorter}
            for method, answer in clip.swapped.answers.items():
                rows.append({**about, "method": method, "test": "wrong sound", **sound, **_answer(answer)})
    return rows


def _answer(answer: Answer) -> dict[str, JsonValue]:
    return {
        "estimate_ms": answer.estimate_ms,
        "decided": answer.decided,
        "confidence": answer.confidence,
        "path": answer.path,
        "has_face": answer.has_face,
    }
