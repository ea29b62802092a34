"""Files of the server's own machine: only those that were allowed, and only their own content."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from serving import Client
from sync_clips import write_clip

from cavsync.errors import MediaError
from cavsync.media import MediaReader


@pytest.fixture
def allowed(tmp_path: Path, late_clip: Path) -> Path:
    folder = tmp_path / "allowed"
    folder.mkdir()
    shutil.copy(late_clip, folder / "late.mp4")
    shutil.copy(late_clip, tmp_path / "secret.mp4")
    (folder / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    return folder


def test_a_file_in_an_allowed_folder_is_scored(make_client: Callable[..., Client], allowed: Path) -> None:
    client = make_client(allow_paths=(allowed,))
    for name in (f"{allowed}/late.mp4", f"file://{allowed}/late.mp4", f"{allowed}/../allowed/late.mp4"):
        assert client.score_url(name)["summary"]["state"] == "audio_late"


def test_no_other_file_is_reached(make_client: Callable[..., Client], allowed: Path) -> None:
    client = make_client(allow_paths=(allowed,))
    secret, there = client.score_url(f"{allowed}/../secret.mp4"), client.score_url(f"{allowed}/../not-there.mp4")
    assert (secret["state"], secret["status"]) == ("refused", 403)
    # Whether a file exists is not told either.
    assert secret["error"].replace("secret", "not-there") == there["error"]
    for name in ("link.mp4", "..", "", "late.mp4/x", "%2e%2e/secret.mp4", "\0"):
        assert client.score_url(f"{allowed}/{name}")["state"] == "refused"
        assert client.score_url(f"file://{allowed}/{name}")["state"] == "refused"
    assert client.score_url("file://elsewhere/late.mp4")["state"] == "refused"


def test_scripts_and_playlists_read_nothing_else(
    make_client: Callable[..., Client], allowed: Path, tmp_path: Path
) -> None:
    """Every kind of file by which FFmpeg would open another one, uploaded, and from an allowed folder."""
    ts = write_clip(allowed / "clip.ts", seconds=3)
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        hls = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n"
        scripts = {
            "hls.m3u8": hls.format(f"file://{ts}"),
            "relative.m3u8": hls.format("clip.ts"),
            "web.m3u8": hls.format(f"http://127.0.0.1:{server.server_port}/clip.ts"),
            "concat.txt": f"ffconcat version 1.0\nfile '{ts}'\n",
            "named.mp4": f"ffconcat version 1.0\nfile '{ts}'\n",
            "dash.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet>'
            f'<Representation id="1" bandwidth="1"><BaseURL>file://{ts}</BaseURL></Representation>'
            "</AdaptationSet></Period></MPD>",
            "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
            "images.ffmeta": ";FFMETADATA1\ntitle=x\n",
        }
        client = make_client(allow_paths=(allowed,))
        for name, content in scripts.items():
            (allowed / name).write_text(content)
            job = client.score_url(str(allowed / name))
            assert (job["state"], "cannot be opened" in job["error"]) == ("failed", True), name
            uploaded = client.post("/v1/jobs", files={"file": (name, content.encode())})
            assert client.finished(uploaded.headers["location"])["state"] == "failed", name
        server.shutdown()
    assert asked == []


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_the_scripts_would_have_worked_unconfined(tmp_path: Path) -> None:
    """So that the test above tests something: FFmpeg itself follows the playlist."""
    ts = write_clip(tmp_path / "clip.ts", seconds=2)
    playlist = tmp_path / "hls.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{ts}\n#EXT-X-ENDLIST\n")
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(playlist), "-f", "null", "-"], check=True)
    with MediaReader(playlist) as reader:
        assert sum(1 for _ in reader) > 50
    with playlist.open("rb") as file, pytest.raises(MediaError, match="cannot be opened"):
        MediaReader("hls.m3u8", file=file)


def test_confined_files_read_like_others(late_clip: Path, tmp_path: Path) -> None:
    for path in (late_clip, write_clip(tmp_path / "clip.mkv", seconds=2), write_clip(tmp_path / "clip.ts", seconds=2)):
        with path.open("rb") as file, MediaReader(path) as plain, MediaReader("upload", file=file) as confined:
            assert confined.info == plain.info
            pairs = list(zip(plain, confined, strict=True))
        assert pairs
        assert all(one.pts_seconds == other.pts_seconds for one, other in pairs)


def test_huge_pictures_are_not_decoded(late_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cavsync.media.decode.MAX_FRAME_PIXELS", 64 * 48 - 1)
    with late_clip.open("rb") as file, MediaReader("large.mp4", file=file) as reader, pytest.raises(MediaError):
        list(reader)
