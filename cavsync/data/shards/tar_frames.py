"""Frames of one clip that are decoded when they are used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cavsync.data.shards.jpeg import decode_jpeg
from cavsync.data.shards.tar_files import TarFiles


@dataclass(frozen=True)
class TarFrames:
    """The JPEGs at `places` (offset, size) of a tar as frames of `img_size`; `crc32` are their checksums, if known."""

    files: TarFiles
    shard: int
    places: list[tuple[int, int]]
    crc32: tuple[int, ...] | None
    img_size: int

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """Return frames `indices` (...) as RGB (..., 3, S, S), each decoded once. MediaError if one is corrupt."""
        wanted, position = np.unique(np.arange(len(self))[indices], return_inverse=True)
        frames = np.empty((len(wanted), 3, self.img_size, self.img_size), dtype=np.uint8)
        for place, number in enumerate(wanted):
            frames[place] = self._frame(int(number))
        found: NDArray[np.uint8] = frames[position.reshape(np.shape(indices))]
        return found

    def _frame(self, number: int) -> NDArray[np.uint8]:
        place = self.places[number]
        data = self.files.read(self.shard, place, None if self.crc32 is None else self.crc32[number])
        return decode_jpeg(data, self.img_size, self.files.member_name(self.shard, place))
