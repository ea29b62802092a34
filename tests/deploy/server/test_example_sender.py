"""The example sender of the documentation works as it stands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from server_process import serving
from waiting import PATIENCE_SECONDS

DOCUMENTATION = Path(__file__).resolve().parents[3] / "docs" / "serving.md"


def test_a_file_is_sent_by_the_example(bundle_path: Path, late_clip: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", DOCUMENTATION.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    with serving(bundle_path) as server:
        command = [sys.executable, "-P", "-c", example, str(late_clip), f"{server.ws_url}/v1/streams/example"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert answers[-1] == {"kind": "ended"}
    assert {answer["state"] for answer in answers if answer["kind"] == "window"} == {"audio_late"}
    assert "error" not in {answer["kind"] for answer in answers}
