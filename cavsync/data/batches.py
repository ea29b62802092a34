"""From clips to training batches of (picture, sound) pairs, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from cavsync.data.augment import Augmentation
from cavsync.data.clip import Clip, decoded
from cavsync.data.logmel import normalise
from cavsync.data.order import Draw
from cavsync.data.picture_changes import ColourChange, Crop
from cavsync.data.sampling import Sample, SamplePlan, draw_instants, take
from cavsync.data.sound_changes import add_background, at_tempo, change_sound, mix
from cavsync.data.source import ClipSource
from cavsync.errors import MediaError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# As in CAV-MAE: most mixtures are near half and half.
MIXUP_CONCENTRATION = 10.0


@dataclass(frozen=True)
class ClipPairs:
    """K pairs of one clip: `pictures` (U, 3, S, S) uint8, `tubelets` (K, T) of them, `features` (K, L, 128),
    `times_seconds` (K,)."""

    name: str
    pictures: Tensor
    tubelets: Tensor
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
    pictures: list[Tensor]
    tubelets: list[Tensor]
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
        for pictures, tubelets, colour in zip(self.pictures, self.tubelets, self.colours, strict=True):
            gain = torch.from_numpy(colour.gain).to(device).view(3, 1, 1)
            offset = torch.from_numpy(colour.offset).to(device).view(3, 1, 1)
            normalised = pictures.to(device).float().mul_(gain / std).add_((offset - mean) / std)
            parts.append(normalised[tubelets.to(device)])
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

    Clips are loaded with pictures of `load_size` and cut to `img_size`. `cache` holds decoded clips (or their
    rejection) by index; it is filled as clips are first used.
    """

    def __init__(
        self,
        source: ClipSource,
        plan: SamplePlan,
        img_size: int,
        *,
        load_size: int | None = None,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        cache: dict[int, Clip | MediaError] | None = None,
    ) -> None:
        self.source, self.plan, self.img_size = source, plan, img_size
        self.load_size = load_size or img_size
        self.seed, self.augmentation, self.cache = seed, augmentation or Augmentation(), cache

    def __getitem__(self, draw: Draw) -> ClipPairs | Reject:
        index = draw[0]
        try:
            return self._pairs(self._clip(index), np.random.default_rng((self.seed, *draw)))
        except MediaError as error:
            return Reject(self.source.names[index], error)

    def _clip(self, index: int) -> Clip:
        if self.cache is None:
            return self.source.load(index, self.load_size)
        if index not in self.cache:
            try:
                self.cache[index] = decoded(self.source.load(index, self.load_size))
            except MediaError as error:
                self.cache[index] = error
        found = self.cache[index]
        if isinstance(found, MediaError):
            raise found
        return found

    def _pairs(self, clip: Clip, random: np.random.Generator) -> ClipPairs:
        wanted = self.augmentation
        low, high = wanted.tempo
        clip = at_tempo(clip, float(np.exp(random.uniform(np.log(low), np.log(high)))))
        sample = take(clip, draw_instants(clip, self.plan, random), self.plan)
        crop, colour = Crop.draw(wanted, random), ColourChange.draw(wanted.colour, random)
        pictures = crop.of(sample.pictures, self.img_size)
        pictures, features = self._blended(pictures, sample, random)
        return ClipPairs(
            clip.source,
            torch.from_numpy(np.ascontiguousarray(pictures)),
            torch.from_numpy(sample.tubelets),
            torch.from_numpy(change_sound(features, wanted, random)),
            torch.from_numpy(sample.times_seconds),
            colour,
        )

    def _blended(
        self, pictures: NDArray[np.uint8], sample: Sample, random: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """With another clip heard in the background, or mixed into picture and sound, where the draw says so."""
        features, times = sample.features, sample.times_seconds
        if random.random() < self.augmentation.background and (other := self._other(random)):
            features = add_background(features, times, other.sound, random)
        if random.random() < self.augmentation.mixup and (other := self._other(random)):
            share = float(random.beta(MIXUP_CONCENTRATION, MIXUP_CONCENTRATION))
            features = mix(features, times, other.sound, share, random)
            chosen = np.sort(random.integers(len(other.frames), size=len(pictures)))
            theirs = Crop().of(other.frames[chosen], self.img_size)
            pictures = np.rint(share * pictures + (1 - share) * theirs).astype(np.uint8)
        return pictures, features

    def _other(self, random: np.random.Generator) -> Clip | None:
        """Any clip of the source; None where the one drawn is unusable, which its own turn will report."""
        try:
            return self._clip(int(random.integers(len(self.source.names))))
        except MediaError:
            return None


def collate(items: Sequence[ClipPairs | Reject]) -> PairBatch:
    """Join what could be used; rejects leave a smaller batch, never a made-up one."""
    pairs = [item for item in items if isinstance(item, ClipPairs)]
    names = [item.name for item in pairs]
    counts = torch.tensor([len(item.features) for item in pairs], dtype=torch.long)
    return PairBatch(
        names=names,
        pictures=[item.pictures for item in pairs],
        tubelets=[item.tubelets for item in pairs],
        colours=[item.colour for item in pairs],
        features=torch.cat([item.features for item in pairs]) if pairs else torch.empty(0),
        times_seconds=torch.cat([item.times_seconds for item in pairs]) if pairs else torch.empty(0),
        # Where one epoch ends and the next begins, a batch may hold a clip twice.
        clip_index=torch.tensor([names.index(name) for name in names], dtype=torch.long).repeat_interleave(counts),
        rejects=[item for item in items if isinstance(item, Reject)],
    )
