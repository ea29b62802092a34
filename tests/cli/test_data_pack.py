"""`cavsync data pack`: what it says, how it ends, and that it continues where it was stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from generated_clips import make_clips
from waiting import PATIENCE_SECONDS

from cavsync.cli.main import main
from cavsync.data.shards import PackOptions, ShardFolder
from cavsync.data.shards.pack import pack

SCRIPT = """
from cavsync.cli.main import main
if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    make_clips(folder, 3, size=(96, 64), container="mp4")
    (folder / "broken.mp4").write_text("no video")
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", "pack", *map(str, arguments)])


def test_it_packs_and_says_what_it_left_out(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [videos, out, "--workers", 1, "--frames", 4, "--size", 48, "--licence", "CC0-1.0", "--shard-clips", 2]
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert "3 clips" in result.stdout
    assert "2 shards" in result.stdout
    assert "1  unreadable" in result.stdout
    assert "rejects.jsonl" in result.stdout
    assert json.loads((out / "manifest.json").read_text())["options"]["licence"] == "CC0-1.0"
    source = ShardFolder.open(out, frames_per_clip=10, segment_frames=48)
    assert [len(source.load(index, 32).frames) for index in range(3)] == [4, 4, 4]
    again = run(*arguments)
    assert again.stdout == result.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["{videos}", "{out}", "--frames", 2, "--fps", 3], 2, "exclude each other"),
        (["{videos}", "{out}", "--quality", 0], 2, "--quality"),
        (["none", "{out}"], 1, "is not a source"),
        (["{videos}", "{videos}"], 2, "empty folder"),
        (["{videos}", "{out}", "--labels", "{videos}/broken.mp4"], 1, "index,mid,display_name"),
        (["{videos}", "{out}", "--media", "{videos}"], 2, "do not fit"),
    ],
)
def test_errors_are_one_sentence(
    videos: Path, tmp_path: Path, arguments: list[object], status: int, words: str
) -> None:
    result = run(*(str(part).format(videos=videos, out=tmp_path / "out") for part in arguments))
    assert result.exit_code == status, result.output
    assert words in result.output
    assert "Traceback" not in result.output
    assert not list((tmp_path / "out").glob("*.tar"))


@pytest.mark.slow
def test_stopped_and_gone_on(videos: Path, tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM end with status 130 and whole shards only; what is packed in the end is the same."""
    many, out, script = tmp_path / "many", tmp_path / "out", tmp_path / "pack.py"
    many.mkdir()
    script.write_text(SCRIPT)
    for path in videos.glob("0*"):
        for number in range(25):
            os.link(path, many / f"{number}-{path.name}")
    command = [sys.executable, str(script), "data", "pack", str(many), str(out), "--shard-clips", "5", "--workers"]
    for sent, workers in ((signal.SIGINT, 2), (signal.SIGTERM, 1)):
        before = len(list(out.glob("*.idx")))
        process = subprocess.Popen([*command, str(workers)], stderr=subprocess.PIPE, text=True, start_new_session=True)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(list(out.glob("*.idx"))) < before + 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        # A terminal sends Ctrl-C to the whole group, a service manager's signal may reach one process only.
        (os.killpg if sent == signal.SIGINT else os.kill)(process.pid, sent)
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 130, errors
        assert "Traceback" not in errors
        assert "interrupted" in errors
        assert list(out.glob(".*")) == []
        assert before + 3 <= len(list(out.glob("*.idx"))) < 15
    pack(many, out, PackOptions(shard_clips=5), workers=1)
    pack(many, tmp_path / "reference", PackOptions(shard_clips=5), workers=1)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "reference").iterdir()
    }
