"""Retrieval: of all sounds, which belongs to these frames, and of all frames, which belong to this sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cavsync.evaluate.inputs.encoders import Encoder
from cavsync.evaluate.inputs.eval_clips import EvalClips
from cavsync.evaluate.results.provenance import provenance
from cavsync.evaluate.results.result import Cell, EvalResult, Metric, Plot, PlotCurve, Table
from cavsync.evaluate.retrieval.embeddings import ClipEmbeddings
from cavsync.evaluate.retrieval.rank_metrics import RECALLS, expected_ranks, recall_curve, retrieval_metrics
from cavsync.evaluate.retrieval.similarity import SIMILARITIES, TIE_TOLERANCE, RankCounts, Similarity, rank_counts

DIRECTIONS = ("visual to audio", "audio to visual")
# A curve of recall ends there, where users of a search have long stopped looking.
MAX_K = 100


def evaluate_retrieval(
    encoder: Encoder,
    clips: EvalClips,
    found: ClipEmbeddings,
    *,
    kinds: Sequence[Similarity] = SIMILARITIES,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> EvalResult:
    """Ranks in both directions by each kind of similarity; `progress(kind, done, total)` counts blocks.

    Protocol of CAV-MAE and CAV-MAE Sync (arXiv 2210.07839 and 2505.01237): every clip is a query and every clip is in
    the gallery; ties count by the mean over their orders. Raises DataError for embeddings that are not finite.
    """
    counts: dict[tuple[str, str], RankCounts] = {}
    for kind in kinds:

        def report(done: int, total: int, kind: str = kind) -> None:
            progress(kind, done, total)

        both = rank_counts(found.visual, found.audio, kind, progress=report)
        counts |= {(kind, direction): part for direction, part in zip(DIRECTIONS, both, strict=True)}
    metrics = {key: retrieval_metrics(part, seed) for key, part in counts.items()}
    copies = duplicates(found)
    size = len(found.names)
    return EvalResult(
        task="retrieval",
        protocol={
            "gallery": size,
            "selection": clips.selection,
            "frames_per_clip": clips.frames,
            "frame_times": "i / n of the clip, or the list's own frames",
            "segments": "centred on their frame, pushed inside the audio, zero-padded where it is shorter",
            "similarities": list(kinds),
            "ties": f"mean over all orders of what differs by {TIE_TOLERANCE:g} or less",
            "intervals": "95 %, bootstrap over the queries",
        },
        metrics={
            _key(direction, kind, name): metric
            for (kind, direction), values in metrics.items()
            for name, metric in values.items()
        }
        | {"clips_with_copies": Metric(value=_num_copied(copies), better="")},
        provenance=provenance(models=[encoder.id], data=[clips.data], seed=seed, device=encoder.device),
        tables=[_table(direction, size, metrics) for direction in DIRECTIONS],
        plots=[_plot(direction, size, counts) for direction in DIRECTIONS],
        rejects=clips.rejects | found.rejects,
        notes=_notes(copies, found, clips),
        rows={
            "clips": list(found.names),
            "duplicates": [{"same": group.same, "clips": list(group.clips)} for group in copies],
            "expected_rank": {
                _key(direction, kind): [float(rank) for rank in expected_ranks(part)]
                for (kind, direction), part in counts.items()
            },
        },
    )


def _key(*parts: str) -> str:
    """Name of a metric: `visual_to_audio.diagonal_mean.r_at_1`."""
    return ".".join(part.replace(" ", "_").replace("-", "_") for part in parts)


@dataclass(frozen=True)
class Copies:
    """Clips that are each other's wrong answer and yet right: their name, frames or audio is the same."""

    same: str
    clips: list[str]


def duplicates(found: ClipEmbeddings) -> list[Copies]:
    """Groups of clips with the same name, or whose encoders are given the same bytes of frames or audio."""
    groups = []
    for same, values in (("name", found.names), ("pictures", found.picture_sha256), ("sound", found.sound_sha256)):
        places: dict[str, list[str]] = {}
        for name, value in zip(found.names, values, strict=True):
            places.setdefault(value, []).append(name)
        groups += [Copies(same, names) for names in places.values() if len(names) > 1]
    return groups


def _num_copied(copies: Sequence[Copies]) -> int:
    return len({name for group in copies for name in group.clips})


def _table(direction: str, size: int, metrics: dict[tuple[str, str], dict[str, Metric]]) -> Table:
    recalls = [f"r_at_{k}" for k in RECALLS]
    rows: list[list[Cell]] = [
        [kind, *(values[name] for name in recalls), values["median_rank"], values["tied"]]
        for (kind, way), values in metrics.items()
        if way == direction
    ]
    chance = [Metric(value=min(1.0, k / size), unit="share") for k in RECALLS]
    rows.append(["chance", *chance, Metric(value=(size + 1) / 2), None])
    return Table(
        title=f"{direction}, {size} clips",
        columns=["similarity", *(f"R@{k}" for k in RECALLS), "median rank", "tied queries"],
        rows=rows,
    )


def _plot(direction: str, size: int, counts: dict[tuple[str, str], RankCounts]) -> Plot:
    curves = []
    for (kind, way), part in counts.items():
        if way == direction:
            ks, shares = recall_curve(part, min(size, MAX_K))
            curves.append(PlotCurve(label=kind, x=ks, y=list(shares)))
    last = min(size, MAX_K)
    return Plot(
        title=f"Recall, {direction} (dashed: chance)",
        x_label="k",
        y_label="share of queries answered among the first k",
        curves=curves,
        x_range=(1.0, float(max(last, 2))),
        y_range=(0.0, 1.0),
        reference=((1.0, 1 / size), (float(max(last, 2)), min(1.0, last / size))),
    )


def _notes(copies: Sequence[Copies], found: ClipEmbeddings, clips: EvalClips) -> list[str]:
    notes = list(clips.notes)
    if copies:
        first = copies[0]
        notes.append(
            f"{_num_copied(copies)} clips have a copy in the gallery (the same {first.same}: "
            f"{' and '.join(first.clips[:2])}), so a right answer may count as wrong."
        )
    lost = len(clips.rejects | found.rejects)
    if lost:
        notes.append(f"{lost} rejects are left out: a smaller gallery makes an easier task than the whole set.")
    if clips.frames == 1:
        notes.append("With one frame per clip all similarities are the same.")
    return notes
