"""From clips to training batches of (frame, audio) pairs, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from cavsync.data.augment.audio import AudioChange, Background, Mixture, change_tempo
from cavsync.data.augment.config import Augmentation
from cavsync.data.augment.frames import ColourChange, Crop
from cavsync.data.clip import Clip, decode_all
from cavsync.data.clip_audio import ClipAudio
from cavsync.data.logmel import normalise
from cavsync.data.order import Draw
from cavsync.data.planned_audio import PlannedAudio, compute_features
from cavsync.data.sampling import Sample, SamplePlan, draw_instants, take_sample
from cavsync.data.segments import AudioSegments, cut_segments
from cavsync.data.sources.clips import ClipSource
from cavsync.errors import MediaError
from cavsync.media.align import FRAME_SHIFT_SECONDS

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalised_frames(frames: Tensor) -> Tensor:
    """RGB bytes (..., 3, H, W) -> ImageNet-normalised float32, the model's input."""
    mean = torch.tensor(IMAGENET_MEAN, device=frames.device).view(3, 1, 1) * 255
    std = torch.tensor(IMAGENET_STD, device=frames.device).view(3, 1, 1) * 255
    return (frames.float() - mean) / std


Others = tuple[tuple[AudioSegments, Background | Mixture], ...]

# As in CAV-MAE: most mixtures are near half and half.
MIXUP_CONCENTRATION = 10.0


@dataclass(frozen=True)
class ClipPairs:
    """K pairs of one clip: `frames` (U, 3, S, S) uint8, `tubelets` (K, T) of them, `audio`, `times_seconds` (K,).
    `content` names the clips that were mixed to them (by index in the source), each with its share."""

    name: str
    content: tuple[tuple[int, float], ...]
    frames: Tensor
    tubelets: Tensor
    audio: PlannedAudio
    times_seconds: Tensor
    colour: ColourChange


@dataclass(frozen=True)
class RejectedClip:
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
    frames: list[Tensor]
    tubelets: list[Tensor]
    colours: list[ColourChange]
    audio: list[PlannedAudio]
    times_seconds: Tensor
    clip_index: Tensor
    rejects: list[RejectedClip]

    def __len__(self) -> int:
        return len(self.clip_index)

    def normalised_frames(self, device: torch.device) -> Tensor:
        """ImageNet-normalised RGB (N, T, 3, S, S) with each clip's change of colour, on `device`."""
        mean = torch.tensor(IMAGENET_MEAN, device=device).view(3, 1, 1) * 255
        std = torch.tensor(IMAGENET_STD, device=device).view(3, 1, 1) * 255
        parts = []
        for frames, tubelets, colour in zip(self.frames, self.tubelets, self.colours, strict=True):
            gain = torch.from_numpy(colour.gain).to(device).view(3, 1, 1)
            offset = torch.from_numpy(colour.offset).to(device).view(3, 1, 1)
            normalised = frames.to(device).float().mul_(gain / std).add_((offset - mean) / std)
            parts.append(normalised[tubelets.to(device)])
        return torch.cat(parts)

    def normalised_features(self, device: torch.device) -> Tensor:
        """Normalised log-mel (N, L, 128) on `device`."""
        return normalise(compute_features(self.audio, device))

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


