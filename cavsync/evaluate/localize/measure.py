"""Sound-prompted localisation: heat maps of a model, compared with where the sounding objects are.

Beside the model stand the same pictures with the sound of another clip (what the pictures alone give away), a centre
prior and a random heat map.
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

MODEL, OTHER_SOUND, CENTRE, RANDOM = "model", "another clip's sound", "centre prior", "random"
METHODS = (MODEL, OTHER_SOUND, CENTRE, RANDOM)

FloatArray = NDArray[np.float32]
Progress = Callable[[int, int], None]
CaseSink = Callable[[LocalizationCase, FloatArray], None]


@dataclass(frozen=True)
class Question:
    """A case with what the encoder makes of it: `sounds` (K, D) and `patches` (N, D)."""

    case: LocalizationCase
    audio: FloatArray
    patches: FloatArray


@dataclass
class LocalizationScores:
    """Per class and method average precision and best IoU, per question and method cIoU (pictures with an object only).

    `questions` are (name, class), whose places are the keys of `ciou`: names may recur. `pictures` and `object_share`
    (of the pixels) are per class; `without_object` lists classes no picture of which shows a pixel of the object, which
    have no scores.
    """

    average_precision: dict[str, dict[str, float]] = field(default_factory=dict)
    iou: dict[str, dict[str, float]] = field(default_factory=dict)
    ciou: dict[int, dict[str, float]] = field(default_factory=dict)
    questions: list[tuple[str, str]] = field(default_factory=list)
    pictures: dict[str, int] = field(default_factory=dict)
    object_share: dict[str, float] = field(default_factory=dict)
    without_object: list[str] = field(default_factory=list)
    rejects: dict[str, str] = field(default_factory=dict)


def localize(
    encoder: Encoder,
    data: LocalizationSet,
    *,
    seed: int = 0,
    progress: Progress = lambda *_: None,
    on_case: CaseSink = lambda *_: None,
) -> LocalizationScores:
    """Ask every question of a set; `progress(done, total)` counts sources, `on_case(case, heat)` sees each heat map of
    the model, (rows, columns).

    Sources are read in an order drawn from `seed`; the other sound of a picture is that of the source before.
    Raises DataError where fewer than two sources can be used.
    """
    random = np.random.default_rng(seed)
    tally = Tally(encoder.visual_grid, random)
    rejects: dict[str, str] = {}
    first: list[Question] | None = None
    other: FloatArray | None = None
    for questions in _questions(encoder, data, random.permutation(len(data.sources)).tolist(), rejects, progress):
        for question in questions:
            on_case(question.case, cosine_heat(question.audio, question.patches, encoder.visual_grid))
            if other is not None:
                tally.add(question, other)
        first = first or questions
        other = questions[-1].audio
    if first is None or other is None or other is first[-1].audio:
        why = next(iter(rejects.values()), "its clips leave nothing to ask")
        raise DataError(f"{data.name} has fewer than two clips to ask about, expected more: {why}")
    for question in first:
        tally.add(question, other)
    return replace(tally.scores(), rejects=rejects)


def _questions(
    encoder: Encoder, data: LocalizationSet, order: list[int], rejects: dict[str, str], progress: Progress
) -> Iterator[list[Question]]:
    """The questions of each source that has any, embedded."""
    for done, index in enumerate(order, start=1):
        try:
            cases = data.load(index, encoder)
        except MediaError as error:
            rejects[data.sources[index]] = str(error)
        else:
            if cases:
                yield [_embed(encoder, case) for case in cases]
        progress(done, len(order))


def _embed(encoder: Encoder, case: LocalizationCase) -> Question:
    audio = encoder.embed_audio(case.segments).pooled
    return Question(case, audio, encoder.embed_frames(case.tubelet[None]).patches[0])


class Tally:
    """Collects heat maps: those of a class are scored together, so they are kept small until then."""

    def __init__(self, grid: tuple[int, int], random: np.random.Generator) -> None:
        self._grid, self._random = grid, random
        self._masks: dict[str, list[NDArray[np.uint8]]] = {}
        self._heats: dict[str, dict[str, list[FloatArray]]] = {}
        self._ciou: dict[int, dict[str, float]] = {}
        self._questions: list[tuple[str, str]] = []

    def add(self, question: Question, other_sounds: FloatArray) -> None:
        """Take one picture; cIoU is computed at once."""
        case, patches = question.case, question.patches
        heats = {
            MODEL: cosine_heat(question.audio, patches, self._grid),
            OTHER_SOUND: cosine_heat(other_sounds, patches, self._grid),
            CENTRE: centre_heat(self._grid),
            RANDOM: random_heat(self._random, self._grid),
        }
        kept = self._heats.setdefault(case.category, {method: [] for method in METHODS})
        for method, heat in heats.items():
            kept[method].append(heat)
        self._masks.setdefault(case.category, []).append(np.packbits(case.mask))
        if case.target.any():
            self._ciou[len(self._questions)] = {
                method: consensus_iou(above_median(_full(heat)), case.target) for method, heat in heats.items()
            }
        self._questions.append((case.name, case.category))

    def scores(self) -> LocalizationScores:
        """Scores of everything that was added."""
        result = LocalizationScores(ciou=self._ciou, questions=self._questions)
        for category, packed in sorted(self._masks.items()):
            mask = np.unpackbits(np.stack(packed), axis=1).astype(bool)
            result.pictures[category] = len(packed)
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
