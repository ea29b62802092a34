"""From clips to training batches of (picture, sound) pairs, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from cavsync.data.augment.audio import Background, Mixture, SoundChange, at_tempo
from cavsync.data.augment.frames import ColourChange, Crop
from cavsync.data.augment.plan import Augmentation
from cavsync.data.clip import Clip, decoded
from cavsync.data.clip_audio import Sound
from cavsync.data.logmel import normalise
from cavsync.data.order import Draw
from cavsync.data.planned_audio import PlannedSound, features_of
from cavsync.data.sampling import Sample, SamplePlan, draw_instants, take
from cavsync.data.segments import Segments, cut
from cavsync.data.sources.clips import ClipSource
from cavsync.errors import MediaError
from cavsync.media.align import FRAME_SHIFT_SECONDS

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalised_pictures(pictures: Tensor) -> Tensor:
    """RGB bytes (..., 3, H, W) -> ImageNet-normalised float32, the model's input."""
    mean = torch.tensor(IMAGENET_MEAN, device=pictures.device).view(3, 1, 1) * 255
    std = torch.tensor(IMAGENET_STD, device=pictures.device).view(3, 1, 1) * 255
    return (pictures.float() - mean) / std


Others = tuple[tuple[Segments, Background | Mixture], ...]

# As in CAV-MAE: most mixtures are near half and half.
MIXUP_CONCENTRATION = 10.0


@dataclass(frozen=True)
class ClipPairs:
    """K pairs of one clip: `pictures` (U, 3, S, S) uint8, `tubelets` (K, T) of them, `sound`, `times_seconds` (K,).
    `content` names the clips that were mixed to them (by index in the source), each with its share."""

    name: str
    content: tuple[tuple[int, float], ...]
    pictures: Tensor
    tubelets: Tensor
    sound: PlannedSound
    times_seconds: Tensor
    colour: ColourChange


@dataclass(frozen=True)
class Reject:
    """A clip that could not be used, and why."""

    name: str
    error: MediaError


@dataclass(frozen=True)
class PairBatch:
    """The pairs of several visits to clips; `clip_index` (N,) says which pairs belong to one visit.

    `contents`: for each visit the clips (by index in the source) that its pairs were mixed from, with their shares.
    """

    names: list[str]
    contents: list[tuple[tuple[int, float], ...]]
    pictures: list[Tensor]
    tubelets: list[Tensor]
    colours: list[ColourChange]
    sounds: list[PlannedSound]
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
        return normalise(features_of(self.sounds, device))

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

    With `log_mel_on_device` pairs carry samples, and the batch makes their log-mel where the model is.
    Clips that are mixed in are drawn from `partners` (indices), by default from all.
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
        log_mel_on_device: bool = False,
        partners: Sequence[int] | None = None,
    ) -> None:
        self.source, self.plan, self.img_size = source, plan, img_size
        self.load_size = load_size or img_size
        self.seed, self.augmentation, self.cache = seed, augmentation or Augmentation(), cache
        self.log_mel_on_device = log_mel_on_device
        self.partners = partners

    def __getitem__(self, draw: Draw) -> ClipPairs | Reject:
        index = draw[0]
        try:
            return self._pairs(index, self._clip(index), np.random.default_rng((self.seed, *draw)))
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

    def _pairs(self, index: int, clip: Clip, random: np.random.Generator) -> ClipPairs:
        wanted = self.augmentation
        low, high = wanted.tempo
        clip = at_tempo(clip, float(np.exp(random.uniform(np.log(low), np.log(high)))))
        instants = draw_instants(clip, self.plan, random)
        sample = take(clip, instants, self.plan, as_samples=self.log_mel_on_device)
        crop, colour = Crop.draw(wanted, random), ColourChange.draw(wanted.colour, random)
        pictures = crop.of(sample.pictures, self.img_size)
        pictures, others, mixed_in = self._blended(pictures, sample, random)
        sound = PlannedSound(sample.sound, others, SoundChange.draw(wanted, self.plan.segment_frames, random))
        return ClipPairs(
            clip.source,
            ((index, 1.0),) if mixed_in is None else ((index, 1 - mixed_in[1]), mixed_in),
            torch.from_numpy(np.ascontiguousarray(pictures)),
            torch.from_numpy(sample.tubelets),
            sound if self.log_mel_on_device else sound.done(),
            torch.from_numpy(sample.times_seconds),
            colour,
        )

    def _blended(
        self, pictures: NDArray[np.uint8], sample: Sample, random: np.random.Generator
    ) -> tuple[NDArray[np.uint8], Others, tuple[int, float] | None]:
        """Another clip to be heard in the background, or mixed into picture and sound, where the draw says so: then the
        third value is its index and share."""
        others: list[tuple[Segments, Background | Mixture]] = []
        mixed_in: tuple[int, float] | None = None
        if random.random() < self.augmentation.background and (found := self._other(random)):
            segments = self._some_segments(found[1].sound, sample.times_seconds, random)
            others.append((segments, Background.draw(random)))
        if random.random() < self.augmentation.mixup and (found := self._other(random)):
            place, other = found
            share = float(random.beta(MIXUP_CONCENTRATION, MIXUP_CONCENTRATION))
            others.append((self._some_segments(other.sound, sample.times_seconds, random), Mixture(share)))
            chosen = np.sort(random.integers(len(other.frames), size=len(pictures)))
            theirs = Crop().of(other.frames[chosen], self.img_size)
            pictures = np.rint(share * pictures + (1 - share) * theirs).astype(np.uint8)
            mixed_in = place, 1 - share
        return pictures, tuple(others), mixed_in

    def _some_segments(self, sound: Sound, times_seconds: NDArray[np.float64], random: np.random.Generator) -> Segments:
        """Segments spaced like the pairs, from a random place on; a short sound starts again at its end."""
        steps = np.rint((times_seconds - times_seconds[0]) / FRAME_SHIFT_SECONDS).astype(np.int64)
        last = max(1, len(sound) - self.plan.segment_frames + 1)
        starts = (int(random.integers(last)) + steps) % last
        return cut(sound, starts, self.plan.segment_frames, as_samples=self.log_mel_on_device)

    def _other(self, random: np.random.Generator) -> tuple[int, Clip] | None:
        """Another clip and its index; None where the one drawn is unusable, which its own turn will report."""
        place = int(random.integers(len(self.source.names) if self.partners is None else len(self.partners)))
        index = place if self.partners is None else self.partners[place]
        try:
            return index, self._clip(index)
        except MediaError:
            return None


def collate(items: Sequence[ClipPairs | Reject]) -> PairBatch:
    """Join what could be used; rejects leave a smaller batch, never a made-up one."""
    pairs = [item for item in items if isinstance(item, ClipPairs)]
    counts = torch.tensor([len(item.sound) for item in pairs], dtype=torch.long)
    return PairBatch(
        names=[item.name for item in pairs],
        contents=[item.content for item in pairs],
        pictures=[item.pictures for item in pairs],
        tubelets=[item.tubelets for item in pairs],
        colours=[item.colour for item in pairs],
        sounds=[item.sound for item in pairs],
        times_seconds=torch.cat([item.times_seconds for item in pairs]) if pairs else torch.empty(0),
        clip_index=torch.arange(len(pairs)).repeat_interleave(counts),
        rejects=[item for item in items if isinstance(item, Reject)],
    )
