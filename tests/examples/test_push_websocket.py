"""The example sender pushes a whole file, and every chunk of it is understood."""

from __future__ import annotations

import json
from pathlib import Path

from run_example import run_example
from server_process import serving
from sync_clips import write_clip


def test_a_file_is_sent(bundle_path: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "late.mkv", audio_offset_ms=-300.0)
    with serving(bundle_path) as server:
        said = run_example("push_websocket.py", clip, f"{server.ws_url}/v1/streams/example", folder=tmp_path)
    answers = [json.loads(line) for line in said.splitlines()]
    assert answers[-1] == {"kind": "ended"}
    assert {answer["state"] for answer in answers if answer["kind"] == "window"} == {"audio_late"}
    assert "error" not in {answer["kind"] for answer in answers}
