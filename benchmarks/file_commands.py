"""Speed and memory of `cavsync embed`, `tag` and `locate`: on a long video, and on clips beside `cavsync eval`.

A generated clip (160x90) is repeated to each of --minutes by copying its packets, so that the memory of a short and of
a long video can be compared. The clips of ten seconds are read by `embed` and `eval retrieval`, and by `tag` and
`eval classify`, with 16 frames each. Every command runs in a process of its own, whose CPU time and peak memory are the
kernel's; the wall time depends on what else runs, which the load average shows. `tag` uses a classifier with random
weights of the size of the shipped model. Appends rows to results/file_commands.jsonl.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import material
import measure
import torch
from random_models import model_config

from cavsync.data.sources.classes import ClassLabels
from cavsync.data.synth import write_clip
from cavsync.deploy.runtime.default_bundle import default_bundle
from cavsync.media.audio_file import read_audio, write_pcm16
from cavsync.model.checkpoint import save_model
from cavsync.model.classifier import CAVMAEFT

RESULTS = measure.RESULTS / "file_commands.jsonl"
CLIP_SECONDS, FRAMES = 10, 16
SOUND_SECONDS = 10
CLASSES = ["drummer", "face"]
LONG = ("embed", "tag", "locate")


# The kernel's figure for a child that has ended includes the memory of the process that started it.
COMMAND = """
import atexit, pathlib, sys
from cavsync.cli.main import main
status = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: status.write_text(pathlib.Path("/proc/self/status").read_text()))
main()
"""


def measured(folder: Path, *arguments: object) -> dict[str, Any]:
    """Run a command and return its times in seconds and its peak memory in MiB; `folder` gets a file."""
    command = [sys.executable, "-P", "-c", COMMAND, str(folder / "status"), *map(str, arguments)]
    begin, load = time.perf_counter(), os.getloadavg()[0]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(map(str, arguments))} ended with status {child.returncode}")
    return {
        "wall_seconds": round(time.perf_counter() - begin, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_memory_mb": round(measure.memory_mb("VmHWM", folder / "status"), 1),
        "load_average": round(load, 1),
    }


def classifier(folder: Path) -> Path:
    """Write a run of a classifier with random weights."""
    torch.manual_seed(0)
    model = CAVMAEFT(model_config("sync-tiny"), len(CLASSES))
    save_model(model, folder, 0, train={"classify": {"mode": "multimodal", "target": "multi-label"}})
    ClassLabels.of_names(CLASSES).write(folder / "class_labels.csv")
    return folder


def long_videos(
    folder: Path, minutes: Sequence[int], names: Sequence[str], run: Path, video_rate_hz: int, embed_rate_hz: float
) -> Iterator[dict[str, Any]]:
    """Yield rows of the named commands on each length of video."""
    clip, sound = folder / "clip.mp4", folder / "sound.wav"
    write_clip(replace(material.clip_spec(20.0, 160, 90), fps=Fraction(video_rate_hz)), clip)
    with sound.open("wb") as stream:
        write_pcm16(stream, read_audio(clip)[: SOUND_SECONDS * 16_000])
    for length in minutes:
        video = folder / f"{length}.mkv"
        material.repeat_clip(clip, video, 3 * length)
        commands: dict[str, Sequence[object]] = {
            "embed": ["embed", video, "--out", folder / f"embed-{length}", "--frame-rate", embed_rate_hz],
            "tag": ["tag", video, "--out", folder / f"tag-{length}", "--model", run],
            "locate": ["locate", sound, video],
        }
        for name in names:
            row = measured(folder, *commands[name])
            speed = round(60 * length / row["cpu_seconds"], 1)
            about = {"command": name, "media_minutes": length, "video_rate_hz": video_rate_hz}
            about |= {"embed_rate_hz": embed_rate_hz} if name == "embed" else {}
            yield {**about, **row, "media_seconds_per_cpu_second": speed}
        video.unlink()


def short_clips(folder: Path, count: int, run: Path) -> Iterator[dict[str, Any]]:
    """Yield rows of the commands and of `eval` on the same clips and numbers of frames."""
    clips = folder / "clips"
    clips.mkdir()
    with (clips / "labels.csv").open("w", encoding="utf-8", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["file", "labels"])
        for number in range(count):
            spec = material.clip_spec(CLIP_SECONDS, 320, 180, CLASSES[number % 2])
            write_clip(replace(spec, seed=number), clips / f"{number}.mp4")
            rows.writerow([f"{number}.mp4", CLASSES[number % 2]])
    rate = ("--frame-rate", FRAMES / CLIP_SECONDS)
    commands: dict[str, Sequence[object]] = {
        "embed": ["embed", clips, "--out", folder / "embedded", *rate],
        "eval retrieval": ["eval", "retrieval", clips, "--model", default_bundle(), "--no-cache", "--frames", FRAMES],
        "tag": ["tag", clips, "--out", folder / "tagged", "--model", run, *rate],
        "eval classify": ["eval", "classify", clips, "--model", run, "--frames", FRAMES],
    }
    for name, command in commands.items():
        row = measured(folder, *command)
        yield {"command": name, "clips": count, **row, "clips_per_cpu_second": round(count / row["cpu_seconds"], 2)}


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, nargs="*", default=[12, 120], help="lengths of the long videos")
    parser.add_argument("--commands", nargs="+", default=LONG, choices=LONG, help="commands run on the long videos")
    parser.add_argument("--video-rate", type=int, default=25, help="frames per second of the long videos")
    parser.add_argument("--embed-rate", type=float, default=25.0, help="frames per second that `embed` embeds")
    parser.add_argument("--clips", type=int, default=24, help="number of clips of ten seconds")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    provenance = measure.cpu_provenance("onnxruntime", "av", "numpy")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = classifier(folder / "run")
        measurements = (
            short_clips(folder, options.clips, run) if options.clips else (),
            long_videos(folder, options.minutes, options.commands, run, options.video_rate, options.embed_rate),
        )
        for found in chain.from_iterable(measurements):
            rows.append(found)
            print(", ".join(f"{key} {value}" for key, value in found.items()), flush=True)
    measure.append_rows(options.results, [row | provenance for row in rows])
    return rows


if __name__ == "__main__":
    main()
