"""Worker processes end with the process that started them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.generated_clips import make_clips
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the children of a process in /proc")
NUM_CLIPS = 40
# The workers, and the process in which multiprocessing keeps track of what they share.
NUM_CHILDREN = 3


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("command", ["synth", "check"])
def test_no_worker_outlives_a_command_that_is_ended(command: str, number: signal.Signals, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    words = ["data", "synth", str(clips), "--clips", str(NUM_CLIPS), "--workers", "2"]
    if command == "check":
        clips.mkdir()
        clip = next(make_clips(tmp_path / "one", 1).glob("00000*"))
        for index in range(NUM_CLIPS):
            (clips / f"{index}{clip.suffix}").symlink_to(clip)
        words = ["data", "check", str(clips), "--workers", "2"]
    program = "from cavsync.cli.main import main; main()"
    with subprocess.Popen([sys.executable, "-P", "-c", program, *words], stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: len(children(process.pid)) == NUM_CHILDREN)
        started = children(process.pid)
        os.kill(process.pid, number)
    assert process.returncode in (-number, 128 + number)
    wait_until(lambda: not any(map(is_alive, started)))
