"""The batches of a run, from its data source."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from cavsync.data.batches import PairBatch, PairDataset, collate
from cavsync.data.clip import Clip
from cavsync.data.face_batches import FaceBatch, FaceWindows
from cavsync.data.order import ClipDraw, Order, PlannedBatches, batch_size
from cavsync.data.parallel import preload, use_one_thread
from cavsync.data.sampling import SamplePlan
from cavsync.data.sources.classes import ClassLabels, ClipClasses, unlabelled_error
from cavsync.data.sources.joined import JoinedSources
from cavsync.data.sources.rejects import Rejects
from cavsync.errors import DataError, MediaError
from cavsync.media.files import MEDIA_ENDINGS
from cavsync.model import ModelConfig
from cavsync.train.config import TrainConfig
from cavsync.train.ranks import Ranks
from cavsync.train.split import RunPaths

Batch = PairBatch | FaceBatch

HELD_OUT_DRAW = 0
NUM_NAMED = 5


def sample_plan(model: ModelConfig, train: TrainConfig) -> SamplePlan:
    """Return which segments and frames of each clip enter a batch."""
    return SamplePlan(
        segment_frames=model.audio_length,
        num_frames=model.num_frames,
        frame_step_seconds=model.frame_step_seconds,
        instants=train.instants_per_clip,
        spacing_seconds=train.instant_spacing_seconds,
        pad=train.pad_segments,
        published_frames=train.frames_per_clip if train.segments == "published" else None,
    )


@dataclass
class RunData:
    """Training batches by step, held-out batches, and rejected clips."""

    dataset: PairDataset | FaceWindows
    held_out: PairDataset | FaceWindows
    training_indices: list[int]
    held_out_indices: list[int]
    batch_clips: int
    parts: int
    seed: int
    workers: int
    rejects: Rejects
    ranks: Ranks
    num_clips: int
    shard_of: Order | None = None
    classes: ClipClasses | None = None
    is_balanced: bool = False
    collate: Callable[[Sequence[Any]], Batch] = collate
    groups: Sequence[str] = ()
    """The footage that each clip belongs to, for the face model."""

    @classmethod
    def open(
        cls,
        paths: RunPaths,
        model: ModelConfig,
        train: TrainConfig,
        ranks: Ranks,
        progress: Callable[[int, int], None] | None = None,
        *,
        log_mel_on_device: bool = False,
    ) -> RunData:
        """Open the sources, split them, and decode them into memory if the run caches clips.

        Raises:
            DataError: nothing to train on, or labels that do not fit.
            ConfigError: the number of repeats is not that of the sources.
        """
        source = paths.open(train.frames_per_clip, model.audio_length, train.channels)
        cache: dict[int, Clip | MediaError] | None = None
        rejects = Rejects()
        for part in source.sources:
            rejects.add_damage(part)
        num_clips = len(source.names) + len(rejects)
        load_size = train.load_size or model.img_size
        classes = _classes(source, train)
        usable = list(range(len(source.names)))
        if classes is not None:
            for index in (index for index in usable if not classes.of_clip[index]):
                rejects.add(source.names[index], unlabelled_error(source.names[index]))
            usable = [index for index in usable if classes.of_clip[index]]
        if train.cache_clips:
            cache = preload(
                source,
                load_size,
                workers=max(1, train.workers),
                keep_samples=train.augmentation.needs_samples,
                progress=progress,
            )
            for index, found in cache.items():
                if isinstance(found, MediaError):
                    rejects.add(source.names[index], found)
            usable = [index for index in usable if not isinstance(cache[index], MediaError)]
        require_usable(usable, paths, rejects)
        training, held_out = paths.split(source, usable, train)
        plan = sample_plan(model, train)
        return cls(
            dataset=PairDataset(
                source,
                plan,
                model.img_size,
                load_size=load_size,
                seed=train.seed,
                augmentation=train.augmentation,
                cache=cache,
                log_mel_on_device=log_mel_on_device,
                partners=sorted(set(training)),
            ),
            held_out=PairDataset(source, plan, model.img_size, load_size=load_size, seed=train.seed, cache=cache),
            training_indices=training,
            held_out_indices=held_out,
            batch_clips=train.batch_clips,
            parts=train.gradient_accumulation,
            seed=train.seed,
            # Worker processes would each copy the cached clips.
            workers=0 if train.cache_clips else train.workers,
            rejects=rejects,
            ranks=ranks,
            num_clips=num_clips,
            shard_of=source.shard_of,
            classes=classes,
            is_balanced=train.classify is not None and train.classify.balanced_sampling,
        ).required(paths)

    def required(self, paths: RunPaths) -> RunData:
        """Return the data itself. DataError where there are fewer clips than processes and parts of a batch."""
        count, divisor = len(self.training_indices), self.parts * self.ranks.size
        if not batch_size(count, self.batch_clips, divisor):
            raise DataError(
                f"{paths} leaves {count} clips to train on, but {divisor} processes and parts of a batch need "
                "at least one each: give more clips, or lower gradient_accumulation"
            )
        return self

    @property
    def face_windows(self) -> FaceWindows:
        """The training clips of a run of the face model."""
        assert isinstance(self.dataset, FaceWindows)
        return self.dataset

    @property
    def steps_per_epoch(self) -> float:
        """Optimiser steps in which every clip occurs once; rarely a whole number."""
        return len(self.training_indices) / self.plan(0, 0).batch_clips

    def plan(self, first_step: int, num_steps: int) -> PlannedBatches:
        """This process's part of the steps from `first_step` to `num_steps`; see `PlannedBatches`."""
        return PlannedBatches(
            self.training_indices,
            self.batch_clips,
            self.seed,
            first_step=first_step,
            num_steps=num_steps,
            rank=self.ranks.rank,
            num_ranks=self.ranks.size,
            parts=self.parts,
            shard_of=self.shard_of,
            weights=self._weights,
        )

    @cached_property
    def _weights(self) -> NDArray[np.float64] | None:
        if self.classes is None or not self.is_balanced:
            return None
        return self.classes.sampling_weights(self.training_indices)

    def training_batches(self, first_step: int, num_steps: int) -> DataLoader[Batch]:
        """Load the batches of the steps from `first_step` to `num_steps`, `parts` for each; the same for every run with
        this seed."""
        return self._loader(self.dataset, self.plan(first_step, num_steps))

    def held_out_batches(self) -> DataLoader[Batch]:
        """Load this process's part of the held-out clips, each once, with the same instants at every call.

        Every process gets the same number of batches, none of them empty; there are no batches if there are fewer
        clips than processes.
        """
        size = self.ranks.size
        share = max(1, self.batch_clips // (self.parts * size))
        draws = [(index, HELD_OUT_DRAW) for index in self.held_out_indices]
        rounds = np.array_split(np.arange(len(draws)), max(1, len(draws) // (share * size)))
        mine = [np.array_split(places, size)[self.ranks.rank] for places in rounds if len(places) >= size]
        return self._loader(self.held_out, [[draws[place] for place in places] for places in mine])

    def note_rejects(self, batch: Batch) -> None:
        """Count the clips of a batch that could not be used."""
        for reject in batch.rejects:
            self.rejects.add(reject.name, reject.error)

    def _loader(self, dataset: PairDataset | FaceWindows, batches: Iterable[list[ClipDraw]]) -> DataLoader[Batch]:
        return DataLoader(
            dataset,  # type: ignore[arg-type]
            batch_sampler=batches,
            num_workers=self.workers,
            collate_fn=self.collate,
            worker_init_fn=use_one_thread if self.workers else None,
            persistent_workers=False,
        )

    def rejects_sentence(self, allowed_share: float) -> str:
        """Return why the run stops, with the first clips that could not be used."""
        some = "; ".join(list(self.rejects.sentences.values())[:NUM_NAMED])
        return (
            f"{len(self.rejects)} of {self.num_clips} clips cannot be used ({dict(self.rejects.reasons)}), more than "
            f"the share of {allowed_share:g} that max_rejected_share allows: {some}"
        )

    def too_many_rejects(self, allowed_share: float) -> bool:
        """Whether more than this share of the clips could not be used."""
        return len(self.rejects) > allowed_share * self.num_clips

    def fingerprint(self) -> str:
        """Return a hash of the clips and their split: while it stays the same, a seed gives the same batches."""
        digest = hashlib.sha256()
        for name in self.dataset.source.names:
            digest.update(Path(name).name.encode() + b"\0")
        digest.update(np.asarray(self.training_indices, dtype=np.int64).tobytes())
        digest.update(np.asarray(self.held_out_indices, dtype=np.int64).tobytes())
        return digest.hexdigest()

    def held_out_files(self) -> list[str]:
        """Return the held-out clips that are video files: those can be scored, and so calibrate a bundle."""
        names = [self.held_out.source.names[index] for index in self.held_out_indices]
        return [name for name in names if Path(name).suffix.lower() in MEDIA_ENDINGS]


def require_usable(usable: list[int], paths: RunPaths, rejects: Rejects) -> None:
    """Raise DataError where no clip is usable."""
    if not usable:
        raise DataError(
            f"No clip of {paths} can be used ({dict(rejects.reasons)}): see `cavsync data check {paths.train[0]}`"
        )


def _classes(source: JoinedSources, train: TrainConfig) -> ClipClasses | None:
    """Return the classes of all clips; None if the run trains no classifier."""
    options = train.classify
    if options is None:
        return None
    labels = None if options.class_labels is None else ClassLabels.read(Path(options.class_labels))
    return ClipClasses.of(source, labels, options.target, ignore_other_labels=options.ignore_other_labels)
