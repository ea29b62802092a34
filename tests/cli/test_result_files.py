"""No command writes its results over an input or other media, whatever a user mistypes."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sync_clips import write_clip

from cavsync.cli.main import main


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_clip(tmp_path / "clip.mkv", seconds=3.0)
    return tmp_path / "clip.mkv"


@pytest.mark.parametrize("command", ["score", "watch"])
@pytest.mark.parametrize("option", ["--json", "--csv", "--vtt", "--html"])
def test_the_input_is_not_replaced(command: str, option: str, clip: Path, tmp_path: Path) -> None:
    """Named itself, by a link, or by another name of the same file; nor is another video."""
    if (command, option) == ("watch", "--html"):
        pytest.skip("watch writes no page")
    other = tmp_path / "other.mkv"
    other.write_bytes(b"another video")
    link, hard = tmp_path / "link.json", tmp_path / "hard.json"
    link.symlink_to(clip)
    hard.hardlink_to(clip)
    before = clip.read_bytes()
    for output in (clip, link, hard, other):
        result = run(command, clip, option, output)
        assert result.exit_code == 2, result.output
        assert "would replace: name another file" in result.output or "exists" in result.output
        assert (clip.read_bytes(), other.read_bytes()) == (before, b"another video")


def test_a_folder_of_inputs_and_an_input_without_an_ending(clip: Path, tmp_path: Path) -> None:
    """Inputs count one by one, by what they are and not by their names."""
    plain = tmp_path / "plain"
    plain.write_bytes(clip.read_bytes())
    assert run("score", tmp_path, "--json", clip).exit_code == 2
    assert run("score", clip, plain, "--csv", plain).exit_code == 2
    assert plain.read_bytes() == clip.read_bytes()


def test_two_results_do_not_share_a_file(clip: Path, tmp_path: Path) -> None:
    """The second would replace the first."""
    result = run("score", clip, "--html", tmp_path / "same", "--json", tmp_path / "." / "same")
    assert result.exit_code == 2
    assert "is to hold two kinds of results" in result.output


@pytest.mark.parametrize("words", [("eval", "sync"), ("data", "check")])
def test_other_commands(words: tuple[str, str], clip: Path, tmp_path: Path) -> None:
    """Results of a folder do not replace its clips."""
    before = clip.read_bytes()
    assert run(*words, tmp_path, "--json", clip).exit_code == 2
    assert clip.read_bytes() == before
