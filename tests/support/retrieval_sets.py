"""Tiny data sets in the published formats, made of clips whose video and audio follow the same signal."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image
from sync_clips import make_audio, make_frames, write_clip

from cavsync.evaluate.inputs.encoders import Encoder
from cavsync.evaluate.inputs.eval_clips import EvalClips
from cavsync.evaluate.results.result import EvalResult
from cavsync.evaluate.retrieval.embeddings import ClipEmbeddings
from cavsync.evaluate.retrieval.measure import rank_clips
from cavsync.evaluate.retrieval.result import retrieval_result
from cavsync.evaluate.retrieval.similarity import SIMILARITIES, Similarity


def video_folder(folder: Path, count: int, *, seconds: float = 2.0) -> Path:
    """Write `count` videos vid0.mkv ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        write_clip(folder / f"vid{seed}.mkv", seconds=seconds, seed=seed)
    return folder


def cav_mae_json(folder: Path, count: int, *, frames: int = 4, seconds: float = 2.0) -> Path:
    """Write CAV-MAE's layout: frame_{i}/{id}.jpg, one WAV per clip, and the list; two classes."""
    entries: list[dict[str, Any]] = []
    for seed in range(count):
        name = f"vid{seed}"
        for number, frame in enumerate(make_frames(np.arange(frames) * seconds / frames, seed)):
            path = folder / "frames" / f"frame_{number}" / f"{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(frame).save(path, quality=95)
        wav = folder / "audio" / f"{name}.wav"
        wav.parent.mkdir(parents=True, exist_ok=True)
        _write_wav(wav, make_audio(0.0, round(seconds * 16_000), seed=seed))
        entries.append(
            {
                "wav": str(wav),
                "video_id": name,
                "video_path": str(folder / "frames"),
                "labels": "/m/dog,/m/animal" if seed % 2 else "/m/cat",
            }
        )
    path = folder / "list.json"
    path.write_text(json.dumps({"data": entries}))
    return path


def vggsound_csv(path: Path, media: Path, count: int) -> Path:
    """Write VGGSound's table and cut videos `ID_000030.mkv`: every third row is training data, the last has no file."""
    media.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as table:
        writer = csv.writer(table)
        for seed in range(count):
            write_clip(media / f"vid{seed}_000030.mkv", seconds=2.0, seed=seed)
            label = "dog barking, indoors" if seed % 2 else "cat purring"
            writer.writerow([f"vid{seed}", 30, label, "train" if seed % 3 == 2 else "test"])
        writer.writerow(["lost", 30, "cat purring", "test"])
    return path


def _write_wav(path: Path, samples: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=16_000)
        stream.layout = "mono"
        packed = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)[None]
        frame: Any = av.AudioFrame.from_ndarray(packed, format="s16", layout="mono")
        frame.sample_rate = 16_000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def measure_retrieval(
    encoder: Encoder, clips: EvalClips, embeddings: ClipEmbeddings, kinds: Sequence[Similarity] = SIMILARITIES
) -> EvalResult:
    """The whole test of retrieval, from embeddings to the result."""
    return retrieval_result(encoder, clips, embeddings, rank_clips(embeddings, kinds))
