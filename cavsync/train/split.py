"""Split a run's clips into those to train on and those held out, which measure the run and calibrate its export."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cavsync.atomic import write_text_atomically
from cavsync.data.sources.classes import ClassLabels
from cavsync.data.sources.clips import open_source
from cavsync.data.sources.joined import JoinedSources
from cavsync.errors import CheckpointError, ConfigError
from cavsync.media.resample import ChannelRule
from cavsync.run import RunConfig, RunFolder
from cavsync.train.config import TrainConfig


@dataclass(frozen=True)
class RunPaths:
    """The data sources of a run: those to train on, and those held out.

    Without the latter, a share of the clips is held out at random.
    """

    train: tuple[Path, ...]
    held_out: tuple[Path, ...] = ()

    def __str__(self) -> str:
        return ", ".join(map(str, self.train))

    def open(self, frames_per_clip: int, segment_frames: int, channels: ChannelRule | None = None) -> JoinedSources:
        """Open all sources as one, those to train on first; see `open_source`.

        Raises DataError where one cannot be opened, ConfigError where a clip is both trained on and held out.
        """
        opened = [
            open_source(path, frames_per_clip=frames_per_clip, segment_frames=segment_frames, channels=channels)
            for path in (*self.train, *self.held_out)
        ]
        if self.held_out:
            kept = {Path(name).resolve() for source in opened[len(self.train) :] for name in source.names}
            names = (Path(name).resolve() for source in opened[: len(self.train)] for name in source.names)
            both = next((name for name in names if name in kept), None)
            if both is not None:
                raise ConfigError(f"{both} is both to be trained on and held out: take it out of one of the two.")
        return JoinedSources(tuple(opened))

    def split(self, source: JoinedSources, usable: list[int], config: TrainConfig) -> tuple[list[int], list[int]]:
        """Split the `usable` indices: those to train on, each as often as its source is repeated, and those held out.

        Raises ConfigError where the number of repeats is not that of the sources.
        """
        repeats = config.repeats or (1,) * len(self.train)
        if len(repeats) != len(self.train):
            raise ConfigError(
                f"repeats names {len(repeats)} numbers for {len(self.train)} data sources: give one for each of them."
            )
        starts = source.first_clip
        first_held_out = starts[len(self.train)]
        training = [index for index in usable if index < first_held_out]
        held_out = [index for index in usable if index >= first_held_out]
        if not self.held_out:
            chosen, kept = split(len(training), config.held_out_share, config.seed)
            training, held_out = [training[i] for i in chosen], [training[i] for i in kept]
        times = [repeats[int(np.searchsorted(starts, index, side="right")) - 1] for index in training]
        return [index for index, count in zip(training, times, strict=True) for _ in range(count)], held_out


def split(num_clips: int, held_out_share: float, seed: int) -> tuple[list[int], list[int]]:
    """Draw the indices to train on and those to hold out: at least one where the share is above 0 and clips above 1."""
    count = round(num_clips * held_out_share)
    if held_out_share > 0 and num_clips > 1:
        count = max(1, count)
    order = np.random.default_rng((seed, 0xE1D)).permutation(num_clips)
    return sorted(int(i) for i in order[count:]), sorted(int(i) for i in order[:count])


def note_data(folder: RunFolder, fingerprint: str, *, is_new: bool) -> None:
    """Note the clips that a run begins with; CheckpointError where it would be resumed with others."""
    path = folder.data_file
    if is_new or not path.is_file():
        write_text_atomically(path, json.dumps({"sha256": fingerprint}) + "\n")
    elif json.loads(path.read_text(encoding="utf-8")).get("sha256") != fingerprint:
        raise CheckpointError(
            f"'{folder.path}' was begun with other clips, and would train on those that it held out: give it the same "
            "data, or start a new run from its weights with --set init_from."
        )


def note_classes(folder: RunFolder, classes: ClassLabels) -> None:
    """Keep a classifier's classes with its run; CheckpointError where it would be resumed with others."""
    path = folder.class_labels_file
    if not path.is_file():
        classes.write(path)
    elif path.read_text(encoding="utf-8") != classes.to_csv():
        raise CheckpointError(f"'{folder.path}' was begun with other classes: give it the same vocabulary and data.")


def note_fitted_positions(folder: RunFolder, changes: Mapping[str, str]) -> None:
    """Note in the run's configuration what was done to the position tables that it starts from."""
    config = RunConfig.read(folder.config_file)
    source = {**(config.source or {}), "fitted_positions": dict(changes)}
    write_text_atomically(folder.config_file, config.model_copy(update={"source": source}).to_text())


def write_held_out(folder: RunFolder, names: list[str]) -> None:
    """Note the paths of the held-out clips in the run, for export's calibration."""
    paths = [str(Path(name).resolve()) for name in names]
    write_text_atomically(folder.held_out_file, json.dumps({"clips": paths}, indent=1) + "\n")
