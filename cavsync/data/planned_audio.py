"""The sound of a clip's pairs, and the changes that are still to be made to it: by a worker or on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cavsync.data.augment.audio import Background, Mixture, SoundChange
from cavsync.data.segments import Segments, log_mel_of


@dataclass(frozen=True)
class PlannedSound:
    """`own` segments, those of other clips with how they are added, and the change of what results."""

    own: Segments
    others: tuple[tuple[Segments, Background | Mixture], ...] = ()
    change: SoundChange | None = None

    def __len__(self) -> int:
        return len(self.own)

    def done(self) -> PlannedSound:
        """The same with everything computed, here and now."""
        return PlannedSound(Segments(features_of([self], torch.device("cpu"))))


def features_of(sounds: Sequence[PlannedSound], device: torch.device) -> Tensor:
    """Raw log-mel (N, L, 128) of all sounds, one after the other, on `device`."""
    parts = [segments for sound in sounds for segments in (sound.own, *(other for other, _ in sound.others))]
    features = iter(log_mel_of(parts, device))
    finished = []
    for sound in sounds:
        mixed = next(features)
        for _, how in sound.others:
            mixed = how.of(mixed, next(features))
        finished.append(mixed if sound.change is None else sound.change.of(mixed))
    return torch.cat(finished) if finished else torch.empty(0, device=device)
