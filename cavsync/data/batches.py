"""From clips to training batches of (picture, sound) pairs, on any device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from cavsync.data.augment import ColourChange, augment_pictures, augment_sound
from cavsync.data.clip import Clip
from cavsync.data.logmel import normalise
from cavsync.data.sampling import SamplePlan, draw_instants, take
from cavsync.data.source import ClipSource
from cavsync.errors import MediaError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Draw = tuple[int, int]


@dataclass(frozen=True)
class ClipPairs:
    """K pairs of one clip: `frames` (K, T, 3, S, S) uint8, `features` (K, L, 128), `times_seconds` (K,)."""

    name: str
    frames: Tensor
    features: Tensor
    times_seconds: Tensor
    colour: ColourChange


@dataclass(frozen=True)
class Reject:
    """A clip that could not be used, and why."""

    name: str
    error: MediaError


@dataclass(frozen=True)
class PairBatch:
    """The pairs of several clips; `clip_index` (N,) says which pairs belong together."""

    names: list[str]
    frames: list[Tensor]
    colours: list[ColourChange]
    features: Tensor
    times_seconds: Tensor
    clip_index: Tensor
    rejects: list[Reject]

    def __len__(self) -> int:
        return len(self.clip_index)

    def normalised_frames(self, device: torch.device) -> Tensor:
        """ImageNet-normalised RGB (N, T, 3, S, S) with each clip's change of colour, on `device`."""
        mean = torch.tensor(IMAGENET_MEAN, device=device).view(3, 1, 1) * 255
        std = torch.tensor(IMAGENET_STD, device=device).view(3, 1, 1) * 255
        parts = []
        for frames, colour in zip(self.frames, self.colours, strict=True):
            gain = torch.from_numpy(colour.gain).to(device).view(3, 1, 1)
            offset = torch.from_numpy(colour.offset).to(device).view(3, 1, 1)
            parts.append(frames.to(device).float().mul_(gain / std).add_((offset - mean) / std))
        return torch.cat(parts)

    def normalised_features(self, device: torch.device) -> Tensor:
        """Normalised log-mel (N, L, 128) on `device`."""
        return normalise(self.features.to(device))

    def ignored_pairs(self, guard_seconds: float, same_clip_only: bool, device: torch.device) -> Tensor | None:
        """Bool (N, N): pairs that do not count as negatives; None where all do.

        Instants of one clip closer than `guard_seconds` sound too much alike. With `same_clip_only` other clips do not
        count either: telling clips apart is easy, and while it lowers the loss no time is learned.
        """
        if guard_seconds <= 0 and not same_clip_only:
            return None
        clips, times = self.clip_index.to(device), self.times_seconds.to(device)
        same = clips[:, None] == clips
        ignored = same & ((times[:, None] - times).abs() < guard_seconds)
        return ignored | ~same if same_clip_only else ignored


class PairDataset(Dataset[ClipPairs | Reject]):
    """Pairs of the clips of a source. An item is named by (clip, draw): the same name gives the same pairs anywhere.

    `cache` holds decoded clips (or their rejection) by index; it is filled as clips are first used.
    """

    def __init__(
        self,
        source: ClipSource,
        plan: SamplePlan,
        img_size: int,
        *,
        seed: int = 0,
        augment: bool = False,
        cache: dict[int, Clip | MediaError] | None = None,
    ) -> None:
        self.source, self.plan, self.img_size = source, plan, img_size
        self.seed, self.augment, self.cache = seed, augment, cache

    def __getitem__(self, draw: Draw) -> ClipPairs | Reject:
        index = draw[0]
        try:
            return self._pairs(self._clip(index), np.random.default_rng((self.seed, *draw)))
        except MediaError as error:
            return Reject(self.source.names[index], error)

    def _clip(self, index: int) -> Clip:
        if self.cache is None:
            return self.source.load(index, self.img_size)
        if index not in self.cache:
            try:
                self.cache[index] = self.source.load(index, self.img_size)
            except MediaError as error:
                self.cache[index] = error
        found = self.cache[index]
        if isinstance(found, MediaError):
            raise found
        return found

    def _pairs(self, clip: Clip, random: np.random.Generator) -> ClipPairs:
        sample = take(clip, draw_instants(clip, self.plan, random), self.plan)
        frames, features, colour = sample.frames, sample.features, ColourChange.none()
        if self.augment:
            frames, features = augment_pictures(frames, random), augment_sound(features, random)
            colour = ColourChange.draw(random)
        return ClipPairs(
            clip.source,
            torch.from_numpy(np.ascontiguousarray(frames)),
            torch.from_numpy(features),
            torch.from_numpy(sample.times_seconds),
            colour,
        )


def collate(items: Sequence[ClipPairs | Reject]) -> PairBatch:
    """Join what could be used; rejects leave a smaller batch, never a made-up one."""
    pairs = [item for item in items if isinstance(item, ClipPairs)]
    counts = torch.tensor([len(item.features) for item in pairs], dtype=torch.long)
    return PairBatch(
        names=[item.name for item in pairs],
        frames=[item.frames for item in pairs],
        colours=[item.colour for item in pairs],
        features=torch.cat([item.features for item in pairs]) if pairs else torch.empty(0),
        times_seconds=torch.cat([item.times_seconds for item in pairs]) if pairs else torch.empty(0),
        clip_index=torch.arange(len(pairs)).repeat_interleave(counts),
        rejects=[item for item in items if isinstance(item, Reject)],
    )


class PlannedBatches(Sampler[list[Draw]]):
    """Which of `clips` (indices) make up each step's batch, from `first_step` on.

    It is a function of the seed alone, so resuming is exact. Every clip comes once per epoch; an epoch's incomplete
    last batch is left out unless it is the only one.
    """

    def __init__(self, clips: Sequence[int], batch_clips: int, seed: int, *, first_step: int, num_steps: int) -> None:
        self.clips, self.batch_clips, self.seed = clips, batch_clips, seed
        self.first_step, self.num_steps = first_step, num_steps
        self.steps_per_epoch = max(1, len(clips) // batch_clips)

    def __len__(self) -> int:
        return max(0, self.num_steps - self.first_step)

    def __iter__(self) -> Iterator[list[Draw]]:
        order, current = np.empty(0, dtype=np.int64), -1
        for step in range(self.first_step, self.num_steps):
            epoch, batch = divmod(step, self.steps_per_epoch)
            if epoch != current:
                order, current = np.random.default_rng((self.seed, epoch)).permutation(len(self.clips)), epoch
            chosen = order[batch * self.batch_clips : (batch + 1) * self.batch_clips]
            yield [(self.clips[int(place)], step) for place in chosen]
