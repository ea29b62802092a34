"""Localisation: a model's heat maps compared with the masks of the sounding objects.

The baselines are the same images with another clip's audio, which shows how much the images alone reveal, a centre
prior, and a random heat map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cavsync.errors import DataError, MediaError
from cavsync.evaluate.inputs.encoders import Encoder
from cavsync.evaluate.localize.case import TARGET_SIZE, LocalizationCase, LocalizationSet
from cavsync.evaluate.localize.heat_map import centre_heat, cosine_heat, random_heat, upsample
from cavsync.evaluate.localize.metrics import above_median, best_iou, consensus_iou, pixel_ranking

MODEL, OTHER_AUDIO, CENTRE, RANDOM = "model", "another clip's audio", "centre prior", "random"
METHODS = (MODEL, OTHER_AUDIO, CENTRE, RANDOM)

FloatArray = NDArray[np.float32]
Progress = Callable[[int, int], None]
CaseCallback = Callable[[LocalizationCase, FloatArray], None]


@dataclass(frozen=True)
class EmbeddedCase:
    """A case with its embeddings: `audio` (K, D), pooled, and the visual `patches` (N, D)."""

    case: LocalizationCase
    audio: FloatArray
    patches: FloatArray


@dataclass
class LocalizationScores:
    """Average precision and best IoU per class and method, and cIoU per case and method.

    cases: (name, class) of each; names may occur twice, so `ciou` is keyed by the index in this list; it lacks cases
    without an object. images, object_share: number of images and the object's share of the pixels, per class.
    without_object: classes without a pixel of the object in any image, which have no scores. rejects: source -> why it
    was left out.
    """

    average_precision: dict[str, dict[str, float]] = field(default_factory=dict)
    iou: dict[str, dict[str, float]] = field(default_factory=dict)
    ciou: dict[int, dict[str, float]] = field(default_factory=dict)
    cases: list[tuple[str, str]] = field(default_factory=list)
    images: dict[str, int] = field(default_factory=dict)
    object_share: dict[str, float] = field(default_factory=dict)
    without_object: list[str] = field(default_factory=list)
    rejects: dict[str, str] = field(default_factory=dict)


def localize(
    encoder: Encoder,
    data: LocalizationSet,
    *,
    seed: int = 0,
    progress: Progress = lambda *_: None,
    on_case: CaseCallback = lambda *_: None,
) -> LocalizationScores:
    """Score every case of a data set; `progress(done, total)` counts sources, `on_case(case, heat)` gets the model's
    heat map (rows, columns) of each case.

    Sources are loaded in an order drawn from `seed`; the other clip's audio is that of the previous source.
    Raises DataError if fewer than two sources can be used.
    """
    random = np.random.default_rng(seed)
    tally = Tally(encoder.visual_grid, random)
    rejects: dict[str, str] = {}
    first: list[EmbeddedCase] | None = None
    other: FloatArray | None = None
    for cases in _embedded_cases(encoder, data, random.permutation(len(data.sources)).tolist(), rejects, progress):
        for embedded in cases:
            on_case(embedded.case, cosine_heat(embedded.audio, embedded.patches, encoder.visual_grid))
            if other is not None:
                tally.add(embedded, other)
        first = first or cases
        other = cases[-1].audio
    if first is None or other is None or other is first[-1].audio:
        why = next(iter(rejects.values()), "no other clip has a sounding object")
        raise DataError(f"{data.name} needs at least two usable clips: {why}")
    for embedded in first:
        tally.add(embedded, other)
    return replace(tally.scores(), rejects=rejects)


def _embedded_cases(
    encoder: Encoder, data: LocalizationSet, order: list[int], rejects: dict[str, str], progress: Progress
) -> Iterator[list[EmbeddedCase]]:
    """Yield the cases of each source that has any, embedded; note unusable sources in `rejects`."""
    for done, index in enumerate(order, start=1):
        try:
            cases = data.load(index, encoder)
        except MediaError as error:
            rejects[data.sources[index]] = str(error)
        else:
            if cases:
                yield [_embed(encoder, case) for case in cases]
        progress(done, len(order))


def _embed(encoder: Encoder, case: LocalizationCase) -> EmbeddedCase:
    audio = encoder.embed_audio(case.segments).pooled
    return EmbeddedCase(case, audio, encoder.embed_frames(case.tubelet[None]).patches[0])


class Tally:
    """Collects heat maps, whose classes are scored together at the end; until then they are kept at patch
    resolution."""

    def __init__(self, grid: tuple[int, int], random: np.random.Generator) -> None:
        self._grid, self._random = grid, random
        self._masks: dict[str, list[NDArray[np.uint8]]] = {}
        self._heats: dict[str, dict[str, list[FloatArray]]] = {}
        self._ciou: dict[int, dict[str, float]] = {}
        self._cases: list[tuple[str, str]] = []

    def add(self, embedded: EmbeddedCase, other_audio: FloatArray) -> None:
        """Add one case and compute its cIoU. `other_audio` (K, D) is the pooled audio of another clip."""
        case, patches = embedded.case, embedded.patches
        heats = {
            MODEL: cosine_heat(embedded.audio, patches, self._grid),
            OTHER_AUDIO: cosine_heat(other_audio, patches, self._grid),
            CENTRE: centre_heat(self._grid),
            RANDOM: random_heat(self._random, self._grid),
        }
        kept = self._heats.setdefault(case.category, {method: [] for method in METHODS})
        for method, heat in heats.items():
            kept[method].append(heat)
        self._masks.setdefault(case.category, []).append(np.packbits(case.mask))
        if case.target.any():
            self._ciou[len(self._cases)] = {
                method: consensus_iou(above_median(_full(heat)), case.target) for method, heat in heats.items()
            }
        self._cases.append((case.name, case.category))

    def scores(self) -> LocalizationScores:
        """Return the scores of all cases."""
        result = LocalizationScores(ciou=self._ciou, cases=self._cases)
        for category, packed in sorted(self._masks.items()):
            mask = np.unpackbits(np.stack(packed), axis=1).astype(bool)
            result.images[category] = len(packed)
            result.object_share[category] = float(mask.mean())
            if not mask.any():
                result.without_object.append(category)
                continue
            precision, iou = result.average_precision.setdefault(category, {}), result.iou.setdefault(category, {})
            for method, heats in self._heats[category].items():
                ranking = pixel_ranking(np.stack([_full(heat).ravel() for heat in heats]), mask)
                precision[method] = float(ranking.average_precision())
                iou[method] = best_iou(ranking)
        return result


def _full(heat: FloatArray) -> FloatArray:
    return upsample(heat, TARGET_SIZE, TARGET_SIZE)
