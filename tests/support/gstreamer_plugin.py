"""The built GStreamer plugin, for programs started by tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from native_library import native_build
from senders import SYSTEM_PYTHON
from waiting import PATIENCE_SECONDS

from cavsync.data.synth import generate
from cavsync.data.synth.spec import ClipSpec

PYTHON_BINDINGS = "import gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst"


class Plugin:
    """Runs programs that find the plugin, with a registry of their own in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._environment = {
            **os.environ,
            "GST_PLUGIN_PATH": str(native_build() / "gstreamer"),
            "GST_REGISTRY": str(folder / "registry.bin"),
        }

    def run(self, *command: str | Path, patience_seconds: float = PATIENCE_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*map(str, command)],
            env=self._environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience_seconds,
            check=False,
        )

    def run_python(
        self, *arguments: str | Path, patience_seconds: float = PATIENCE_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run a program with the system's Python, which has GStreamer's bindings; skip the test without them."""
        if not Path(SYSTEM_PYTHON).exists() or self.run(SYSTEM_PYTHON, "-c", PYTHON_BINDINGS).returncode != 0:
            pytest.skip("needs GStreamer's Python bindings: apt-get install python3-gi gir1.2-gstreamer-1.0")
        return self.run(SYSTEM_PYTHON, *arguments, patience_seconds=patience_seconds)


def gstreamer_plugin(folder: Path) -> Plugin:
    """Return the plugin; skip the test where it, gst-launch-1.0 or what decodes WebM is missing."""
    if not (native_build() / "gstreamer" / "libgstcavsync.so").exists():
        pytest.skip("the GStreamer plugin is not built: it needs libgstreamer-plugins-base1.0-dev")
    if shutil.which("gst-launch-1.0") is None:
        pytest.skip("needs the program gst-launch-1.0: apt-get install gstreamer1.0-tools")
    plugin = Plugin(folder)
    for element in ("decodebin", "matroskademux", "vp8dec", "opusdec"):
        if plugin.run("gst-inspect-1.0", element).returncode != 0:
            pytest.skip(
                f"needs GStreamer's {element}: apt-get install gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
            )
    return plugin


def late_clip(folder: Path) -> Path:
    """Write eight seconds of a drummer whose sound is late by 300 ms, in formats that GStreamer itself decodes."""
    spec = ClipSpec(
        seed=4,
        family="drummer",
        duration_seconds=8.0,
        audio_offset_ms=-300.0,
        container="webm",
        video_codec="libvpx",
        audio_codec="libopus",
        audio_rate_hz=48_000,
    )
    generate(folder, [spec], workers=1, masks=0)
    return next(iter(folder.glob("*.webm")))
