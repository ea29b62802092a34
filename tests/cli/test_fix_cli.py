"""`cavsync fix` as a user meets it: what it says, what it writes, exit codes."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result
from coded_clips import packets, unchanged, write_coded_clip
from fake_bundle import write_fake_bundle
from situation import ffmpeg

from cavsync.cli.main import main
from cavsync.media.description import programs


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["fix", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def early(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coded_clip(tmp_path_factory.mktemp("clip") / "early.mp4", seconds=6.0, audio_offset_ms=300)


def one_error(result: Result, status: int = 1) -> str:
    assert result.exit_code == status, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    return line.removeprefix("error: ")


def test_a_measured_offset_is_removed_and_the_result_measured(early: Path, bundle_path: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with unchanged(early):
        result = run(early, output, "--bundle", bundle_path, "--threads", 1)
    assert result.exit_code == 0, result.output
    found = re.search(
        r"before: +\+(\d+) ms +Audio early by \d+ ms\nremoved: +\+([\d.]+) ms .*\nresidual: +[+-](\d+) ms +In sync\n",
        result.stdout,
    )
    assert found is not None, result.stdout
    assert float(found[1]) == pytest.approx(300, abs=5)
    assert float(found[2]) == pytest.approx(300, abs=5)
    assert float(found[3]) <= 5
    again = run(output, tmp_path / "again.mp4", "--bundle", bundle_path)
    assert again.exit_code == 0
    assert "in sync already: nothing was written" in again.stdout
    assert list(tmp_path.iterdir()) == [output]


def test_a_given_offset_needs_no_model_and_its_check_may_say_no(early: Path, bundle_path: Path, tmp_path: Path) -> None:
    result = run(early, tmp_path / "a.mkv", "--offset-ms", 300)
    assert result.exit_code == 0, result.output
    assert "residual" not in result.output
    assert "the times of all packets agree" in result.stdout
    result = run(early, tmp_path / "b.mkv", "--offset-ms", -200, "--bundle", bundle_path)
    assert result.exit_code == 1
    assert "warning: " in result.stderr
    assert "Audio early by 500 ms" in result.stdout
    result = run(early, tmp_path / "c.mkv", "--offset-ms", -200, "--bundle", bundle_path, "--no-check")
    assert result.exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv", "b.mkv", "c.mkv"]


def test_one_audio_stream_is_moved_by_its_number(tmp_path: Path) -> None:
    source = write_coded_clip(tmp_path / "in.mp4", seconds=1.0, num_audio=2)
    assert run(source, tmp_path / "out.mp4", "--offset-ms", 100, "--audio-stream", 1).exit_code == 0
    before, after = packets(source), packets(tmp_path / "out.mp4")
    moves = [float(min(other.times) - min(one.times)) for one, other in zip(before, after, strict=True)]
    assert moves == pytest.approx([0, 0, 0.1], abs=0.001)
    assert "give 0 to 1" in one_error(run(source, tmp_path / "no.mp4", "--offset-ms", 100, "--audio-stream", 2))


def test_the_track_that_was_measured_is_moved_and_the_others_are_named(bundle_path: Path, tmp_path: Path) -> None:
    """The second of three tracks has the default flag; they are early by 200, 240 and 280 ms."""
    source = write_coded_clip(tmp_path / "in.mkv", seconds=4.0, num_audio=3, audio_offset_ms=200.0)
    for options, moved in (((), [1]), (("--all-audio",), [0, 1, 2]), (("--audio-stream", "2"), [2])):
        output = tmp_path / f"out{moved[-1]}{len(moved)}.mkv"
        result = run(source, output, "--bundle", bundle_path, *options)
        assert result.exit_code == 0, result.output
        before, after = packets(source), packets(output)
        moves = [float(min(other.times) - min(one.times)) for one, other in zip(before, after, strict=True)][1:]
        measured = 0.28 if moved == [2] else 0.24
        assert moves == pytest.approx([measured * (number in moved) for number in range(3)], abs=0.004)
        words = "all audio tracks are moved" if len(moved) == 3 else f"only audio track {moved[0]} moved, not 0 ("
        assert words in result.stderr


def test_what_is_not_certain_is_removed_only_by_force(early: Path, tmp_path: Path) -> None:
    doubtful = write_fake_bundle(tmp_path / "doubtful", threshold=0.9999)
    output = tmp_path / "out.mp4"
    sentence = one_error(run(early, output, "--bundle", doubtful))
    assert "no offset that can be trusted" in sentence
    assert re.search(r"--force to remove \+\d+ ms", sentence)
    assert not output.exists()
    result = run(early, output, "--bundle", doubtful, "--force")
    assert result.exit_code == 0, result.output
    assert "cannot be confirmed" in result.stderr
    assert len(packets(output)) == 2


def test_an_offset_that_varies_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    from sync_clips import write_clip

    source = write_clip(
        tmp_path / "in.mp4", seconds=14.0, audio_offset_ms=lambda times: np.where(times < 7, 200.0, -200.0)
    )
    for force in ([], ["--force"]):
        sentence = one_error(run(source, tmp_path / "out.mp4", "--bundle", bundle_path, *force))
        assert "cannot be repaired by one delay" in sentence
        assert not (tmp_path / "out.mp4").exists()


def test_faults_are_one_sentence(early: Path, bundle_path: Path, tmp_path: Path) -> None:
    (tmp_path / "taken.mp4").write_text("precious")
    assert "exists already" in one_error(run(early, tmp_path / "taken.mp4", "--offset-ms", 80), 2)
    assert "is the input itself" in one_error(run(early, early, "--offset-ms", 80, "--overwrite"), 2)
    assert "no ending that names a container" in one_error(run(early, tmp_path / "out.doc", "--offset-ms", 80))
    assert "cannot hold video in h264" in one_error(run(early, tmp_path / "out.webm", "--offset-ms", 80))
    assert "does not exist" in one_error(run(early, tmp_path / "o.mp4", "--bundle", tmp_path / "none"))
    assert "absent.mp4" in one_error(run(tmp_path / "absent.mp4", tmp_path / "o.mp4", "--bundle", bundle_path))
    assert [path.name for path in tmp_path.iterdir()] == ["taken.mp4"]
    assert run(early, tmp_path / "taken.mp4", "--offset-ms", 80, "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["in.mp4"],
        ["in.mp4", "out.mp4", "--offset-ms", "0"],
        ["in.mp4", "out.mp4", "--offset-ms", "nan"],
        ["in.mp4", "out.mp4", "--offset-ms", "1e9"],
        ["in.mp4", "out.mp4", "--offset-ms", "soon"],
        ["in.mp4", "out.mp4", "--audio-stream", "1+"],
        ["in.mp4", "out.mp4", "--audio-stream", "-1", "--offset-ms", "3"],
        ["in.mp4", "out.mp4", "--profile", "nobody"],
    ],
)
def test_bad_usage_exits_with_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_one_of_several_programmes_is_copied(early: Path, bundle_path: Path, tmp_path: Path) -> None:
    """A radio programme comes first, whose sound is that of the picture 200 ms later."""
    source, output = tmp_path / "in.ts", tmp_path / "out.ts"
    programmes = ("-program", "title=Radio:program_num=7:st=0", "-program", "title=TV:program_num=9:st=1:st=2")
    late = ("-itsoffset", "0.2", "-i", early, "-i", early, "-map", "0:a", "-map", "1:v", "-map", "1:a", "-c", "copy")
    ffmpeg(*late, *programmes, source)
    assert "give --program 9 to copy that one" in one_error(run(source, output, "--bundle", bundle_path))
    assert "no programme 8" in one_error(run(source, output, "--offset-ms", 9, "--program", 8))
    assert not output.exists()
    result = run(source, output, "--bundle", bundle_path, "--program", 9)
    assert result.exit_code == 0, result.output
    assert re.findall("note: (.*)", result.stderr) == ["stream 0 (audio) was left out"]
    assert re.search(r"before: +\+(299|30\d) ms", result.stdout), result.stdout
    assert re.search(r"residual: +[+-]\d ms", result.stdout), result.stdout
    assert [stream.kind for stream in packets(output)] == ["video", "audio"]


def test_programmes_may_share_streams(early: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.ts", tmp_path / "out.ts"
    programmes = ("-program", "program_num=7:st=0", "-program", "program_num=9:st=0:st=1")
    ffmpeg("-i", early, "-map", "0:a", "-map", "0:v", "-c", "copy", *programmes, source)
    result = run(source, output, "--offset-ms", 9, "--program", 9)
    assert result.exit_code == 0, result.output
    with av.open(str(output)) as container:
        assert programs(container) == {9: {0, 1}}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interruption_leaves_nothing(
    early: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    def interrupt(*_: object) -> None:
        os.kill(os.getpid(), number)

    monkeypatch.setattr("cavsync.deploy.repair.fix.compare", interrupt)
    result = run(early, tmp_path / "out.mp4", "--offset-ms", 80)
    assert result.exit_code == status
    assert "interrupted: nothing was written" in result.stderr
    assert list(tmp_path.iterdir()) == []
