"""The batches of a run, from its data source."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from cavsync.data.batches import Draw, PairBatch, PairDataset, PlannedBatches, collate
from cavsync.data.clip import Clip
from cavsync.data.preload import preload
from cavsync.data.sampling import SamplePlan
from cavsync.data.source import ClipSource, Rejects, open_source
from cavsync.errors import DataError, MediaError
from cavsync.model import ModelConfig
from cavsync.train.config import TrainConfig
from cavsync.train.split import split, write_held_out

HELD_OUT_DRAW = 0


def sample_plan(model: ModelConfig, train: TrainConfig) -> SamplePlan:
    """What each clip contributes to a batch."""
    return SamplePlan(
        segment_frames=model.audio_length,
        num_frames=model.num_frames,
        frame_step_seconds=model.frame_step_seconds,
        instants=train.instants_per_clip,
        spacing_seconds=train.instant_spacing_seconds,
        pad=train.pad_segments,
    )


@dataclass
class RunData:
    """Training batches by step, held-out batches, and what was rejected on the way."""

    dataset: PairDataset
    held_out: PairDataset
    training_indices: list[int]
    held_out_indices: list[int]
    batch_clips: int
    seed: int
    workers: int
    rejects: Rejects

    @classmethod
    def open(
        cls,
        path: Path,
        run_dir: Path,
        model: ModelConfig,
        train: TrainConfig,
        progress: Callable[[int, int], None] | None = None,
    ) -> RunData:
        """Open the source, split it, and decode it into memory where the run asks for that.

        Raises:
            DataError: nothing to train on.
        """
        source = open_source(path, frames_per_clip=train.frames_per_clip, segment_frames=model.audio_length)
        cache: dict[int, Clip | MediaError] | None = None
        rejects = Rejects()
        usable = list(range(len(source.names)))
        if train.cache_clips:
            cache = preload(source, model.img_size, workers=max(1, train.workers), progress=progress)
            for index, found in cache.items():
                if isinstance(found, MediaError):
                    rejects.add(source.names[index], found)
            usable = [index for index in usable if not isinstance(cache[index], MediaError)]
        if not usable:
            raise DataError(f"No clip of {path} can be used ({dict(rejects.reasons)}): see `cavsync data check {path}`")
        training, held_out = split(len(usable), train.held_out_share, train.seed)
        plan = sample_plan(model, train)
        data = cls(
            dataset=PairDataset(source, plan, model.img_size, seed=train.seed, augment=train.augment, cache=cache),
            held_out=PairDataset(source, plan, model.img_size, seed=train.seed, cache=cache),
            training_indices=[usable[index] for index in training],
            held_out_indices=[usable[index] for index in held_out],
            batch_clips=train.batch_clips,
            seed=train.seed,
            # Cached clips live in this process; handing them to others would copy them all.
            workers=0 if train.cache_clips else train.workers,
            rejects=rejects,
        )
        write_held_out(run_dir, data._held_out_files(source, path))
        return data

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps that see every clip once."""
        return max(1, len(self.training_indices) // self.batch_clips)

    def training_batches(self, first_step: int, num_steps: int) -> DataLoader[PairBatch]:
        """Batches of the steps from `first_step` to `num_steps`; the same for every run with this seed."""
        plan = PlannedBatches(
            self.training_indices, self.batch_clips, self.seed, first_step=first_step, num_steps=num_steps
        )
        return self._loader(self.dataset, plan)

    def held_out_batches(self) -> DataLoader[PairBatch]:
        """Each held-out clip once, with the same instants at every call."""
        draws = [(index, HELD_OUT_DRAW) for index in self.held_out_indices]
        return self._loader(
            self.held_out, [draws[i : i + self.batch_clips] for i in range(0, len(draws), self.batch_clips)]
        )

    def note_rejects(self, batch: PairBatch) -> None:
        """Count what the loader could not use."""
        for reject in batch.rejects:
            self.rejects.add(reject.name, reject.error)

    def _loader(self, dataset: PairDataset, batches: Iterable[list[Draw]]) -> DataLoader[PairBatch]:
        return DataLoader(
            dataset,  # type: ignore[arg-type]
            batch_sampler=batches,
            num_workers=self.workers,
            collate_fn=collate,
            worker_init_fn=_one_thread if self.workers else None,
            persistent_workers=False,
        )

    def _held_out_files(self, source: ClipSource, path: Path) -> list[str]:
        """Only video files can be scored, so only they serve calibration."""
        return [source.names[index] for index in self.held_out_indices] if path.is_dir() else []


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)
