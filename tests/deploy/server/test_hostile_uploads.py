"""Several hostile uploads at once take no more memory than honest ones."""

from __future__ import annotations

import struct
import sys
import threading
from pathlib import Path

import httpx
import pytest
from server_process import serving
from sync_clips import write_clip
from waiting import PATIENCE_SECONDS, wait_until

NUM_UPLOADS = 6


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of the server's memory from /proc")
def test_uploads_that_declare_two_gigabytes(bundle_path: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", seconds=3.0).read_bytes()
    place = clip.index(b"movi") - 8
    tag = b"LIST" + struct.pack("<I", 0x7FFF_FF00) + b"INFOINAM" + struct.pack("<I", 0x7FFF_FE00)
    content = clip[:place] + tag + clip[place:]
    with serving(bundle_path, "--workers", str(NUM_UPLOADS), "--max-client-uploads", str(NUM_UPLOADS)) as server:

        def upload() -> None:
            answer = httpx.post(f"{server.url}/v1/jobs", timeout=PATIENCE_SECONDS, files={"file": content})
            assert answer.status_code == 202

        threads = [threading.Thread(target=upload) for _ in range(NUM_UPLOADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        def states() -> list[str]:
            jobs = httpx.get(f"{server.url}/v1/jobs", timeout=PATIENCE_SECONDS).json()["jobs"]
            return [job["state"] for job in jobs]

        wait_until(lambda: not {"queued", "running"} & set(states()))
        assert len(states()) == NUM_UPLOADS
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        assert int(status.partition("VmHWM:")[2].split()[0]) < 1 << 20, "more than a gigabyte"
