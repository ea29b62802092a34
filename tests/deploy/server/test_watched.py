"""Live sources that the server opens by itself: the operator's always, those that clients name only where allowed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import Client
from sync_clips import write_clip
from waiting import PATIENCE_SECONDS


def until(client: Client, name: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found: dict[str, Any] = client.get(f"/v1/streams/{name}").json()
        if "error" in found and "name" in found and holds(found):
            return found
        time.sleep(0.05)
    raise AssertionError(f"it did not come to that: {found}")


def test_the_operators_source_is_watched_from_the_start(make_client: Callable[..., Client], late_clip: Path) -> None:
    client = make_client(watch=(("studio", str(late_clip)),))
    found = until(client, "studio", lambda stream: stream["state"] == "ended")
    assert found["source"] == str(late_clip)
    assert {decision["state"] for decision in found["decisions"]} == {"audio_late"}
    assert len(found["decisions"]) == 9
    assert [event["phase"] for event in found["events"]] == ["began", "ended"]
    assert 'cavsync_windows_total{state="audio_late",stream="studio"} 9.0' in client.get("/metrics").text


def test_a_source_that_cannot_be_opened_says_so(make_client: Callable[..., Client], tmp_path: Path) -> None:
    client = make_client(watch=(("studio", str(tmp_path / "missing.ts")),))
    found = until(client, "studio", lambda stream: stream["state"] == "lost")
    assert "does not exist" in found["error"]


@pytest.mark.parametrize("url", ["udp://127.0.0.1:9999", "http://127.0.0.1/x.m3u8", "rtsp://10.0.0.1/x"])
def test_clients_name_no_live_source_unless_allowed(client: Client, url: str) -> None:
    response = client.post("/v1/streams", json={"name": "one", "url": url})
    assert (response.status_code, "--allow-private-addresses" in response.json()["error"]) == (403, True)
    assert client.get("/v1/streams").json() == {"streams": []}


@pytest.mark.parametrize("url", ["/etc/passwd", "file:///etc/passwd", "-", "lavfi://testsrc", "v4l2:///dev/video0"])
def test_clients_name_no_file_or_device_at_all(make_client: Callable[..., Client], url: str) -> None:
    client = make_client(allow_private_addresses=True)
    assert client.post("/v1/streams", json={"name": "one", "url": url}).status_code == 403
    for wrong in (
        {"name": "one", "url": "concat:/x"},
        {"name": "one"},
        {"name": "a b", "url": "udp://127.0.0.1:9"},
        {},
    ):
        assert client.post("/v1/streams", json=wrong).status_code in (400, 403)
    assert client.get("/v1/streams").json() == {"streams": []}


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_a_live_source_is_watched_and_ended_on_demand(make_client: Callable[..., Client], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.ts", seconds=20, audio_offset_ms=-300)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    client = make_client(allow_private_addresses=True)
    url = f"udp://127.0.0.1:{port}"
    response = client.post("/v1/streams", json={"name": "feed", "url": url})
    assert (response.status_code, response.json()["source"]) == (201, url)
    assert client.post("/v1/streams", json={"name": "feed", "url": url}).status_code == 409
    command = ["ffmpeg", "-v", "error", "-re", "-i", str(clip), "-c", "copy", "-f", "mpegts"]
    sender = subprocess.Popen([*command, f"{url}?pkt_size=1316"])
    try:
        found = until(client, "feed", lambda stream: stream["alarm"] is not None)
        assert found["latest"]["audio_offset_ms"] == pytest.approx(-300, abs=20)
        assert found["latest"]["delay_seconds"] >= 0
        assert client.delete("/v1/streams/feed").status_code == 204
        assert client.get("/v1/streams").json() == {"streams": []}
    finally:
        sender.kill()
        sender.wait()
