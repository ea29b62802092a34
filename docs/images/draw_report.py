"""Draw docs/images/report.png: the report of a clip whose audio is late by 300 ms in its second half.

    python docs/images/draw_report.py

Needs `ffmpeg` and `chromium`.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from cavsync.cli.main import main
from cavsync.data.synth import ClipSpec, generate

OUT = Path(__file__).with_name("report.png")
SPEC = "drummer@1 seed={} fps=25 duration_seconds=15 width=320 height=240 audio_rate_hz=48000 audio_offset_ms={}"
JOIN = "[0:v][0:a][1:v][1:a]concat=n=2:v=1:a=1"


def draw(folder: Path) -> None:
    """Generate the two halves, join them, score the result and take a picture of the report."""
    generate(folder, [ClipSpec.from_text(SPEC.format(5, 0)), ClipSpec.from_text(SPEC.format(6, -300))], workers=1)
    first, second = sorted(folder.glob("*.mp4"))
    video, report = folder / "video.mp4", folder / "report.html"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", first, "-i", second, "-filter_complex", JOIN, "-crf", "18", video], check=True
    )
    main(["score", str(video), "--html", str(report)], standalone_mode=False)
    window = ["--hide-scrollbars", "--window-size=1040,1000", f"--screenshot={OUT}"]
    subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", *window, report.as_uri()], check=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder))
