"""Embeddings of the clips of a test, cached on disk under a hash of everything that they depend on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from cavsync.atomic import atomic_folder
from cavsync.data.logmel import AUDIO_MEAN, AUDIO_STD
from cavsync.errors import ConfigError, DataError, MediaError
from cavsync.evaluate.inputs.clip_inputs import ClipInputs, clip_inputs, load_ahead, plan_for
from cavsync.evaluate.inputs.clip_selection import clip_name
from cavsync.evaluate.inputs.encoders import Encoder
from cavsync.evaluate.inputs.eval_clips import EvalClips
from cavsync.evaluate.results.provenance import decoders, versions
from cavsync.file_names import legible
from cavsync.manifest import sha256_file

FORMAT = 1
INFO, VISUAL, AUDIO = "info.json", "visual.f32", "audio.f32"
KEY_DIGITS = 32

FloatArray = NDArray[np.float32]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ClipEmbeddings:
    """Unit vectors `visual` and `audio` (N, F, D), memory-mapped, of the clips `names`.

    Clips with equal entries in `frames_sha256` or `audio_sha256` have the same frames or audio. rejects: clip -> why it
    was left out.
    """

    names: list[str]
    visual: FloatArray
    audio: FloatArray
    frames_sha256: list[str]
    audio_sha256: list[str]
    rejects: dict[str, str]


def default_cache() -> Path:
    """Return the folder of the cache: `$XDG_CACHE_HOME/cavsync/embeddings`, by default below ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "cavsync", "embeddings")


def clip_embeddings(
    encoder: Encoder,
    clips: EvalClips,
    cache: Path,
    *,
    batch_size: int = 16,
    threads: int = 2,
    progress: Progress = lambda *_: None,
) -> ClipEmbeddings:
    """Read the embeddings from `cache`, or compute and store them; an interrupted call stores nothing.

    The cache key is a hash of the weights, the clips' contents, the front end's numbers, and the versions of cavsync,
    the numeric packages and the decoders. `batch_size` inputs are encoded at once, which changes results by rounding
    only. Raises DataError if no clip can be used or the cache is damaged, ConfigError if it cannot be written.
    """
    key = _key(encoder, clips)
    folder = cache / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:KEY_DIGITS]
    if not folder.is_dir():
        try:
            # Another process that finished meanwhile has written the same.
            with atomic_folder(folder) as fresh:
                _write(fresh, key, encoder, clips, batch_size, threads, progress)
        except OSError as error:
            raise ConfigError(f"{cache} cannot hold the embeddings ({error.strerror}): name another --cache") from None
    return _read(folder)


def _key(encoder: Encoder, clips: EvalClips) -> dict[str, Any]:
    plan = plan_for(encoder, clips.frames, clips.segments)
    return {
        "format": FORMAT,
        "model": {"sha256": encoder.id.sha256, "details": encoder.id.details, "device": encoder.device},
        "data": clips.data.sha256,
        "clips": hashlib.sha256("\n".join(clips.names).encode()).hexdigest(),
        "plan": {**asdict(plan), "img_size": encoder.img_size, "mean": AUDIO_MEAN, "std": AUDIO_STD},
        "channels": clips.source.channels,
        "decoders": decoders(),
        "versions": versions(),
    }


def _write(
    folder: Path,
    key: dict[str, Any],
    encoder: Encoder,
    clips: EvalClips,
    batch_size: int,
    threads: int,
    progress: Progress,
) -> None:
    plan = plan_for(encoder, clips.frames, clips.segments)
    kept: list[int] = []
    hashes: list[tuple[str, str]] = []
    rejects: dict[str, str] = {}
    width = 0
    with (folder / VISUAL).open("wb") as visual, (folder / AUDIO).open("wb") as audio:

        def load(index: int) -> ClipInputs:
            return clip_inputs(clips.source.load(index, encoder.img_size), plan)

        waiting: list[ClipInputs] = []
        for done, (index, found) in enumerate(load_ahead(clips.indices, load, threads), start=1):
            if isinstance(found, MediaError):
                rejects[legible(clips.source.names[index])] = str(found)
            else:
                kept.append(index)
                hashes.append((found.frames_sha256, found.audio_sha256))
                waiting.append(found)
            if waiting and (done == len(clips.indices) or sum(len(item.tubelets) for item in waiting) >= batch_size):
                width = _embed(encoder, waiting, batch_size, visual, audio)
                waiting = []
            progress(done, len(clips.indices))
    if not kept:
        raise DataError(f"No clip of {clips.data.name} can be used: {next(iter(rejects.values()), 'it lists none')}")
    info = {
        "key": key,
        "names": [clip_name(clips.source.names[index]) for index in kept],
        "shape": [len(kept), clips.frames, width],
        "picture_sha256": [frames for frames, _ in hashes],
        "sound_sha256": [audio_hash for _, audio_hash in hashes],
        "rejects": rejects,
        "files": {name: sha256_file(folder / name) for name in (VISUAL, AUDIO)},
    }
    (folder / INFO).write_text(json.dumps(info), encoding="utf-8")


def _embed(encoder: Encoder, items: Sequence[ClipInputs], batch_size: int, visual: BinaryIO, audio: BinaryIO) -> int:
    """Embed some clips and append their vectors to the files; return the width of a vector."""
    frames = np.concatenate([item.tubelets for item in items])
    segments = np.concatenate([item.segments for item in items])
    visual_vectors = np.concatenate([encoder.embed_frames(part).pooled for part in _batches(frames, batch_size)])
    audio_vectors = np.concatenate([encoder.embed_audio(part).pooled for part in _batches(segments, batch_size)])
    firsts = np.cumsum([0, *(len(item.segments) for item in items)])
    places = np.concatenate([first + item.segment_of for first, item in zip(firsts[:-1], items, strict=True)])
    visual.write(visual_vectors.astype("<f4").tobytes())
    audio.write(audio_vectors[places].astype("<f4").tobytes())
    return int(visual_vectors.shape[1])


def _batches(values: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _read(folder: Path) -> ClipEmbeddings:
    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
        for name, sha256 in info["files"].items():
            if sha256_file(folder / name) != sha256:
                raise ValueError(f"{name} has changed")
        shape = tuple(int(size) for size in info["shape"])
        return ClipEmbeddings(
            names=info["names"],
            visual=np.memmap(folder / VISUAL, dtype="<f4", mode="r", shape=shape),
            audio=np.memmap(folder / AUDIO, dtype="<f4", mode="r", shape=shape),
            frames_sha256=info["picture_sha256"],
            audio_sha256=info["sound_sha256"],
            rejects=info["rejects"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} is damaged ({error}): delete it, and it will be computed again") from None
