"""Write shards as another tool would, open a folder of shards, and use all that it offers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import webdataset

from cavsync.data.shards import ShardFolder
from cavsync.data.shards.flac import encode_flac
from cavsync.data.shards.jpeg import encode_jpeg
from cavsync.errors import MediaError

FRAMES = 3
"""Frames of every sample."""


def opened(folder: Path) -> ShardFolder:
    """The shards of a folder, for segments of 0.48 s."""
    return ShardFolder.open(folder, frames_per_clip=10, segment_frames=48)


def reasons(source: ShardFolder) -> list[tuple[str, str, str]]:
    """Shard, sample and reason of everything damaged."""
    return [(Path(found.shard).name, found.sample, found.reason) for found in source.damage]


def use_all(source: ShardFolder) -> dict[str, MediaError]:
    """Load every clip with all its frames; the rejects by name."""
    rejects = {}
    for index, name in enumerate(source.names):
        try:
            clip = source.load(index, 32)
            assert clip.frames[np.arange(len(clip.frames))].shape == (FRAMES, 3, 32, 32)
        except MediaError as error:
            rejects[name] = error
    return rejects


def make_foreign(path: Path, keys: list[str], **record: Any) -> None:
    """Samples as another tool might write them: frames numbered otherwise, a stereo audio, no index, no checks."""
    random = np.random.default_rng(1)
    described = {"pts_seconds": [0.0, 0.5, 1.0], "audio_start_seconds": 0.0, "labels": ["x"]} | record
    with webdataset.TarWriter(str(path), encoder=False) as writer:
        for key in keys:
            frames = {
                f"{i:04d}.jpg": encode_jpeg(random.integers(0, 255, (40, 60, 3), dtype=np.uint8), 40, 90)
                for i in range(FRAMES)
            }
            writer.write(
                {
                    "__key__": key,
                    "json": json.dumps(described).encode(),
                    "flac": encode_flac(random.uniform(-0.5, 0.5, 24_000).astype(np.float32)),
                    "txt": b"more",
                    **frames,
                }
            )
