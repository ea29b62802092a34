"""How often `cavsync locate` finds the place of a sound in real footage, and how often it names a wrong one.

Reads a folder with manifest.csv (columns path, use, kind, split, duration_s). Scenes of clips that no training saw are
put in a row as one silent video; the sound of every `--every`-th scene is looked for in it, and sounds of further clips
that are not in it. Appends a row to results/locate.jsonl.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import measure
import numpy as np
from numpy.typing import NDArray

from cavsync.data.clip import load_clip
from cavsync.data.clip_audio import Waveform
from cavsync.deploy import Bundle
from cavsync.deploy.files.locate import locate
from cavsync.errors import CavsyncError
from cavsync.media.audio_file import write_pcm16

RESULTS = measure.RESULTS / "locate.jsonl"
SCENE_SECONDS, SIDE_PX, RATE_HZ, AUDIO_HZ = 5.0, 160, 25, 16_000
RIGHT_SECONDS = 0.5
Scene = tuple[str, NDArray[np.uint8], NDArray[np.float32]]


def scenes(folder: Path) -> Iterator[Scene]:
    """Yield the kind, frames (n, 160, 160, 3) and sound (m,) of the first seconds of clips that are long enough."""
    with (folder / "manifest.csv").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if row["use"] != "train+test" or row["split"] == "held"]
    wanted = np.arange(round(SCENE_SECONDS * RATE_HZ)) / RATE_HZ
    for row in rows:
        if float(row["duration_s"]) < SCENE_SECONDS + 0.5:
            continue
        try:
            clip = load_clip(folder / row["path"], SIDE_PX)
        except CavsyncError as error:
            print(error)
            continue
        assert isinstance(clip.audio, Waveform)
        first = max(0, round(-clip.audio_start_seconds * AUDIO_HZ))
        sound = clip.audio.samples[first : first + round(SCENE_SECONDS * AUDIO_HZ)]
        nearest = np.abs(clip.pts_seconds[:, None] - wanted).argmin(axis=0)
        if len(sound) == round(SCENE_SECONDS * AUDIO_HZ) and clip.pts_seconds[-1] >= SCENE_SECONDS:
            yield row["kind"], clip.frames[nearest].transpose(0, 2, 3, 1), sound


def write_row(path: Path, row: Sequence[Scene]) -> Path:
    """Write the scenes' frames one after the other."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE_HZ)
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuv420p"
        for _, frames, _ in row:
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, help="by default the model that comes with cavsync")
    parser.add_argument("--scenes", type=int, default=60, help="scenes in the video")
    parser.add_argument("--every", type=int, default=4, help="look for the sound of each such scene")
    parser.add_argument("--foreign", type=int, default=10, help="sounds that are not in the video")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    bundle = Bundle.open(options.bundle)
    found = [scene for scene, _ in zip(scenes(options.data), range(options.scenes + options.foreign), strict=False)]
    row, foreign = found[: options.scenes], found[options.scenes :]
    counts = {"first": 0, "found": 0, "found_wrongly": 0, "foreign_found": 0}
    asked = [*range(0, len(row), options.every)]
    with tempfile.TemporaryDirectory() as name:
        video, sound = write_row(Path(name) / "video.mp4", row), Path(name) / "sound.wav"
        for number, (kind, _, samples) in [
            *((place, row[place]) for place in asked),
            *((None, one) for one in foreign),
        ]:
            with sound.open("wb") as stream:
                write_pcm16(stream, samples)
            placement = locate(sound, video, bundle)
            best = placement.places[0].video_seconds if placement.places else float("nan")
            is_right = number is not None and abs(best - number * SCENE_SECONDS) <= RIGHT_SECONDS
            is_found = placement.state == "found"
            counts["first"] += is_right
            counts["found"] += is_right and is_found
            counts["found_wrongly"] += number is not None and is_found and not is_right
            counts["foreign_found"] += number is None and is_found
            print(number, kind, placement.state, round(best, 2), placement.confidence, flush=True)
    about = {"model": bundle.manifest.name, "scenes": len(row), "sounds": len(asked), "foreign_sounds": len(foreign)}
    result = about | {"seconds_of_sound": SCENE_SECONDS} | counts
    print(result)
    measure.append_rows(options.results, [result | measure.cpu_provenance("onnxruntime", "av", "numpy")])
    return [result]


if __name__ == "__main__":
    main()
