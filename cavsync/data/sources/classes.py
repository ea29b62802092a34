"""The classes of a classifier, and the classes of each clip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cavsync.atomic import write_text_atomically
from cavsync.data.labels import Label, read_vocabulary, vocabulary_text
from cavsync.data.sources.clips import ClipSource
from cavsync.errors import DataError, MediaError

Target = Literal["multi-label", "single-label"]
Content = tuple[tuple[int, float], ...]
"""The clips (by index) that a training pair is mixed from, with their shares."""


@dataclass(frozen=True)
class ClassLabels:
    """The classes in the order of their index: (index, mid, display name), as in CAV-MAE's CSV."""

    vocabulary: tuple[Label, ...]

    @classmethod
    def read(cls, path: Path) -> ClassLabels:
        """Read a CSV `index,mid,display_name`. Raises DataError for another kind of file, indices other than 0 to n -
        1, or a name of two classes."""
        vocabulary = sorted(read_vocabulary(path))
        if not vocabulary or [index for index, _, _ in vocabulary] != list(range(len(vocabulary))):
            raise DataError(f"{path} must number its classes from 0 on without gaps: correct its first column")
        labels = cls(tuple(vocabulary))
        for index, *names in labels.vocabulary:
            for name in names:
                if labels.index_of[name] != index:
                    raise DataError(f"{path} gives the name {name!r} to two classes: rename one of them")
        return labels

    @classmethod
    def of_names(cls, names: Iterable[str]) -> ClassLabels:
        """Make classes of names alone, in alphabetical order."""
        return cls(tuple((index, name, name) for index, name in enumerate(sorted(set(names)))))

    @cached_property
    def index_of(self) -> dict[str, int]:
        """The index of the class of every mid and display name."""
        return {name: index for index, mid, display_name in self.vocabulary for name in (display_name, mid)}

    @property
    def display_names(self) -> list[str]:
        """The display names in the order of the classes."""
        return [name for _, _, name in self.vocabulary]

    def __len__(self) -> int:
        return len(self.vocabulary)

    def to_csv(self) -> str:
        """Return the text of the CSV that `read` reads."""
        return vocabulary_text(self.vocabulary)

    def write(self, path: Path) -> None:
        """Write a CSV that `read` reads."""
        write_text_atomically(path, self.to_csv())


def unlabelled_error(name: str) -> MediaError:
    """Return the error for a clip without a class."""
    return MediaError(f"{name} has no label of the vocabulary: label it or leave it out", reason="label")


@dataclass(frozen=True)
class ClipClasses:
    """The indices of the classes of every clip of a source; empty for a clip without a label of the vocabulary."""

    labels: ClassLabels
    of_clip: tuple[tuple[int, ...], ...]

    @classmethod
    def of(
        cls,
        source: ClipSource,
        labels: ClassLabels | None,
        target: Target,
        *,
        ignore_other_labels: bool = False,
    ) -> ClipClasses:
        """Look up the labels of all clips; without `labels` the classes are all labels of the clips.

        Raises DataError for a label that is not in the vocabulary (unless `ignore_other_labels`), for a source without
        any label, and for a clip with several classes if the target is single-label.
        """
        named = [source.labels(index) for index in range(len(source.names))]
        if labels is None:
            labels = ClassLabels.of_names(name for names in named for name in names)
        of_clip = []
        for index, names in enumerate(named):
            unknown = [name for name in names if name not in labels.index_of]
            if unknown and not ignore_other_labels:
                raise DataError(
                    f"{source.names[index]} has the label {unknown[0]!r}, which is not in the vocabulary: complete the "
                    "vocabulary, or pass --set ignore_other_labels=true"
                )
            found = tuple(sorted({labels.index_of[name] for name in names if name in labels.index_of}))
            if target == "single-label" and len(found) > 1:
                raise DataError(
                    f"{source.names[index]} has {len(found)} classes ({', '.join(names)}), but single-label training "
                    "expects one: use target multi-label, or a vocabulary of mutually exclusive classes"
                )
            of_clip.append(found)
        if not any(of_clip):
            raise DataError(
                "No clip has a label of the vocabulary: give a CAV-MAE list or shards with labels, or put a labels.csv "
                "(file,labels) into the folder of videos"
            )
        return cls(labels, tuple(of_clip))

    def targets(self, contents: Sequence[Content], label_smoothing: float = 0.0) -> Tensor:
        """Return targets float32 (clips, classes): 1 for a clip's classes, weighted by the shares of mixed clips; the
        fraction `label_smoothing` is spread evenly over all classes (Szegedy et al. 2016, arXiv 1512.00567)."""
        found = torch.zeros(len(contents), len(self.labels))
        for row, content in enumerate(contents):
            for index, share in content:
                found[row, list(self.of_clip[index])] += share
        return found * (1 - label_smoothing) + label_smoothing / len(self.labels)

    def sampling_weights(self, indices: Sequence[int]) -> NDArray[np.float64]:
        """Return weights of clips with which all classes are drawn about equally often, as in PSLA and CAV-MAE: the sum
        over a clip's classes of 1 / the number of `indices` in that class (Gong et al. 2021, arXiv 2102.01243)."""
        counts = np.bincount([c for index in indices for c in self.of_clip[index]], minlength=len(self.labels))
        weights = np.array([sum(1 / counts[c] for c in self.of_clip[index]) for index in indices])
        return np.asarray(weights / weights.sum(), dtype=np.float64)
