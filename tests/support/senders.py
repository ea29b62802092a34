"""Real senders on loopback, each in its own process, killed at the end: ffmpeg, nginx, a GStreamer server."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from waiting import wait_until

SYSTEM_PYTHON = "/usr/bin/python3"
# Short groups of frames without reordering: a receiver that joins late waits at most a fifth of a second.
LIVE_VIDEO = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "5", "-pix_fmt", "yuv420p")

RTSP_SERVER = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    f'( filesrc location="{sys.argv[2]}" ! matroskademux name=d '
    'd.video_0 ! queue ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 '
    'd.audio_0 ! queue ! audioconvert ! rtpL16pay name=pay1 pt=97 )'
)
server.get_mount_points().add_factory("/live", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
"""

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fast;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; }}
  server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""


def need(*programs: str) -> None:
    """Skip the test if one of the programs is missing."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"needs the program {program}")


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port that is free at present."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(*command: str, wait_for: str = "") -> Iterator[subprocess.Popen[str]]:
    """Run a process until the block ends; `wait_for` is the line that it prints when it is ready."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        if wait_for:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            if line != wait_for:
                process.kill()
                pytest.skip(f"{command[0]} does not start: {process.communicate()[1][-300:]}")
        yield process
    finally:
        process.kill()
        process.communicate()


def ffmpeg_sender(clip: Path, *output: str) -> tuple[str, ...]:
    """Return the ffmpeg command that plays a clip in real time into an output."""
    begin = ("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-readrate", "1", "-i", str(clip))
    return (*begin, *LIVE_VIDEO, "-c:a", "aac", *output)


@contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """Serve a folder and yield its address."""
    need("nginx")
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port))
    with running("nginx", "-c", str(config), "-e", str(folder / "error.log")):
        wait_until(lambda: can_connect(port))
        yield f"http://127.0.0.1:{port}"


@contextmanager
def rtsp_server(clip: Path, port: int) -> Iterator[str]:
    """Serve a Matroska clip of H.264 and PCM over RTSP, from its beginning for the first client; yield its address."""
    need(SYSTEM_PYTHON)
    with running(SYSTEM_PYTHON, "-c", RTSP_SERVER, str(port), str(clip), wait_for="ready"):
        yield f"rtsp://127.0.0.1:{port}/live"


def can_connect(port: int) -> bool:
    """Return whether a process listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
