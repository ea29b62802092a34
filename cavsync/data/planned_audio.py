"""The audio of a clip's pairs, and the changes that are still to be made to it: by a worker or on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cavsync.data.augment.audio import AudioChange, Background, Mixture
from cavsync.data.segments import AudioSegments, compute_log_mel


@dataclass(frozen=True)
class PlannedAudio:
    """`own` segments, those of other clips with how they are added, and the change of what results."""

    own: AudioSegments
    others: tuple[tuple[AudioSegments, Background | Mixture], ...] = ()
    change: AudioChange | None = None

    def __len__(self) -> int:
        return len(self.own)

    def done(self) -> PlannedAudio:
        """The same with everything computed, here and now."""
        return PlannedAudio(AudioSegments(compute_features([self], torch.device("cpu"))))


def compute_features(audio: Sequence[PlannedAudio], device: torch.device) -> Tensor:
    """Raw log-mel (N, L, 128) of all sounds, one after the other, on `device`."""
    parts = [segments for part in audio for segments in (part.own, *(other for other, _ in part.others))]
    features = iter(compute_log_mel(parts, device))
    finished = []
    for part in audio:
        mixed = next(features)
        for _, how in part.others:
            mixed = how.of(mixed, next(features))
        finished.append(mixed if part.change is None else part.change.of(mixed))
    return torch.cat(finished) if finished else torch.empty(0, device=device)
