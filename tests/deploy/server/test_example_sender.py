"""The example sender of the documentation works as it stands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from server_process import serving

EXAMPLE = r"""
import json, sys
import av
from websockets.sync.client import connect

with av.open(sys.argv[1]) as media, connect(sys.argv[2], max_size=None) as socket:
    for frame in media.decode(media.streams.video[0], media.streams.audio[0]):
        if isinstance(frame, av.VideoFrame):
            data, kind = frame.to_ndarray(format="rgb24"), {"type": "video", "format": "rgb24"}
            kind |= {"width": frame.width, "height": frame.height}
        else:
            frame = av.AudioResampler("s16", "stereo", frame.sample_rate).resample(frame)[0]
            data, kind = frame.to_ndarray(), {"type": "audio", "format": "s16le", "channels": 2}
            kind |= {"sample_rate_hz": frame.sample_rate}
        socket.send(json.dumps({**kind, "pts_seconds": frame.time}).encode() + b"\n" + data.tobytes())
    socket.send('{"type": "flush"}')
    for message in socket:
        print(message)
"""


def test_a_file_is_sent_by_the_example(bundle_path: Path, late_clip: Path) -> None:
    with serving(bundle_path) as server:
        command = [sys.executable, "-P", "-c", EXAMPLE, str(late_clip), f"{server.ws_url}/v1/streams/example"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert answers[-1] == {"kind": "ended"}
    assert {answer["state"] for answer in answers if answer["kind"] == "window"} == {"audio_late"}
    assert "error" not in {answer["kind"] for answer in answers}
