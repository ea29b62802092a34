"""The result of retrieval: recall and rank in both directions by each kind of similarity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cavsync.evaluate.inputs.encoders import Encoder
from cavsync.evaluate.inputs.eval_clips import EvalClips, channels_in_words, segments_in_words
from cavsync.evaluate.results.provenance import provenance
from cavsync.evaluate.results.result import Cell, EvalResult, Metric, Plot, PlotCurve, Table
from cavsync.evaluate.retrieval.embeddings import ClipEmbeddings
from cavsync.evaluate.retrieval.measure import DIRECTIONS, RankTable
from cavsync.evaluate.retrieval.metrics import RECALLS, expected_ranks, recall_curve, retrieval_metrics
from cavsync.evaluate.retrieval.similarity import TIE_TOLERANCE, Similarity

# Largest k of the recall curve: users of a search look no further.
MAX_K = 100

Metrics = dict[tuple[Similarity, str], dict[str, Metric]]


def retrieval_result(
    encoder: Encoder, clips: EvalClips, embeddings: ClipEmbeddings, ranks: RankTable, *, seed: int = 0
) -> EvalResult:
    """Make the result: metrics `DIRECTION.SIMILARITY.NAME` with intervals, a table and a plot of recall per direction.

    Protocol of CAV-MAE and CAV-MAE Sync (arXiv 2210.07839 and 2505.01237): every clip is a query and every clip is in
    the gallery; ties count by the mean over their orders.
    """
    metrics = {key: retrieval_metrics(counts, seed) for key, counts in ranks.items()}
    copies = find_copies(embeddings)
    size = len(embeddings.names)
    return EvalResult(
        task="retrieval",
        protocol={
            "gallery": size,
            "selection": clips.selection,
            "frames_per_clip": clips.frames,
            "frame_times": "i / n of the clip, or the list's own frames",
            "segments": segments_in_words(clips.segments, clips.frames),
            "channels": channels_in_words(clips.source.channels),
            "joint_blocks_chained": encoder.joint_blocks_chained,
            "similarities": list(dict.fromkeys(kind for kind, _ in ranks)),
            "ties": f"mean over all orders of items that differ by {TIE_TOLERANCE:g} or less",
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
        plots=[_plot(direction, size, ranks) for direction in DIRECTIONS],
        rejects=clips.rejects | embeddings.rejects,
        notes=_notes(copies, embeddings, clips),
        rows={
            "clips": list(embeddings.names),
            "duplicates": [{"same": group.same, "clips": list(group.clips)} for group in copies],
            "expected_rank": {
                _key(direction, kind): [float(rank) for rank in expected_ranks(counts)]
                for (kind, direction), counts in ranks.items()
            },
        },
    )


def _key(*parts: str) -> str:
    """Return the name of a metric, such as `visual_to_audio.diagonal_mean.r_at_1`."""
    return ".".join(part.replace(" ", "_").replace("-", "_") for part in parts)


@dataclass(frozen=True)
class Copies:
    """Clips with the same name, frames or audio (`same`); each duplicate is a correct answer that counts as wrong."""

    same: str
    clips: list[str]


def find_copies(embeddings: ClipEmbeddings) -> list[Copies]:
    """Return the groups of clips with the same name, or with the same bytes of frames or audio as an encoder's
    input."""
    groups = []
    identities = (
        ("name", embeddings.names),
        ("frames", embeddings.frames_sha256),
        ("audio", embeddings.audio_sha256),
    )
    for same, values in identities:
        places: dict[str, list[str]] = {}
        for name, value in zip(embeddings.names, values, strict=True):
            places.setdefault(value, []).append(name)
        groups += [Copies(same, names) for names in places.values() if len(names) > 1]
    return groups


def _num_copied(copies: Sequence[Copies]) -> int:
    return len({name for group in copies for name in group.clips})


def _table(direction: str, size: int, metrics: Metrics) -> Table:
    recalls = [f"r_at_{k}" for k in RECALLS]
    rows: list[list[Cell]] = [
        [kind, *(values[name] for name in recalls), values["median_rank"], values["tied"]]
        for (kind, other), values in metrics.items()
        if other == direction
    ]
    chance = [Metric(value=min(1.0, k / size), unit="share") for k in RECALLS]
    rows.append(["chance", *chance, Metric(value=(size + 1) / 2), None])
    return Table(
        title=f"{direction}, {size} clips",
        columns=["similarity", *(f"R@{k}" for k in RECALLS), "median rank", "tied queries"],
        rows=rows,
    )


def _plot(direction: str, size: int, ranks: RankTable) -> Plot:
    curves = []
    for (kind, other), counts in ranks.items():
        if other == direction:
            ks, shares = recall_curve(counts, min(size, MAX_K))
            curves.append(PlotCurve(label=kind, x=ks, y=list(shares)))
    last = min(size, MAX_K)
    return Plot(
        title=f"Recall, {direction} (dashed: chance)",
        x_label="k",
        y_label="share of queries with the right item among the first k",
        curves=curves,
        x_range=(1.0, float(max(last, 2))),
        y_range=(0.0, 1.0),
        reference=((1.0, 1 / size), (float(max(last, 2)), min(1.0, last / size))),
    )


def _notes(copies: Sequence[Copies], embeddings: ClipEmbeddings, clips: EvalClips) -> list[str]:
    notes = list(clips.notes)
    if copies:
        first = copies[0]
        notes.append(
            f"{_num_copied(copies)} clips have a copy in the gallery (same {first.same}: "
            f"{' and '.join(first.clips[:2])}), so a right answer may count as wrong."
        )
    rejected = len(clips.rejects | embeddings.rejects)
    if rejected:
        notes.append(f"{rejected} rejects are left out: a smaller gallery makes the task easier than the whole set.")
    if clips.frames == 1:
        notes.append("With one frame per clip all similarities are the same.")
    return notes
