"""How fast is scoring, as a share of the media's duration, and how much memory does it take?

Generates a clip and an untrained sync-tiny bundle (speed does not depend on the weights), scores the clip looped to
`--minutes`, and appends a row with provenance to benchmarks/results/score_speed.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import av

from cavsync.data.synth import ClipSpec, write_clip
from cavsync.export import export_bundle
from cavsync.model import CAVMAESync
from cavsync.model.checkpoint import save_model
from cavsync.train import preset

RESULTS = Path(__file__).parent / "results" / "score_speed.jsonl"


def loop(source: Path, target: Path, times: int) -> None:
    """Repeat a clip by copying its packets."""
    with av.open(str(target), "w") as out, av.open(str(source)) as first:
        # All tracks before the first packet: the header names them.
        tracks = [out.add_stream_from_template(track) for track in first.streams]
        last_dts = [-(2**62)] * len(tracks)
        for turn in range(times):
            with av.open(str(source)) as clip:
                length_seconds = clip.duration / av.time_base
                for packet in clip.demux():
                    if packet.dts is None:
                        continue
                    shift = round(turn * length_seconds / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    index = packet.stream.index
                    # The encoder's lead-in of each turn would overlap the end of the one before.
                    if packet.dts > last_dts[index]:
                        last_dts[index] = packet.dts
                        packet.stream = tracks[index]
                        out.mux(packet)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--bundle", type=Path, help="a bundle to use instead of an untrained one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle_dir = options.bundle
        if bundle_dir is None:
            bundle_dir = Path(folder, "bundle")
            save_model(CAVMAESync(preset("sync-tiny")[0]), Path(folder, "run"), 0)
            export_bundle(Path(folder, "run"), bundle_dir, calibration_clips=[])
        clip, media = Path(folder, "clip.mp4"), Path(folder, "long.mkv")
        write_clip(ClipSpec(seed=1, family="drummer", duration_seconds=20.0, width=640, height=360), clip)
        loop(clip, media, round(options.minutes * 3))
        scores = Path(folder, "scores.jsonl")
        command = [sys.executable, "-P", "-c", "from cavsync.cli.main import main; main()", "score", str(media)]
        begin = time.perf_counter()
        # A process of its own: its memory is that of scoring alone.
        subprocess.run([*command, "--bundle", str(bundle_dir), "--json", str(scores)], check=True, capture_output=True)
        seconds = time.perf_counter() - begin
        summary = json.loads(scores.read_text(encoding="utf-8").splitlines()[-1])
    row = {
        "date": datetime.now(UTC).date().isoformat(),
        "media_seconds": summary["duration_seconds"],
        "seconds": round(seconds, 2),
        "seconds_per_media_second": round(seconds / summary["duration_seconds"], 4),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        "size": "640x360 at 25 fps, H.264",
        "model": summary["bundle"]["name"],
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("cavsync", "onnxruntime", "av", "numpy")},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as out:
        out.write(json.dumps(row) + "\n")
    print(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
