"""Inpainting of a data set: the error of filled-in patches by mask ratio and mask layout.

As in CAV-MAE's figure (arXiv 2210.07839, appendix), both modalities are masked at the same ratio, audio in each layout
in turn, frames with unstructured masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from cavsync.data.batches import normalised_frames
from cavsync.data.clip import Clip
from cavsync.data.logmel import normalise
from cavsync.data.sampling import take_sample
from cavsync.data.sources.clips import ClipSource
from cavsync.data.sources.rejects import Rejects
from cavsync.errors import ConfigError, DataError, MediaError
from cavsync.evaluate.inpaint.reconstruct import Inpainted, reconstruct
from cavsync.evaluate.inputs.clip_inputs import plan_for_model
from cavsync.file_names import legible
from cavsync.model import CAVMAESync
from cavsync.model.config import MaskMode
from cavsync.model.masking import Masking, draw_masking

MASK_MODES: tuple[MaskMode, ...] = get_args(MaskMode)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Mask:
    """The layout of the audio's mask, and the shares of audio and visual patches to hide."""

    mode: MaskMode
    ratio_audio: float
    ratio_visual: float


@dataclass(frozen=True)
class ClipMoments:
    """The model's input at K moments of a clip: `fbank` (K, L, 128) and `frames` (K, T, 3, S, S), both normalised.
    `inside` (K,): how many of the L log-mel frames lie inside the audio."""

    name: str
    fbank: Tensor
    frames: Tensor
    inside: list[int]


@dataclass
class InpaintScores:
    """Mean squared errors of the clips `names`, by (mask, modality) and then by "model", "baseline" and "trained" (see
    `Inpainted`). hidden_share: share of the patches that a mask hides, which differs from its ratio if it hides whole
    rows or columns. rejects: clip -> why it was left out."""

    errors: dict[tuple[Mask, str], dict[str, list[float]]] = field(default_factory=dict)
    hidden_share: dict[tuple[Mask, str], float] = field(default_factory=dict)
    rejects: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)


ClipCallback = Callable[[ClipMoments, Mask, Inpainted, Inpainted], None]


def sweep(
    ratios: Sequence[float], modes: Sequence[MaskMode] = MASK_MODES, other_ratio: float | None = None
) -> list[Mask]:
    """Return every layout with every ratio. other_ratio: the frames' ratio, by default that of the audio.

    Raises ConfigError for a ratio outside (0, 1), which hides nothing or everything, or a frames' ratio outside [0, 1).
    """
    if not ratios or not all(0 < ratio < 1 for ratio in ratios):
        raise ConfigError(f"The mask ratios are {list(ratios)}, expected numbers between 0 and 1: change --ratios.")
    if other_ratio is not None and not 0 <= other_ratio < 1:
        raise ConfigError(f"The frame's mask ratio is {other_ratio}, expected at least 0 and less than 1: change it.")
    return [Mask(mode, ratio, ratio if other_ratio is None else other_ratio) for mode in modes for ratio in ratios]


def inpaint(
    model: CAVMAESync,
    source: ClipSource,
    masks: Sequence[Mask],
    *,
    indices: Sequence[int],
    moments_per_clip: int = 1,
    seed: int = 0,
    progress: Progress = lambda *_: None,
    on_case: ClipCallback = lambda *_: None,
) -> InpaintScores:
    """Inpaint moments of the clips `indices` with every mask. Masks are drawn from (seed, clip, mask), so that all
    models get the same ones. `progress(done, total)` counts clips, `on_case(moments, mask, audio, visual)` gets every
    result.

    Raises DataError if no clip can be used.
    """
    damaged = Rejects()
    damaged.add_damage(source)
    scores = InpaintScores(rejects=damaged.sentences)
    for done, (index, found) in enumerate(_clips(model, source, indices, moments_per_clip), start=1):
        if isinstance(found, MediaError):
            scores.rejects[legible(source.names[index])] = str(found)
        else:
            scores.names.append(legible(source.names[index]))
            for number, mask in enumerate(masks):
                drawn = np.random.SeedSequence((seed, index, number)).generate_state(1)
                result = _inpaint_moments(model, found, mask, torch.Generator().manual_seed(int(drawn[0])))
                for modality, part in zip(("audio", "visual"), result, strict=True):
                    _note(scores, (mask, modality), part)
                on_case(found, mask, *result)
        progress(done, len(indices))
    if not scores.names:
        raise DataError(f"No clip could be inpainted: {next(iter(scores.rejects.values()), 'none was chosen')}")
    return scores


def _clips(
    model: CAVMAESync, source: ClipSource, indices: Sequence[int], count: int
) -> Iterator[tuple[int, ClipMoments | MediaError]]:
    for index in indices:
        try:
            clip = source.load(index, model.config.img_size)
            yield index, moments_of(clip, model, count)
        except MediaError as error:
            yield index, error


def moments_of(clip: Clip, model: CAVMAESync, count: int) -> ClipMoments:
    """Return the input at the middles of `count` equal parts of the clip. Raises MediaError for a damaged frame."""
    places = np.array([int((place + 0.5) * len(clip.frames) / count) for place in range(count)])
    sample = take_sample(clip, places, plan_for_model(model.config))
    frames = torch.from_numpy(sample.frames[sample.tubelets])
    fbank = normalise(sample.audio.values)
    return ClipMoments(
        clip.source, fbank, normalised_frames(frames), [min(model.config.audio_length, len(clip.audio))] * count
    )


def _inpaint_moments(
    model: CAVMAESync, moments: ClipMoments, mask: Mask, generator: torch.Generator
) -> tuple[Inpainted, Inpainted]:
    config, device = model.config, model.pos_embed_a.device
    count = len(moments.fbank)
    audio = draw_masking(count, config.audio_grid, mask.ratio_audio, mask.mode, generator=generator)
    visual = draw_masking(count, config.visual_grid, mask.ratio_visual, generator=generator)
    audio, visual = (Masking(part.ids_restore.to(device), part.num_visible) for part in (audio, visual))
    return reconstruct(model, moments.fbank.to(device), moments.frames.to(device), audio, visual)


def _note(scores: InpaintScores, key: tuple[Mask, str], part: Inpainted) -> None:
    """Add the means over a clip's moments to the scores; a modality without hidden patches has none."""
    if not part.hidden.any():
        return
    scores.hidden_share[key] = float(part.hidden.float().mean())
    kept = scores.errors.setdefault(key, {"model": [], "baseline": [], "trained": []})
    for name, values in zip(kept, (part.mse, part.baseline_mse, part.trained_mse), strict=True):
        kept[name].append(float(values.mean()))
