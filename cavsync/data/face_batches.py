"""Training batches of windows of face tracks, each with its log-mel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from cavsync.data.augment.audio import AudioChange, Background
from cavsync.data.augment.config import Augmentation
from cavsync.data.augment.faces import FaceAugmentation, change_landmarks, change_mouths
from cavsync.data.batches import RejectedClip
from cavsync.data.faces.face_clip import FaceClip
from cavsync.data.faces.windows import TimedClip, Window, WindowPlan, cut_window, draw_place
from cavsync.data.logmel import normalise
from cavsync.data.order import ClipDraw
from cavsync.errors import MediaError


class FaceSource(Protocol):
    """Named clips with face tracks, loaded one by one, in any process."""

    @property
    def names(self) -> Sequence[str]:
        """Name of each clip: its path."""
        ...

    def load(self, index: int) -> FaceClip:
        """Load clip `index`. Raises MediaError for a clip that cannot be used."""
        ...


@dataclass(frozen=True)
class FaceWindow:
    """One window of a clip: features of its frames (T, NUM_FEATURES), and raw log-mel (M, 128)."""

    name: str
    features: Tensor
    log_mel: Tensor


@dataclass(frozen=True)
class FaceBatch:
    """B windows: `features` (B, T, NUM_FEATURES) and raw `log_mel` (B, M, 128), of which the first `lengths` (B,)
    frames and what belongs to them are used; the rest is zero."""

    names: list[str]
    features: Tensor
    log_mel: Tensor
    lengths: Tensor
    rejects: list[RejectedClip]

    def __len__(self) -> int:
        return len(self.names)

    def normalised_log_mel(self, device: torch.device) -> Tensor:
        """Return normalised log-mel (B, M, 128) on `device`."""
        return normalise(self.log_mel.to(device))


@dataclass(eq=False)
class FaceWindows(Dataset[FaceWindow | RejectedClip]):
    """Windows of the clips of a source, indexed by (clip, visit): the same index gives the same window in any process.

    keep: hold the features of all clips in memory, in `kept`, as they are first used. partners: indices of the clips
    whose audio may be added; None for all. delays_seconds: by clip, how much later its audio is to be played.
    """

    source: FaceSource
    plan: WindowPlan
    _: KW_ONLY
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    face_augmentation: FaceAugmentation = field(default_factory=FaceAugmentation)
    keep: bool = False
    partners: Sequence[int] | None = None
    delays_seconds: dict[int, float] = field(default_factory=dict)
    kept: dict[int, TimedClip] = field(default_factory=dict)

    def __getitem__(self, draw: ClipDraw) -> FaceWindow | RejectedClip:
        index = draw[0]
        try:
            return self._window(index, np.random.default_rng((self.seed, *draw)))
        except MediaError as error:
            return RejectedClip(self.source.names[index], error)

    def clip(self, index: int) -> TimedClip:
        """Return a clip by time, with its delay. Raises MediaError for a clip that cannot be used."""
        clip = self.kept.get(index)
        if clip is None:
            clip = TimedClip.of(self.source.load(index))
            if self.keep:
                self.kept[index] = clip
        return clip.with_audio_delayed(self.delays_seconds.get(index, 0.0))

    def _window(self, index: int, random: np.random.Generator) -> FaceWindow:
        wanted, clip = self.augmentation, self.clip(index)
        low, high = wanted.tempo
        tempo = float(np.exp(random.uniform(np.log(low), np.log(high))))
        window = cut_window(clip, self.plan, draw_place(clip, self.plan, tempo, random))
        is_mirrored = bool(random.random() < wanted.mirror)
        changes = self.face_augmentation
        other = (self._other(random) if changes.other_mouth else None) or clip
        landmarks = change_landmarks(window.landmarks, other.landmarks.mean(axis=0), changes, is_mirrored, random)
        mouths = change_mouths(window.mouths, changes, is_mirrored, random)
        features = np.concatenate([landmarks, mouths], axis=1)
        return FaceWindow(clip.source, torch.from_numpy(features), self._audio(window, random))

    def _audio(self, window: Window, random: np.random.Generator) -> Tensor:
        """Return the window's log-mel (M, 128), perhaps with another clip's below it, and changed."""
        sound = torch.from_numpy(window.log_mel)
        if random.random() < self.augmentation.background:
            other = self._other_audio(len(sound), random)
            sound = sound if other is None else Background.draw(random).mix(sound, torch.from_numpy(other))
        return AudioChange.draw(self.augmentation, len(sound), random).apply(sound)

    def _other_audio(self, length: int, random: np.random.Generator) -> NDArray[np.float32] | None:
        """Draw `length` log-mel frames of another clip, repeated where it is shorter; None where it is unusable."""
        other = self._other(random)
        if other is None or not len(other.log_mel):
            return None
        log_mel = other.log_mel
        places = (int(random.integers(len(log_mel))) + np.arange(length)) % len(log_mel)
        found: NDArray[np.float32] = log_mel[places]
        return found

    def _other(self, random: np.random.Generator) -> TimedClip | None:
        """Draw a clip; None where it is unusable, which its own visit reports."""
        count = len(self.source.names) if self.partners is None else len(self.partners)
        place = int(random.integers(count))
        try:
            return self.clip(place if self.partners is None else self.partners[place])
        except MediaError:
            return None


def collate_windows(items: Sequence[FaceWindow | RejectedClip]) -> FaceBatch:
    """Join the windows of all usable clips; rejected clips make the batch smaller and are never replaced."""
    windows = [item for item in items if isinstance(item, FaceWindow)]
    return FaceBatch(
        names=[item.name for item in windows],
        features=pad_sequence([item.features for item in windows], batch_first=True) if windows else torch.empty(0),
        log_mel=pad_sequence([item.log_mel for item in windows], batch_first=True) if windows else torch.empty(0),
        lengths=torch.tensor([len(item.features) for item in windows], dtype=torch.long),
        rejects=[item for item in items if isinstance(item, RejectedClip)],
    )
