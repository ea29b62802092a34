"""Workers and the driver are killed at five moments each: every file stands in the archive once, with its own rows.

ARCHIVE_CLIPS=500 makes it 500 files, for some minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from archive_objects import archived_objects, scored_objects
from click.testing import CliRunner
from killed_archive import PART_FILES
from killed_archive import __file__ as SCRIPT
from ray_cluster import workers
from sync_clips import write_clip
from waiting import wait_until

from cavsync.cli.main import main

NUM_CLIPS = int(os.environ.get("ARCHIVE_CLIPS", "40"))
NUM_CONTENTS, NUM_KILLS = 10, 5


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Clips with other pictures, sounds and offsets."""
    folder = tmp_path_factory.mktemp("contents")
    for number in range(NUM_CONTENTS):
        path = folder / f"{number}.mkv"
        write_clip(path, seconds=3.0, frame_rate=12, seed=number, audio_offset_ms=60.0 * (number - 5))
    return sorted(folder.iterdir())


@pytest.fixture
def files(contents: list[Path], tmp_path: Path) -> dict[Path, Path]:
    """Files that all differ, each with the clip that it was made of."""
    (tmp_path / "files").mkdir()
    made = {}
    for number in range(NUM_CLIPS):
        path, content = tmp_path / "files" / f"{number:05d}.mkv", contents[number % NUM_CONTENTS]
        # An element of Matroska that readers skip: `Void`, of eight bytes.
        path.write_bytes(content.read_bytes() + b"\xec\x88" + number.to_bytes(8, "big"))
        made[path] = content
    return made


def start(folder: Path, out: Path, bundle_path: Path, cluster: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", SCRIPT, folder, out, "--bundle", bundle_path, "--address", cluster[0], "--resume"]
    return subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def num_done(out: Path) -> int:
    return PART_FILES * len(list((out / "verdicts").glob("part-*.parquet")))


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "driver"])
def test_nothing_is_lost_and_nothing_twice(
    files: dict[Path, Path], contents: list[Path], bundle_path: Path, cluster: Any, tmp_path: Path, victim: str
) -> None:
    """Killed right after the start, and each time that another sixth of the files is done."""
    words = ["score", *contents, "--bundle", bundle_path, "--json", tmp_path / "scores.jsonl"]
    assert CliRunner().invoke(main, [str(word) for word in words]).exit_code == 0
    folder, out = tmp_path / "files", tmp_path / "out"
    run = start(folder, out, bundle_path, cluster)
    for kill in range(NUM_KILLS):
        least = NUM_CLIPS * kill // (NUM_KILLS + 1)
        wait_until(lambda least=least: num_done(out) >= least and (victim == "driver" or workers(cluster[1])))  # type: ignore[misc]
        assert num_done(out) < NUM_CLIPS, "it was done before it was killed"
        if victim == "driver":
            run.kill()
            run.communicate()
            run = start(folder, out, bundle_path, cluster)
        else:
            workers(cluster[1])[0].kill()
    _, said = run.communicate()
    assert run.returncode == 0, said
    wanted = scored_objects(tmp_path / "scores.jsonl")
    found = archived_objects(out)
    assert found.keys() == {str(path) for path in files}
    for path, content in files.items():
        renamed = json.dumps(wanted[str(content)]).replace(str(content), str(path))
        assert found[str(path)] == json.loads(renamed)
    wait_until(lambda: not workers(cluster[1]))
    assert psutil.pid_exists(cluster[1].pid)