class PairDataset(Dataset[ClipPairs | RejectedClip]):
    """Pairs of the clips of a source. An item is named by (clip, draw): the same name gives the same pairs anywhere.

    With `log_mel_on_device` pairs carry samples, and the batch makes their log-mel where the model is.
    Clips that are mixed in are drawn from `partners` (indices), by default from all.
    Clips are loaded with frames of `load_size` and cut to `img_size`. `cache` holds decoded clips (or their
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

    def __getitem__(self, draw: Draw) -> ClipPairs | RejectedClip:
        index = draw[0]
        try:
            return self._pairs(index, self._clip(index), np.random.default_rng((self.seed, *draw)))
        except MediaError as error:
            return RejectedClip(self.source.names[index], error)

    def _clip(self, index: int) -> Clip:
        if self.cache is None:
            return self.source.load(index, self.load_size)
        if index not in self.cache:
            try:
                self.cache[index] = decode_all(self.source.load(index, self.load_size))
            except MediaError as error:
                self.cache[index] = error
        found = self.cache[index]
        if isinstance(found, MediaError):
            raise found
        return found

    def _pairs(self, index: int, clip: Clip, random: np.random.Generator) -> ClipPairs:
        wanted = self.augmentation
        low, high = wanted.tempo
        clip = change_tempo(clip, float(np.exp(random.uniform(np.log(low), np.log(high)))))
        instants = draw_instants(clip, self.plan, random)
        sample = take_sample(clip, instants, self.plan, as_samples=self.log_mel_on_device)
        crop, colour = Crop.draw(wanted, random), ColourChange.draw(wanted.colour, random)
        frames = crop.of(sample.frames, self.img_size)
        frames, others, mixed_in = self._blended(frames, sample, random)
        audio = PlannedAudio(sample.audio, others, AudioChange.draw(wanted, self.plan.segment_frames, random))
        return ClipPairs(
            clip.source,
            ((index, 1.0),) if mixed_in is None else ((index, 1 - mixed_in[1]), mixed_in),
            torch.from_numpy(np.ascontiguousarray(frames)),
            torch.from_numpy(sample.tubelets),
            audio if self.log_mel_on_device else audio.done(),
            torch.from_numpy(sample.times_seconds),
            colour,
        )

    def _blended(
        self, frames: NDArray[np.uint8], sample: Sample, random: np.random.Generator
    ) -> tuple[NDArray[np.uint8], Others, tuple[int, float] | None]:
        """Another clip to be heard in the background, or mixed into video and audio, where the draw says so: then the
        third value is its index and share."""
        others: list[tuple[AudioSegments, Background | Mixture]] = []
        mixed_in: tuple[int, float] | None = None
        if random.random() < self.augmentation.background and (found := self._other(random)):
            segments = self._some_segments(found[1].audio, sample.times_seconds, random)
            others.append((segments, Background.draw(random)))
        if random.random() < self.augmentation.mixup and (found := self._other(random)):
            place, other = found
            share = float(random.beta(MIXUP_CONCENTRATION, MIXUP_CONCENTRATION))
            others.append((self._some_segments(other.audio, sample.times_seconds, random), Mixture(share)))
            chosen = np.sort(random.integers(len(other.frames), size=len(frames)))
            theirs = Crop().of(other.frames[chosen], self.img_size)
            frames = np.rint(share * frames + (1 - share) * theirs).astype(np.uint8)
            mixed_in = place, 1 - share
        return frames, tuple(others), mixed_in

    def _some_segments(
        self, audio: ClipAudio, times_seconds: NDArray[np.float64], random: np.random.Generator
    ) -> AudioSegments:
        """Segments spaced like the pairs, from a random place on; a short audio starts again at its end."""
        steps = np.rint((times_seconds - times_seconds[0]) / FRAME_SHIFT_SECONDS).astype(np.int64)
        last = max(1, len(audio) - self.plan.segment_frames + 1)
        starts = (int(random.integers(last)) + steps) % last
        return cut_segments(audio, starts, self.plan.segment_frames, as_samples=self.log_mel_on_device)

    def _other(self, random: np.random.Generator) -> tuple[int, Clip] | None:
        """Another clip and its index; None where the one drawn is unusable, which its own turn will report."""
        place = int(random.integers(len(self.source.names) if self.partners is None else len(self.partners)))
        index = place if self.partners is None else self.partners[place]
        try:
            return index, self._clip(index)
        except MediaError:
            return None


def collate(items: Sequence[ClipPairs | RejectedClip]) -> PairBatch:
    """Join what could be used; rejects leave a smaller batch, never a made-up one."""
    pairs = [item for item in items if isinstance(item, ClipPairs)]
    counts = torch.tensor([len(item.audio) for item in pairs], dtype=torch.long)
    return PairBatch(
        names=[item.name for item in pairs],
        contents=[item.content for item in pairs],
        frames=[item.frames for item in pairs],
        tubelets=[item.tubelets for item in pairs],
        colours=[item.colour for item in pairs],
        audio=[item.audio for item in pairs],
        times_seconds=torch.cat([item.times_seconds for item in pairs]) if pairs else torch.empty(0),
        clip_index=torch.arange(len(pairs)).repeat_interleave(counts),
        rejects=[item for item in items if isinstance(item, RejectedClip)],
    )
