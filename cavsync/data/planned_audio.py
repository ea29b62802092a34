"""The audio of a clip's pairs with changes that are still to be applied, by a worker or on the model's device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cavsync.data.augment.audio import AudioChange, Background, Mixture
from cavsync.data.segments import AudioSegments, compute_log_mel


@dataclass(frozen=True)
class PlannedAudio:
    """The clip's `own` segments, segments of other clips with how to mix them in, and the change to the mixture."""

    own: AudioSegments
    others: tuple[tuple[AudioSegments, Background | Mixture], ...] = ()
    change: AudioChange | None = None

    def __len__(self) -> int:
        return len(self.own)

    def computed(self) -> PlannedAudio:
        """Return the finished log-mel, computed on the CPU, with nothing left to apply."""
        return PlannedAudio(AudioSegments(compute_features([self], torch.device("cpu"))))


def compute_features(audio: Sequence[PlannedAudio], device: torch.device) -> Tensor:
    """Compute the raw log-mel (N, L, 128) of all segments, one clip after the other, on `device`."""
    parts = [segments for part in audio for segments in (part.own, *(other for other, _ in part.others))]
    features = iter(compute_log_mel(parts, device))
    finished = []
    for part in audio:
        mixed = next(features)
        for _, mixer in part.others:
            mixed = mixer.mix(mixed, next(features))
        finished.append(mixed if part.change is None else part.change.apply(mixed))
    return torch.cat(finished) if finished else torch.empty(0, device=device)
