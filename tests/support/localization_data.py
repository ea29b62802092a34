"""Tiny data sets in the published localisation formats, and an encoder whose heat map is known."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sync_clips import write_clip

from cavsync.evaluate.inpaint.griffin_lim import write_wav
from cavsync.evaluate.inputs.encoders import Encoder, Vectors
from cavsync.evaluate.results.result import ModelId

RED_CLASS, BLUE_CLASS = 2 * 256 + 17, 5
HEIGHT, WIDTH = 90, 120
RED, BLUE, GREY = (220, 30, 30), (30, 30, 220), (120, 120, 120)


def write_ade20k_sound(root: Path) -> Path:
    """Write four prompts in ADE20K_Sound's layout: two red objects with a low hum, two blue ones with a high hum."""
    rows = []
    for number, (class_id, colour, pitch_hz) in enumerate(
        [(RED_CLASS, RED, 200.0), (BLUE_CLASS, BLUE, 3000.0), (RED_CLASS, RED, 200.0), (BLUE_CLASS, BLUE, 3000.0)]
    ):
        name = f"validation/scene_{number}.jpg"
        picture = np.full((HEIGHT, WIDTH, 3), GREY, dtype=np.uint8)
        labels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
        box = np.s_[10 + 5 * number : 50 + 5 * number, 20 + 10 * number : 60 + 10 * number]
        picture[box] = colour
        labels[box] = (class_id // 256 * 10, class_id % 256, 3)
        for path in (root / "frames" / name, root / "annotations" / name):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(root / "frames" / name, quality=95, subsampling=0)
        Image.fromarray(labels).save(root / "annotations" / name.replace(".jpg", "_seg.png"))
        (root / "audio").mkdir(exist_ok=True)
        write_wav(hum(pitch_hz), root / "audio" / f"sound_{number}.wav")
        rows.append([name, class_id, f"/somewhere/else/sound_{number}.wav", "speech.wav"])
    rows.append(["validation/scene_0.jpg", 0, "sound_0.wav", ""])
    rows.append(["validation/scene_0.jpg", RED_CLASS, "", "speech.wav"])
    with (root / "prompted_segmentation.csv").open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["image_location", "ade_class_id", "vggsound_file", "speech_prompt_file"])
        writer.writerows(rows)
    return root


def write_vgg_ss(root: Path) -> Path:
    """Write clips in the format of vggss.json and return the JSON: two videos, an image with a WAV, one missing."""
    entries = []
    for number, seconds in enumerate((2.0, 3.0)):
        frames = np.full((round(25 * seconds), HEIGHT // 2 * 2, WIDTH, 3), GREY, dtype=np.uint8)
        frames[:, 45:90, 0:60] = RED
        name = f"clip{number}_000030"
        write_clip(root / f"{name}.mp4", seconds=seconds, frames=frames, seed=number)
        entries.append({"file": name, "class": "humming", "bbox": [[0.0, 0.5, 0.5, 1.0]]})
    (root / "frames").mkdir()
    (root / "audio").mkdir()
    picture = np.full((HEIGHT, WIDTH, 3), GREY, dtype=np.uint8)
    picture[:45, 60:] = BLUE
    Image.fromarray(picture).save(root / "frames" / "still_000001.jpg", quality=95)
    write_wav(hum(3000.0), root / "audio" / "still_000001.wav")
    entries += [
        {"file": "still_000001", "class": "beeping", "bbox": [[0.5, 0.0, 1.0, 0.5], [0.75, 0.0, 1.0, 0.5]]},
        {"file": "gone_000002", "class": "beeping", "bbox": [[0.1, 0.1, 0.2, 0.2]]},
        {"file": "still_000001", "class": "flat", "bbox": [[0.2, 1.0, 0.7, 1.0]]},
    ]
    path = root / "vggss.json"
    path.write_text(json.dumps(entries))
    return path


def hum(pitch_hz: float, seconds: float = 2.0) -> NDArray[np.float32]:
    """Return a tone with a little noise."""
    time = np.arange(round(16_000 * seconds)) / 16_000
    noise = np.random.default_rng(round(pitch_hz)).standard_normal(len(time))
    return (0.3 * np.sin(2 * np.pi * pitch_hz * time) + 1e-3 * noise).astype(np.float32)


def colour_encoder(segment_frames: int = 60, img_size: int = 48, patch: int = 4) -> Encoder:
    """Return an encoder: low tones match red, high ones blue; a patch matches its colour, plus a constant grey."""
    side = img_size // patch

    def embed_audio(segments: NDArray[np.float32]) -> Vectors:
        low = segments.mean(axis=1).argmax(axis=1) < 64
        pooled = np.stack([low, ~low, np.zeros(len(segments))], axis=1).astype(np.float32)
        return Vectors(pooled, pooled[:, None])

    def embed_frames(tubelets: NDArray[np.uint8]) -> Vectors:
        middle = tubelets[:, tubelets.shape[1] // 2].astype(np.float32)
        cells = middle.reshape(len(middle), side, patch, side, patch, 3).mean(axis=(2, 4)).reshape(len(middle), -1, 3)
        patches = np.stack(
            [cells[..., 0] - cells[..., 1], cells[..., 2] - cells[..., 1], np.full(cells.shape[:2], 20)], -1
        )
        return Vectors(patches.mean(axis=1), patches.astype(np.float32))

    return Encoder(
        id=ModelId(name="colours", kind="none", sha256="0"),
        segment_frames=segment_frames,
        img_size=img_size,
        num_frames=1,
        frame_step_seconds=0.04,
        audio_grid=(1, 1),
        visual_grid=(side, side),
        joint_blocks_chained=True,
        embed_audio=embed_audio,
        embed_frames=embed_frames,
    )
