"""Copy footage for a machine to which little can be carried: no more pixels and samples than training reads.

python models/small_footage.py DATA OUT
"""

from __future__ import annotations

import argparse
import csv
from fractions import Fraction
from pathlib import Path

import av
from footage import manifest
from rich.progress import track

SHORT_SIDE_PIXELS = 80
SAMPLE_RATE_HZ = 16_000
# Matroska keeps timestamps to 1 ms.
VIDEO_OPTIONS = {"crf": "18", "preset": "slow", "bf": "0"}
USE = "train+test"


def write_small_footage(real: Path, out: Path) -> int:
    """Copy the clips of use `train+test` of `real`, a folder with manifest.csv, into `out`; return their number.

    `out` gets a manifest.csv of the same columns. Clips that are there already are kept.
    """
    rows = [row for row in manifest(real, ("path", "use")) if row["use"] == USE]
    for row in track(rows, "copying footage", transient=True):
        source, row["path"] = real / row["path"], str(Path(row["path"]).with_suffix(".mkv"))
        if not (out / row["path"]).exists():
            (out / row["path"]).parent.mkdir(parents=True, exist_ok=True)
            part = out / (row["path"] + ".part")
            write_small_copy(source, part)
            part.rename(out / row["path"])
    with (out / "manifest.csv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def write_small_copy(source: Path, path: Path) -> None:
    """Write a Matroska file with the same timestamps: H.264 of 80 pixels on the short side, 16 kHz mono FLAC."""
    with av.open(str(source)) as given, av.open(str(path), "w", format="matroska") as made:
        seen, heard = given.streams.video[0], given.streams.audio[0]
        scale = SHORT_SIDE_PIXELS / min(seen.width, seen.height)
        rate = seen.average_rate or Fraction(25)
        video = made.add_stream("libx264", rate=rate, options=VIDEO_OPTIONS)
        # H.264 in 4:2:0 needs even sides.
        video.width, video.height = (2 * round(side * scale / 2) for side in (seen.width, seen.height))
        video.pix_fmt, video.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        audio = made.add_stream("flac", rate=SAMPLE_RATE_HZ, layout="mono")
        resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE_HZ)
        for frame in given.decode(seen, heard):
            if isinstance(frame, av.VideoFrame):
                small = frame.reformat(video.width, video.height, "yuv420p")
                small.pts, small.time_base = round(1000 * frame.time), Fraction(1, 1000)
                made.mux(video.encode(small))
            elif isinstance(frame, av.AudioFrame):
                for piece in resampler.resample(frame):
                    made.mux(audio.encode(piece))
        for piece in resampler.resample(None):
            made.mux(audio.encode(piece))
        made.mux(video.encode(None))
        made.mux(audio.encode(None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path, help="folder with manifest.csv")
    parser.add_argument("out", type=Path, help="folder for the copies")
    options = parser.parse_args()
    print(f"{write_small_footage(options.real, options.out)} clips in {options.out}")


if __name__ == "__main__":
    main()
