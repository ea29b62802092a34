"""Training batches of (frames, audio) pairs, sampled from clips and augmented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from cavsync.data.augment.audio import AudioChange, Background, Mixture, change_tempo, mixed_waveform
from cavsync.data.augment.config import Augmentation
from cavsync.data.augment.frames import ColourChange, Crop
from cavsync.data.clip import Clip, decode_all
from cavsync.data.clip_audio import ClipAudio, Waveform
from cavsync.data.logmel import normalise
from cavsync.data.order import ClipDraw
from cavsync.data.planned_audio import PlannedAudio, compute_features
from cavsync.data.sampling import Instants, Sample, SamplePlan, draw_instants, take_sample, take_segments
from cavsync.data.segments import AudioSegments, cut_segments
from cavsync.data.sources.clips import ClipSource
from cavsync.errors import MediaError
from cavsync.media.align import FRAME_SHIFT_SECONDS

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalised_frames(frames: Tensor) -> Tensor:
    """Normalise RGB bytes (..., 3, H, W) for the model: ImageNet's mean and spread, float32."""
    mean, std = _imagenet_levels(frames.device)
    return (frames.float() - mean) / std


def _imagenet_levels(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ImageNet's mean and standard deviation of pixel levels in 0..255, (3, 1, 1) each."""
    mean, std = (torch.tensor(values, device=device).view(3, 1, 1) * 255 for values in (IMAGENET_MEAN, IMAGENET_STD))
    return mean, std


Others = tuple[tuple[AudioSegments, Background | Mixture], ...]

# CAV-MAE's value, with which most mixtures are near half and half.
MIXUP_CONCENTRATION = 10.0


@dataclass(frozen=True)
class ClipPairs:
    """K pairs of one clip: the U distinct `frames` (U, 3, S, S) uint8, `tubelets` (K, T), which index them, `audio`,
    and `times_seconds` (K,). `content` lists the clips (index in the source) that the pairs are mixed from, with their
    shares; the frames of the second clip, `mixed_in` (U, 3, S, S) uint8, are still to be blended, and `colour` is to be
    applied."""

    name: str
    content: tuple[tuple[int, float], ...]
    frames: Tensor
    tubelets: Tensor
    audio: PlannedAudio
    times_seconds: Tensor
    colour: ColourChange
    mixed_in: Tensor | None = None


@dataclass(frozen=True)
class RejectedClip:
    """A clip that could not be used, with the error."""

    name: str
    error: MediaError


@dataclass(frozen=True)
class PairBatch:
    """The N pairs of several visits to clips; `clip_index` (N,) is the number of each pair's visit.

    `contents`: for each visit, the clips (index in the source) that its pairs are mixed from, with their shares.
    """

    names: list[str]
    contents: list[tuple[tuple[int, float], ...]]
    frames: list[Tensor]
    mixed_in: list[Tensor | None]
    tubelets: list[Tensor]
    colours: list[ColourChange]
    audio: list[PlannedAudio]
    times_seconds: Tensor
    clip_index: Tensor
    rejects: list[RejectedClip]

    def __len__(self) -> int:
        return len(self.clip_index)

    def normalised_frames(self, device: torch.device) -> Tensor:
        """Return ImageNet-normalised RGB (N, T, 3, S, S), blended and with each clip's change of colour, on
        `device`."""
        return self._normalised(device)[self._tubelets().to(device)]

    def frame_pairs(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return what `normalised_frames` does as pairs of successive frames (P, 2, 3, S, S), each listed once, and the
        places of each tubelet's pairs (N, T - 1)."""
        tubelets = self._tubelets()
        successive = torch.stack([tubelets[:, :-1], tubelets[:, 1:]], dim=2)
        distinct, places = torch.unique(successive.flatten(0, 1), dim=0, return_inverse=True)
        return self._normalised(device)[distinct.to(device)], places.view(successive.shape[:2]).to(device)

    def _tubelets(self) -> Tensor:
        """Return the tubelets (N, T) of all clips, as indices of all their distinct frames together."""
        firsts = accumulate((len(frames) for frames in self.frames), initial=0)
        return torch.cat([tubelets + first for tubelets, first in zip(self.tubelets, firsts, strict=False)])

    def _normalised(self, device: torch.device) -> Tensor:
        """Return the distinct frames of all clips (U, 3, S, S), ImageNet-normalised.

        All clips are copied and computed together: a GPU waits for what the host launches before a step.
        """
        mean, std = _imagenet_levels(device)
        counts = [len(frames) for frames in self.frames]
        levels = torch.cat(self.frames).to(device).float()
        for part, other, content in zip(levels.split(counts), self.mixed_in, self.contents, strict=True):
            if other is not None:
                part.mul_(content[0][1]).add_(other.to(device).float(), alpha=content[1][1])
        gain, offset = (
            torch.from_numpy(np.repeat(np.stack(changes), counts, axis=0)).to(device)[..., None, None]
            for changes in ([colour.gain for colour in self.colours], [colour.offset for colour in self.colours])
        )
        return levels.mul_(gain / std).add_((offset - mean) / std)

    def normalised_features(self, device: torch.device) -> Tensor:
        """Return normalised log-mel (N, L, 128) on `device`."""
        return normalise(compute_features(self.audio, device))

    def ignored_pairs(self, guard_seconds: float, same_clip_only: bool, device: torch.device) -> Tensor | None:
        """Return bool (N, N), True where pair j is no negative of pair i; None if all are negatives.

        Instants of one clip closer than `guard_seconds` are too similar to be negatives. With `same_clip_only` pairs of
        different clips are not negatives either: telling clips apart is easy and teaches the model nothing about
        timing.
        """
        if guard_seconds <= 0 and not same_clip_only:
            return None
        clips, times = self.clip_index.to(device), self.times_seconds.to(device)
        same = clips[:, None] == clips
        ignored = same & ((times[:, None] - times).abs() < guard_seconds)
        return ignored | ~same if same_clip_only else ignored


@dataclass(eq=False)
class PairDataset(Dataset[ClipPairs | RejectedClip]):
    """Pairs of the clips of a source, indexed by (clip, visit): the same index gives the same pairs in any process.

    load_size: size of the loaded frames, which are then cropped to `img_size`; None loads them in that size. cache:
    decoded clips, or the errors that reject them, by index; filled as clips are first used. log_mel_on_device: pairs
    carry samples, and the batch computes their log-mel on the model's device. partners: indices of the clips that may
    be mixed in; None for all.
    """

    source: ClipSource
    plan: SamplePlan
    img_size: int
    _: KW_ONLY
    load_size: int | None = None
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    cache: dict[int, Clip | MediaError] | None = None
    log_mel_on_device: bool = False
    partners: Sequence[int] | None = None

    def __getitem__(self, draw: ClipDraw) -> ClipPairs | RejectedClip:
        index = draw[0]
        try:
            return self._pairs(index, self._clip(index), np.random.default_rng((self.seed, *draw)))
        except MediaError as error:
            return RejectedClip(self.source.names[index], error)

    def _clip(self, index: int) -> Clip:
        if self.cache is None:
            return self._load(index)
        if index not in self.cache:
            try:
                self.cache[index] = decode_all(self._load(index), keep_samples=self.augmentation.needs_samples)
            except MediaError as error:
                self.cache[index] = error
        found = self.cache[index]
        if isinstance(found, MediaError):
            raise found
        return found

    def _load(self, index: int) -> Clip:
        return self.source.load(index, self.load_size or self.img_size)

    def _pairs(self, index: int, clip: Clip, random: np.random.Generator) -> ClipPairs:
        wanted = self.augmentation
        low, high = wanted.tempo
        clip = change_tempo(clip, float(np.exp(random.uniform(np.log(low), np.log(high)))))
        instants = draw_instants(clip, self.plan, random)
        sample = take_sample(clip, instants, self.plan, as_samples=self.log_mel_on_device)
        crop, colour = Crop.draw(wanted, random), ColourChange.draw(wanted.colour, random)
        frames = crop.apply(sample.frames, self.img_size)
        own, others, mixed_in, other_frames = self._with_other_clips(sample, clip, instants, random)
        audio = PlannedAudio(own, others, AudioChange.draw(wanted, self.plan.segment_frames, random))
        return ClipPairs(
            clip.source,
            ((index, 1.0),) if mixed_in is None else ((index, 1 - mixed_in[1]), mixed_in),
            torch.from_numpy(np.ascontiguousarray(frames)),
            torch.from_numpy(sample.tubelets),
            audio if self.log_mel_on_device else audio.computed(),
            torch.from_numpy(sample.times_seconds),
            colour,
            None if other_frames is None else torch.from_numpy(np.ascontiguousarray(other_frames)),
        )

    def _with_other_clips(
        self, sample: Sample, clip: Clip, instants: Instants, random: np.random.Generator
    ) -> tuple[AudioSegments, Others, tuple[int, float] | None, NDArray[np.uint8] | None]:
        """Draw whether to add another clip's audio as background, and whether to mix another clip into frames and
        audio.

        Returns the clip's own audio, the audio to add, and of the clip to mix in, if any, index and share, and frames.
        """
        own = sample.audio
        others: list[tuple[AudioSegments, Background | Mixture]] = []
        mixed_in, frames = None, None
        if random.random() < self.augmentation.background and (found := self._other(random)):
            segments = self._draw_segments(found[1].audio, sample.times_seconds, random)
            others.append((segments, Background.draw(random)))
        if random.random() < self.augmentation.mixup and (found := self._other(random)):
            place, other = found
            share = float(random.beta(MIXUP_CONCENTRATION, MIXUP_CONCENTRATION))
            if self.augmentation.mixup_audio == "power":
                others.append((self._draw_segments(other.audio, sample.times_seconds, random), Mixture(share)))
            else:
                assert isinstance(clip.audio, Waveform)
                assert isinstance(other.audio, Waveform)
                mixed = replace(clip, audio=mixed_waveform(clip.audio, other.audio, share))
                own = take_segments(mixed, instants, self.plan, as_samples=self.log_mel_on_device)
            chosen = np.sort(random.integers(len(other.frames), size=len(sample.frames)))
            frames = Crop().apply(other.frames[chosen], self.img_size)
            mixed_in = place, 1 - share
        return own, tuple(others), mixed_in, frames

    def _draw_segments(
        self, audio: ClipAudio, times_seconds: NDArray[np.float64], random: np.random.Generator
    ) -> AudioSegments:
        """Cut segments spaced like the pairs, starting at a random place and wrapping around at the end of the
        audio."""
        steps = np.rint((times_seconds - times_seconds[0]) / FRAME_SHIFT_SECONDS).astype(np.int64)
        last = max(1, len(audio) - self.plan.segment_frames + 1)
        starts = (int(random.integers(last)) + steps) % last
        return cut_segments(audio, starts, self.plan.segment_frames, as_samples=self.log_mel_on_device)

    def _other(self, random: np.random.Generator) -> tuple[int, Clip] | None:
        """Draw another clip; return its index and the clip, or None if it is unusable, which its own visit reports."""
        place = int(random.integers(len(self.source.names) if self.partners is None else len(self.partners)))
        index = place if self.partners is None else self.partners[place]
        try:
            return index, self._clip(index)
        except MediaError:
            return None


def collate(items: Sequence[ClipPairs | RejectedClip]) -> PairBatch:
    """Join the pairs of all usable clips; rejected clips make the batch smaller and are never replaced."""
    pairs = [item for item in items if isinstance(item, ClipPairs)]
    counts = torch.tensor([len(item.audio) for item in pairs], dtype=torch.long)
    return PairBatch(
        names=[item.name for item in pairs],
        contents=[item.content for item in pairs],
        frames=[item.frames for item in pairs],
        mixed_in=[item.mixed_in for item in pairs],
        tubelets=[item.tubelets for item in pairs],
        colours=[item.colour for item in pairs],
        audio=[item.audio for item in pairs],
        times_seconds=torch.cat([item.times_seconds for item in pairs]) if pairs else torch.empty(0),
        clip_index=torch.arange(len(pairs)).repeat_interleave(counts),
        rejects=[item for item in items if isinstance(item, RejectedClip)],
    )
