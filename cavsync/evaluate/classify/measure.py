"""Run a classifier on labelled clips, averaging the probabilities of several frames of each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cavsync.data.batches import normalised_frames
from cavsync.data.logmel import normalise
from cavsync.data.sources.classes import ClipClasses, Target, unlabelled_error
from cavsync.data.sources.rejects import Rejects
from cavsync.errors import DataError, MediaError
from cavsync.evaluate.classify.classifier import OpenClassifier
from cavsync.evaluate.inputs.clip_inputs import ClipInputs, clip_inputs, load_ahead, plan_for_model
from cavsync.evaluate.inputs.clip_selection import clip_name
from cavsync.evaluate.inputs.eval_clips import EvalClips
from cavsync.evaluate.inputs.on_device import on_device
from cavsync.file_names import legible
from cavsync.model.classifier import AUDIO_MODES, CAVMAEFT, FRAME_MODES, Mode

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ClassificationScores:
    """The scores of the clips `names`, by mode: probabilities (clips, classes) float64; `targets` bool (clips,
    classes).

    labels_sha256: hash of the clips' names and classes. ignore_other_labels: whether labels outside the vocabulary were
    ignored. rejects: clip -> why it was left out.
    """

    target: Target
    names: list[str]
    scores: dict[Mode, FloatArray]
    targets: NDArray[np.bool_]
    labels_sha256: str
    ignore_other_labels: bool
    rejects: dict[str, str]


def classify(
    classifier: OpenClassifier,
    clips: EvalClips,
    modes: Sequence[Mode],
    *,
    target: Target | None = None,
    ignore_other_labels: bool = False,
    device: str = "cpu",
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ClassificationScores:
    """Score every labelled clip in each of the modes by the mean of the probabilities of `clips.frames` evenly spread
    frames, each with its segment of audio (CAV-MAE's frame aggregation).

    target: whether probabilities are a sigmoid per class (multi-label) or a softmax (single-label); by default the
    target of the training, else single-label if every clip has one class. Each clip is scored independently.
    `progress(done, total)` counts clips.

    Raises ConfigError for modes or devices that do not fit, DataError for labels that are not in the vocabulary, or
    if no clip can be used.
    """
    classifier.check_modes(modes)
    source, known = clips.source, target or classifier.target
    classes = ClipClasses.of(source, classifier.labels, known or "multi-label", ignore_other_labels=ignore_other_labels)
    is_exclusive = all(len(classes.of_clip[index]) <= 1 for index in clips.indices)
    wanted = known or ("single-label" if is_exclusive else "multi-label")
    rejects = Rejects()
    rejects.add_damage(source)
    for index in (index for index in clips.indices if not classes.of_clip[index]):
        rejects.add(source.names[index], unlabelled_error(source.names[index]))
    usable = [index for index in clips.indices if classes.of_clip[index]]
    model = on_device(classifier.model, device)
    plan = plan_for_model(model.config, clips.frames, clips.segments)

    def load(index: int) -> ClipInputs:
        return clip_inputs(source.load(index, classifier.model.config.img_size), plan)

    kept: list[int] = []
    scores: dict[Mode, list[Tensor]] = {mode: [] for mode in modes}
    for done, (index, inputs) in enumerate(load_ahead(usable, load, threads), start=1):
        if isinstance(inputs, MediaError):
            rejects.add(source.names[index], inputs)
        else:
            kept.append(index)
            for mode, part in _probabilities(model, inputs, modes, wanted).items():
                scores[mode].append(part)
        if progress is not None:
            progress(done, len(usable))
    if not kept:
        raise DataError(f"No clip of {clips.data.name} could be classified ({dict(rejects.reasons)}): see `data check`")
    names = [legible(source.names[index]) for index in kept]
    found = [classes.of_clip[index] for index in kept]
    return ClassificationScores(
        target=wanted,
        names=names,
        scores={mode: torch.stack(parts).numpy() for mode, parts in scores.items()},
        targets=(classes.targets([((index, 1.0),) for index in kept]) > 0).numpy(),
        labels_sha256=hashlib.sha256(
            repr([*zip((clip_name(name) for name in names), found, strict=True)]).encode()
        ).hexdigest(),
        ignore_other_labels=ignore_other_labels,
        rejects=dict(rejects.sentences),
    )


@torch.inference_mode()
def _probabilities(model: CAVMAEFT, inputs: ClipInputs, modes: Sequence[Mode], target: Target) -> dict[Mode, Tensor]:
    """Return the mean probabilities (classes,) over a clip's frames by mode, float64 on the CPU; a head on clips takes
    all frames together."""
    device = next(model.parameters()).device
    audio = normalise(torch.from_numpy(inputs.segments[inputs.segment_of]).to(device))
    frames = normalised_frames(torch.from_numpy(inputs.tubelets).to(device).permute(0, 1, 4, 2, 3))
    found: dict[Mode, Tensor] = {}
    for mode in modes:
        own = audio if mode in AUDIO_MODES else None, frames if mode in FRAME_MODES else None
        logits = model(*own, mode, len(frames) if model.takes_clips else 1).double().cpu()
        found[mode] = (logits.sigmoid() if target == "multi-label" else logits.softmax(dim=-1)).mean(dim=0)
    return found
