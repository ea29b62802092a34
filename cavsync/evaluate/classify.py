"""Run a classifier over labelled clips: several frames of each, their probabilities averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from cavsync.data.batches import PairBatch, PairDataset, collate
from cavsync.data.class_labels import ClipClasses, Target, unlabelled
from cavsync.data.sampling import SamplePlan
from cavsync.data.source import ClipSource, Rejects, open_source
from cavsync.errors import ConfigError, DataError
from cavsync.evaluate.classifier import OpenClassifier
from cavsync.model import ModelConfig
from cavsync.model.classifier import CAVMAEFT, PICTURE_MODES, SOUND_MODES, Mode

FRAMES_PER_CLIP = 10
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Classified:
    """`scores` by mode: probabilities (clips, classes) float64. `targets` bool (clips, classes). `names` (clips,)."""

    source: ClipSource
    target: Target
    names: list[str]
    scores: dict[Mode, FloatArray]
    targets: NDArray[np.bool_]
    frames_per_clip: int
    rejects: Rejects = field(default_factory=Rejects)


def classify(
    classifier: OpenClassifier,
    data: Path,
    modes: Sequence[Mode],
    *,
    frames: int = 10,
    target: Target | None = None,
    frames_per_clip: int | None = None,
    ignore_other_labels: bool = False,
    batch_clips: int = 8,
    device: str = "cpu",
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Classified:
    """Score every labelled clip of `data`, a source of clips as training reads it, in each of the modes.

    frames: instants per clip, spread evenly, each with its segment of sound; the mean of their probabilities is the
    clip's (frame aggregation). target: what the probabilities are, a sigmoid per class or a softmax; by default what
    the model was trained for, else single-label where every clip has one class. frames_per_clip: of a CAV-MAE list.
    A score does not depend on batch_clips.

    Raises ConfigError for modes that do not fit, DataError for labels that are not in the vocabulary, or where no clip
    can be used.
    """
    classifier.check_modes(modes)
    config = classifier.model.config
    listed = frames_per_clip or classifier.frames_per_clip or FRAMES_PER_CLIP
    source = open_source(data, frames_per_clip=listed, segment_frames=config.audio_length)
    wanted = target or classifier.target or "multi-label"
    classes = ClipClasses.of(source, classifier.labels, wanted, ignore_other_labels=ignore_other_labels)
    if target is None and classifier.target is None and all(len(found) <= 1 for found in classes.of_clip):
        wanted = "single-label"
    rejects = Rejects()
    rejects.add_damage(source)
    usable = _labelled(source, classes, rejects)
    loader = _loader(source, usable, config, frames, batch_clips, workers)
    model = _on(classifier.model, device)
    names: list[str] = []
    scores: dict[Mode, list[Tensor]] = {mode: [] for mode in modes}
    targets: list[Tensor] = []
    for number, batch in enumerate(loader):
        for reject in batch.rejects:
            rejects.add(reject.name, reject.error)
        if len(batch):
            names += batch.names
            targets.append(classes.targets(batch.contents) > 0)
            for mode, part in _probabilities(model, batch, modes, wanted, frames).items():
                scores[mode].append(part)
        if progress is not None:
            progress(min(len(usable), (number + 1) * batch_clips), len(usable))
    if not names:
        raise DataError(f"No clip of {data} could be classified ({dict(rejects.reasons)}): see `cavsync data check`")
    return Classified(
        source,
        wanted,
        names,
        {mode: torch.cat(parts).numpy() for mode, parts in scores.items()},
        torch.cat(targets).numpy(),
        listed,
        rejects,
    )


def _labelled(source: ClipSource, classes: ClipClasses, rejects: Rejects) -> list[int]:
    """The clips that have a class; the others are rejected."""
    for index in (index for index, found in enumerate(classes.of_clip) if not found):
        rejects.add(source.names[index], unlabelled(source.names[index]))
    return [index for index, found in enumerate(classes.of_clip) if found]


def _loader(
    source: ClipSource, usable: list[int], config: ModelConfig, frames: int, batch_clips: int, workers: int
) -> DataLoader[PairBatch]:
    plan = SamplePlan(
        config.audio_length, config.num_frames, config.frame_step_seconds, instants=frames, even=True, pad=True
    )
    dataset = PairDataset(source, plan, config.img_size)
    starts = range(0, len(usable), batch_clips)
    return DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_sampler=[[(index, 0) for index in usable[first : first + batch_clips]] for first in starts],
        num_workers=workers,
        collate_fn=collate,
    )


@torch.inference_mode()
def _probabilities(
    model: CAVMAEFT, batch: PairBatch, modes: Sequence[Mode], target: Target, frames: int
) -> dict[Mode, Tensor]:
    """Mean probabilities (clips, classes) over each clip's frames, float64 on the CPU."""
    device = next(model.parameters()).device
    sound = batch.normalised_features(device) if any(mode in SOUND_MODES for mode in modes) else None
    pictures = batch.normalised_frames(device) if any(mode in PICTURE_MODES for mode in modes) else None
    found: dict[Mode, Tensor] = {}
    for mode in modes:
        # One clip's frames at a time: a score must not hang on its neighbours.
        parts = [
            model(
                sound[first : first + frames] if sound is not None and mode in SOUND_MODES else None,
                pictures[first : first + frames] if pictures is not None and mode in PICTURE_MODES else None,
                mode,
            )
            for first in range(0, len(batch), frames)
        ]
        logits = torch.stack(parts).double().cpu()
        found[mode] = (logits.sigmoid() if target == "multi-label" else logits.softmax(dim=-1)).mean(dim=1)
    return found


def _on(model: CAVMAEFT, device: str) -> CAVMAEFT:
    try:
        return model.to(torch.device(device)).eval()
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"Device '{device}' cannot be used ({str(error).splitlines()[0]}): use cpu.") from None
