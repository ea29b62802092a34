"""The example of the GStreamer element prints an alarm; run by `make native-test`, which builds the element."""

import re
from pathlib import Path

from documents import ROOT
from gstreamer_plugin import gstreamer_plugin, late_clip

from cavsync.deploy.runtime.default_bundle import default_bundle


def test_a_pipeline_prints_an_alarm(tmp_path: Path) -> None:
    plugin = gstreamer_plugin(tmp_path)
    clip = late_clip(tmp_path / "clips")
    done = plugin.run_python(ROOT / "examples" / "gstreamer_alarms.py", clip, default_bundle(), "whole")
    assert done.returncode == 0, done.stderr
    wanted = r"\A[23]\.\d s: audio_late, -[23]\d\d ms\n[78]\.\d s: audio_late ended \(stream_ended\)\n\Z"
    assert re.search(wanted, done.stdout), done.stdout
