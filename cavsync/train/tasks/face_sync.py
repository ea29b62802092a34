"""The face model: contrast of the moments of a window of one face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cavsync.data.face_batches import FaceBatch
from cavsync.data.faces.footage_offsets import FaceOffsets
from cavsync.errors import CheckpointError, DataError, MediaError
from cavsync.model.checkpoint import load_face
from cavsync.model.face_config import FaceConfig
from cavsync.model.face_sync import NUM_FRAMES, FaceSync, parted
from cavsync.run import RunFolder
from cavsync.train.config import TrainConfig
from cavsync.train.data import RunData
from cavsync.train.face_offsets import measure_offsets
from cavsync.train.ranks import Ranks
from cavsync.train.tasks.task import Draw, Task

CURVE_REACH_FRAMES = 15
"""Lags on either side of 0 that the curve of a window is to tell from lag 0."""
CURVE_SCALE = 30.0
MIN_CURVE_ROWS = 6


@dataclass
class FaceSyncTask(Task):
    """Training of the face model (see `Task`); a pair is one window."""

    model_config: FaceConfig
    config: TrainConfig
    data: RunData
    folder: RunFolder
    held_out: ClassVar[Mapping[str, str]] = {"held_out_loss": "loss", "held_out_accuracy": "accuracy"}
    _offsets: FaceOffsets | None = None
    _is_first_call: bool = True

    def build(self) -> FaceSync:
        """Make the model with random weights."""
        return FaceSync(self.model_config)

    def initialise(self, model: FaceSync) -> dict[str, str]:
        """Set mean and spread of the landmarks from the training clips, or load all of a run of the same sizes.

        Raises CheckpointError where `init_from` is of another configuration.
        """
        start = self.config.init_from
        if start is None:
            model.standardise(torch.from_numpy(self._landmarks()))
            return {}
        found = load_face(start)
        if found.config != model.config:
            raise CheckpointError(
                f"'{start}' holds a face model of another configuration than this run's: leave out the model options "
                "that were set, or start from another one."
            )
        model.load_state_dict(found.state_dict())
        return {}

    def prepare(self, model: FaceSync) -> None:
        """Do nothing: everything is trained."""

    def revise(self, model: FaceSync, step: int, num_steps: int, ranks: Ranks) -> bool:
        """Once the model has learned enough, measure the offsets of the footage and train on it corrected.

        A resumed run takes those that it measured before, so that it continues with the same batches.
        """
        options = self.config.face
        assert options is not None
        if self._offsets is not None or not options.group_offsets:
            return False
        known = FaceOffsets.read(self.folder.face_offsets_file) if self._is_first_call else None
        self._is_first_call = False
        if known is None or known.step > step:
            if step < round(options.group_offsets_share * num_steps):
                return False
            known = ranks.from_main(self._measure(model, step) if ranks.is_main else None)
        self._offsets = known
        self.data.face_windows.delays_seconds = known.delays_seconds(self.data.groups)
        return True

    def _measure(self, model: FaceSync, step: int) -> FaceOffsets:
        """Measure the offsets of the training clips' groups, and note them in the run."""
        model.eval()
        clips = sorted(set(self.data.training_indices))
        found = measure_offsets(model, self.data.face_windows, clips, self.data.groups, step)
        model.train()
        found.write(self.folder.face_offsets_file)
        return found

    def loss(self, model: Any, batch: FaceBatch, device: torch.device, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """Contrast both ways; see `Task.loss`. `accuracy` is the share of frames that are most similar to their own
        moment."""
        # Dropout draws from the global generator: this way a resumed run drops the same channels.
        torch.manual_seed(draw.generator.initial_seed() + (0 if draw.place is None else draw.place[0]))
        visual, audio, scale = model(batch.features.to(device), batch.normalised_log_mel(device))
        used = batch.lengths.to(device) - NUM_FRAMES + 1
        count = self.model_config.landmark_members + 1
        cosines, mask = similarities(parted(visual, count), parted(audio, count), used)
        assert self.config.face is not None
        # Each member is to learn as if it were alone.
        loss = count * (contrast_loss(cosines, mask, scale) + self.config.face.curve_weight * curve_loss(cosines, mask))
        with torch.no_grad():
            accuracy = window_accuracy(visual, audio, used)
        return loss, {"loss": float(loss.detach()), "accuracy": float(accuracy), "scale": float(scale.detach())}

    def _landmarks(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return the landmark features of all frames of the training clips, (n, NUM_LANDMARK_FEATURES)."""
        found = []
        for index in sorted(set(self.data.training_indices)):
            try:
                found.append(self.data.face_windows.clip(index).landmarks)
            except MediaError as error:
                self.data.rejects.add(self.data.face_windows.source.names[index], error)
        if not found:
            raise DataError(f"No clip shows a face ({dict(self.data.rejects.reasons)}): give clips of talking people")
        return np.concatenate(found)


def contrast_loss(cosines: Tensor, mask: Tensor, scale: Tensor) -> Tensor:
    """Return the InfoNCE loss (scalar), both ways, of `similarities`: the other moments of a window are the
    negatives."""
    logits = cosines * scale
    # Rows of padding have no target; all moments weigh the same, in long and short windows.
    rows = mask.expand(logits.shape[:-1])
    ways = (logits, logits.transpose(-1, -2))
    losses = [-F.log_softmax(way, dim=-1).diagonal(dim1=-2, dim2=-1)[rows].mean() for way in ways]
    return (losses[0] + losses[1]) / 2


def curve_loss(cosines: Tensor, mask: Tensor) -> Tensor:
    """Return the cross-entropy (scalar) of the lags of each window's curve, the mean of `similarities` along diagonals:
    lag 0 is right. It is what a scorer looks at."""
    size = cosines.shape[-1]
    reach = min(CURVE_REACH_FRAMES, size - 1)
    frames = torch.arange(size, device=cosines.device)
    moments = frames[:, None] + torch.arange(-reach, reach + 1, device=cosines.device)
    is_inside = mask[:, :, None] & (moments >= 0) & (moments < mask.sum(-1)[:, None, None])
    along = cosines.gather(-1, moments.clamp(0, size - 1).expand(*cosines.shape[:-1], -1))
    counts = is_inside.sum(-2)
    curve = (along * is_inside).sum(-2) / counts.clamp(min=1)
    logits = (CURVE_SCALE * curve).masked_fill(counts < MIN_CURVE_ROWS, -1e4)
    return -F.log_softmax(logits, dim=-1)[..., reach].mean()


def window_accuracy(visual: Tensor, audio: Tensor, used: Tensor) -> Tensor:
    """Return the share of frames whose most similar moment of their window is their own."""
    logits, mask = similarities(visual, audio, used)
    own = torch.arange(logits.shape[-1], device=logits.device)
    return (logits.argmax(dim=-1) == own)[mask].float().mean()


def similarities(visual: Tensor, audio: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosines (..., B, n, n) of each frame with each moment, and the mask (B, n) of those in use.

    A column or row of padding is far below all others; a row of padding is to be ignored.
    """
    cosines = visual.float() @ audio.float().transpose(-1, -2)
    mask = torch.arange(cosines.shape[-1], device=used.device) < used[:, None]
    return cosines.masked_fill(~(mask[:, None, :] & mask[:, :, None]), -1e4), mask
