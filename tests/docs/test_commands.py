"""Every command in a block of the documentation is run, unless the comment above the block says why not.

All run in one folder, in the order of the reader: the list of commands in docs/index.md makes what other pages use.
Sizes are cut down (`SMALLER`); each such change is one that a reader could make.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from documents import BLOCKS, ROOT, Block, name_of
from sync_clips import make_audio

from cavsync.cli.main import main
from cavsync.data.synth import ClipSpec, generate

LANGUAGES = {"bash", "python", "json", "text"}
# A part of a command as it is written, and what stands for it here.
SMALLER = {
    "--clips 200 --seed 1": "--clips 4 --seed 1 --duration-seconds 4 --size 96x96 --container mp4 --masks 1",
    "--preset sync-tiny": "--preset debug --set max_steps=2 --set batch_clips=2",
    "--preset probe": "--preset probe --set max_steps=2 --set batch_clips=2",
    "eval inpaint clips": "eval inpaint clips --clips 1 --ratios 0.5 --mode unstructured",
    "eval localize clips": "eval localize clips --pictures 1",
}
OUTPUT = re.compile(r"(?:--out|cavsync fix \S+) (\S+)")
# Decided by the shipped model, and out of sync: `cavsync fix` has something to do.
VIDEO = "drummer@1 seed=6 fps=25 duration_seconds=8 width=192 height=144 audio_rate_hz=48000 audio_offset_ms=-300"
INDEX = ROOT / "docs" / "index.md"
COMMANDS = [block for block in BLOCKS if block.language == "bash" and block.not_run is None]
IN_ORDER = sorted(COMMANDS, key=lambda block: block.page != INDEX)


def lines(block: Block) -> Iterator[str]:
    """The commands of a block without their comments, continued lines joined."""
    for line in block.text.replace("\\\n", " ").splitlines():
        command = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
        if command:
            yield command


def smaller(command: str) -> str:
    for written, stands_for in SMALLER.items():
        command = command.replace(written, stands_for)
    return command


def test_every_block_has_a_language_and_every_mark_a_reason() -> None:
    assert [str(block) for block in BLOCKS if block.language not in LANGUAGES] == []
    assert [str(block) for block in BLOCKS if block.not_run is not None and len(block.not_run.split()) < 4] == []
    marked = [block for block in BLOCKS if block.not_run is not None]
    assert all(block.language in ("bash", "python") for block in marked)
    marks = sum(page.read_text("utf-8").count("<!-- not run") for page in {block.page for block in BLOCKS})
    assert marks == len(marked), "a mark stands directly above its block, in the form <!-- not run: REASON -->"


def test_blocks_of_data_are_data() -> None:
    for block in BLOCKS:
        if block.language == "json":
            json.loads(block.text)


def test_what_is_cut_down_is_written_somewhere() -> None:
    text = "\n".join(block.text for block in COMMANDS)
    assert [written for written in SMALLER if written not in text] == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the files that a reader brings along: a video and a sound."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("reader")
    before = Path.cwd()
    os.chdir(folder)
    (video,) = generate(folder / "brought", [ClipSpec.from_text(VIDEO)], workers=1)
    shutil.copy(folder / "brought" / video["file"], "video.mp4")
    with wave.open("sound.wav", "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes((32767 * make_audio(0.0, 4 * 16_000)).astype("<i2").tobytes())
    yield folder
    os.chdir(before)


@pytest.mark.slow
@pytest.mark.parametrize("block", IN_ORDER, ids=lambda block: f"{name_of(block.page)}:{block.line}")
def test_the_commands_of_a_block_succeed(block: Block, folder: Path) -> None:
    """What an earlier block wrote to the place of an output is removed first: outputs are never written over."""
    made: set[str] = set()
    for command in lines(block):
        program, *words = shlex.split(smaller(command))
        assert program == "cavsync", f"{block} runs {program}: mark the block as not run, with the reason"
        for output in OUTPUT.findall(command):
            if output not in made:
                shutil.rmtree(output, ignore_errors=True)
                Path(output).unlink(missing_ok=True)
            made.add(output)
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, f"{block}: {command}\n{done.output}"
