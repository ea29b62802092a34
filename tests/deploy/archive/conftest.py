"""One Ray cluster of two CPUs for the tests of this folder, and a few clips."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sync_clips import write_clip

pytest.importorskip("pyarrow", reason="archives need the extra 'ray'")
pytest.importorskip("psutil", reason="archives need the extra 'ray'")
# Ray reads them when it is first imported. A cluster without a token would be anybody's.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three clips and files that are skipped."""
    folder = tmp_path_factory.mktemp("archive") / "clips"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("a.mkv", "b.mkv", "more/a.mkv")):
        write_clip(folder / name, seconds=3.0, frame_rate=12, seed=number, audio_offset_ms=150.0 * number)
    (folder / "notes.txt").write_text("no list")
    (folder / ".hidden.mkv").write_bytes(b"")
    return folder


@pytest.fixture
def web(clips: Path) -> Iterator[str]:
    """The address of a web server that lists the clips; it answers 403 below `/closed`."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/closed"):
                self.send_error(403)
            else:
                super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(clips))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """The address of the cluster and the process that holds it."""
    pytest.importorskip("ray", reason="archives need the extra 'ray'")
    from ray_cluster import ray_cluster

    with ray_cluster() as found:
        yield found
