"""The measurements of the whole picture's path as Markdown for the model card, from reports of `cavsync eval sync`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from face_card import control_table, table_head
from rounds import FIRST_STEPS, LEAST_GAIN, Progress
from steps import percent

from cavsync.data.synth import voices_sentence

Report = Mapping[str, Any]
FIGURES = {"within_40_ms": "40 ms", "within_100_ms": "100 ms", "decided": "decided", "right_among_decided": "right"}
HEAD = """\
Shares are in %, with 95 % intervals over groups of clips. Offsets (0, ±200 and ±400 ms; generated clips have their own,
within ±800 ms) were put into copies of the files by shifting timestamps, and the copies were scored as files, on the
whole picture alone. `40 ms` and `100 ms` are the shares of estimates with at most this error, decided or not.
`decided` is the share of files that are decided, and `right` the share of those within 120 ms. The last columns are
two-choice tests: which is in sync, the clip or the clip shifted by this much (either way)? `shipped-before` is the
bundle that came with the package before this one."""
GOALS = {"within_100_ms": ("within 100 ms", 0.5), "decided": ("decided", 0.25), "right_among_decided": ("right", 0.9)}
IMPACTS_GOAL = 0.6
BASELINE = "motion against loudness"


def measured(reports: Mapping[str, Report]) -> str:
    """Return the section on all tests."""
    lines = ["## Measured", HEAD, ""]
    for title, report in reports.items():
        for kind in report["kinds"]:
            lines += _kind_table(title, kind, report)
        lines += control_table(report)
    return "\n".join(lines)


def goals(name: str, report: Report) -> str:
    """Return the section on what the bundle `name` was to reach on real clips that no training saw, and did or not."""
    kinds = report["kinds"]
    found, impacts = (kinds[kind]["methods"][name]["raw"]["all"] for kind in ("all", "impact"))
    wanted = [(words, found[key], goal) for key, (words, goal) in GOALS.items()]
    wanted.insert(1, ("impacts within 100 ms", impacts["within_100_ms"], IMPACTS_GOAL))
    rows = [
        (words, f"at least {100 * goal:.0f}", percent(share), _verdict(share, goal)) for words, share, goal in wanted
    ]
    baseline = kinds["all"]["methods"][BASELINE]["raw"]["all"]["two_choice"]
    for shift, own in found["two_choice"].items():
        low, high = own["low"], baseline[shift]["high"]
        verdict = "missed" if low is None or high is None or low <= high else "reached"
        level = f"clearly above {percent(baseline[shift])}, the baseline"
        rows.append((f"two-choice, {float(shift):.0f} ms", level, percent(own), verdict))
    lines = [
        "## Goals",
        f"Shares in whole %, on the {kinds['all']['clips']} real clips of which no training saw any. The baseline is",
        f"{BASELINE}; clearly above it means that the intervals are apart.",
        "",
        *table_head("", "goal", "measured", ""),
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"What was tried is described in docs/explanation/measurements.md, under {name}.",
    ]
    return "\n".join(lines) + "\n"


def _verdict(share: Mapping[str, float | None], goal: float) -> str:
    mean = share["mean"]
    return "reached" if mean is not None and round(mean, 2) >= goal else "missed"


def made_with(name: str, progress: Progress, voices: Mapping[str, int] | None) -> str:
    """Return the section on how the bundle `name` was trained, with clips of these voices."""
    heard = "it was not noted which voices they have" if voices is None else voices_sentence(voices)
    lines = [
        "## Made with",
        f"`make {name} REAL=DATA` (models/train_whole_picture.py, models/footage.py, models/rounds.py), seed 0:",
        f"{progress.steps:,} steps in {progress.minutes:.0f} minutes, in rounds. The first has {FIRST_STEPS:,} steps,",
        "each further one makes the run half as long again, and training goes on while each lowers the loss on",
        f"held-out clips by more than {100 * LEAST_GAIN:.0f} %. It ended because {progress.why_ended()}.",
        f"Of the generated clips that it was trained on: {heard}.",
        "",
    ]
    if progress.rounds:
        lines += table_head("steps at the end of a round", "loss on held-out clips")
        lines += [f"| {each.steps:,} | {each.held_out_loss:.4f} |" for each in progress.rounds]
    return "\n".join(lines).rstrip() + "\n"


def footage(clips: Iterable[Mapping[str, str]]) -> str:
    """Return the section on the real clips that were trained on: rows of manifest.csv."""
    counts = Counter((clip["source"], clip["licence"]) for clip in clips)
    lines = [
        "## Footage",
        "Real clips used for training or calibration, besides generated ones, and the repositories that hold them:",
        "",
    ]
    lines += [*table_head("source", "clips", "terms")]
    lines += [f"| {source} | {count} | {terms} |" for (source, terms), count in sorted(counts.items())]
    return "\n".join(lines) + "\n"


def _kind_table(title: str, kind: str, report: Report) -> Iterator[str]:
    content = report["kinds"][kind]
    yield from (f"**{title}: {kind}**", "")
    heads = [*FIGURES.values(), "median error", *(f"{shift:.0f} ms" for shift in report["shifts_ms"])]
    yield from table_head(f"{content['clips']} clips", *heads)
    for method, ways in content["methods"].items():
        found = ways["raw"]["all"]
        median = found["median_error_ms"]["mean"]
        cells = [percent(found[key]) for key in FIGURES]
        cells += ["-" if median is None else f"{median:.0f} ms", *map(percent, found["two_choice"].values())]
        yield f"| {method} | {' | '.join(cells)} |"
    yield ""
