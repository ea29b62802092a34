"""Every command ends in the same way: one line on stderr, no traceback, the same statuses."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from command_tree import COMMANDS, LEAVES, Words, title
from fake_bundle import write_fake_bundle
from sync_clips import write_clip

from cavsync import errors
from cavsync.cli.errors import EXTRAS, ExitStatus
from cavsync.cli.main import main
from cavsync.errors import CavsyncError, ConfigError

every_command = pytest.mark.parametrize("path", COMMANDS, ids=title)
ERRORS: list[type[CavsyncError]] = [kind for name, kind in vars(errors).items() if name.endswith("Error")]
every_leaf = pytest.mark.parametrize("path", LEAVES, ids=title)


def raising(monkeypatch: pytest.MonkeyPatch, path: Words, error: BaseException) -> Result:
    """The end of the command `path` when its function raises `error`; its arguments are left out."""

    def body(**_: Any) -> None:
        raise error

    monkeypatch.setattr(LEAVES[path], "callback", body)
    monkeypatch.setattr(LEAVES[path], "params", [])
    return CliRunner().invoke(main, path)


def one_line(result: Result, status: int) -> str:
    assert result.exit_code == status, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


@every_command
def test_help(path: Words) -> None:
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == ExitStatus.SUCCESS, result.output
    assert result.stdout.startswith(f"Usage: {title(path)} ")
    assert result.stderr == ""


@every_command
def test_an_unknown_option(path: Words) -> None:
    line = one_line(CliRunner().invoke(main, [*path, "--nonsense"]), 2)
    assert line.startswith("error: No such option")
    assert "--nonsense" in line
    assert line.endswith(f"(see {title(path)} --help)")


def test_a_file_name_that_begins_with_a_dash() -> None:
    line = one_line(CliRunner().invoke(main, ["score", "-clip.mp4"]), 2)
    assert "put -- before a file name that begins with a dash (see cavsync score --help)" in line
    assert "-clip.mp4 does not exist" in CliRunner().invoke(main, ["score", "--", "-clip.mp4"]).stderr
    assert "dash" not in one_line(CliRunner().invoke(main, ["data", "--nonsense"]), 2)


@pytest.mark.parametrize("path", [path for path in COMMANDS if path not in LEAVES], ids=title)
def test_an_unknown_command(path: Words) -> None:
    assert "'nonsense'" in one_line(CliRunner().invoke(main, [*path, "nonsense"]), 2)


@every_leaf
def test_an_error_of_cavsync(path: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ERRORS:
        line = one_line(raising(monkeypatch, path, kind("it is wrong:\nput it right")), 2 if kind is ConfigError else 1)
        assert line == "error: it is wrong: put it right"


@every_leaf
def test_bad_usage_that_the_command_finds(path: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    line = one_line(raising(monkeypatch, path, click.UsageError("--this needs --that.")), 2)
    assert line == f"error: --this needs --that (see {title(path)} --help)"


@every_leaf
def test_ctrl_c(path: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    assert one_line(raising(monkeypatch, path, KeyboardInterrupt()), 130) == "interrupted"
    noted = raising(monkeypatch, path, KeyboardInterrupt("nothing was written"))
    assert one_line(noted, 130) == "interrupted: nothing was written"


@every_leaf
def test_a_missing_package(path: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ModuleNotFoundError("No module named 'onnx.helper'", name="onnx.helper")
    line = one_line(raising(monkeypatch, path, error), 1)
    assert line == "error: this command needs onnx.helper: pip install 'cavsync[export]'"


@every_leaf
@pytest.mark.parametrize("error", [ValueError("defect"), ModuleNotFoundError("gone", name="cavsync.gone")])
def test_a_defect_keeps_its_traceback(path: Words, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    assert raising(monkeypatch, path, error).exception is error


@pytest.mark.parametrize(
    "words",
    [
        ("score", "clip.mp4", "--engine", "nonsense"),
        ("score", "clip.mp4", "--csv", "absent/out.csv"),
        ("score", "clip.mp4", "--window-seconds", "-1"),
        ("score", "clip.mp4", "--profile", "nonsense"),
        ("watch", "clip.mp4", "--engine", "nonsense"),
        ("watch", "clip.mp4", "--profile", "nonsense"),
        ("serve", "--engine", "nonsense"),
        ("serve", "--profile", "nonsense"),
        ("fix", "clip.mp4", "out.mp4", "--engine", "nonsense"),
        ("fix", "clip.mp4", "out.mp4", "--profile", "nonsense"),
        ("fix", "clip.mp4", "clip.mp4", "--offset-ms", "80"),
        ("eval", "sync", ".", "--engine", "nonsense"),
        ("eval", "sync", ".", "--bundle", "bundle", "--json", "absent/out.json"),
    ],
    ids=" ".join,
)
def test_options_that_cannot_be(words: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_fake_bundle(tmp_path / "bundle")
    write_clip(tmp_path / "clip.mp4", seconds=0.2)
    assert one_line(CliRunner().invoke(main, words), 2).startswith("error: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "clip.mp4"]


def test_an_option_that_no_file_can_be_scored_with_ends_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be used costs one line; a configuration error is the same for all of them."""
    asked = []

    def refuse(source: str, *_: object, **__: object) -> None:
        asked.append(source)
        raise ConfigError("it cannot be")

    monkeypatch.setattr("cavsync.deploy.score_file", refuse)
    words = ["score", "a.mp4", "b.mp4", "--bundle", str(write_fake_bundle(tmp_path / "bundle"))]
    assert one_line(CliRunner().invoke(main, words), 2) == "error: it cannot be"
    assert asked == ["a.mp4"]


def test_an_option_that_the_copy_cannot_be_checked_with_leaves_no_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConfigError("it cannot be")

    monkeypatch.setattr("cavsync.deploy.score_file", refuse)
    source = write_clip(tmp_path / "clip.mp4", seconds=1.0)
    words = ["fix", str(source), str(tmp_path / "out.mp4"), "--offset-ms", "80"]
    words += ["--bundle", str(write_fake_bundle(tmp_path / "bundle"))]
    assert one_line(CliRunner().invoke(main, words), 2) == "error: it cannot be"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "clip.mp4"]


@pytest.mark.parametrize("words", [("score", "clip.mkv", "--json", "-"), ("score", "clip.mkv"), ("--help",), ("info",)])
def test_a_reader_that_leaves_sees_no_traceback(words: Words, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mkv", seconds=3.0)
    bundle = write_fake_bundle(tmp_path / "bundle")
    chosen = ("--bundle", str(bundle)) if words[0] == "score" else ()
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from cavsync.cli.main import main; main()", *words, *chosen],
        stdout=write, stderr=subprocess.PIPE, cwd=tmp_path, text=True, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_every_optional_package_names_its_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    named = {"tensorrt_rtx_cu13": "tensorrt_rtx", "cuda_bindings": "cuda", "opencv_python_headless": "cv2"}
    expected = {}
    for extra, packages in project["optional-dependencies"].items():
        # Commands import none of what builds the documentation; "gpu" replaces a package of the base install.
        if extra not in ("dev", "docs", "gpu"):
            for package in packages:
                name = package.partition(">")[0].replace("-", "_")
                expected[named.get(name, name)] = extra
    expected = {name: extra for name, extra in expected.items() if not name.startswith("cavsync[")}
    assert expected == EXTRAS


# Handlers inside commands that decide how a command goes on, not how it ends.
ALLOWED_HANDLERS = {
    # A file that cannot be used does not end a batch; what was scored before Ctrl-C is kept.
    ("cavsync.cli.score_batch", "BundleError"),
    ("cavsync.cli.score_batch", "ConfigError"),
    ("cavsync.cli.score_batch", "CavsyncError"),
    ("cavsync.cli.score_batch", "KeyboardInterrupt"),
    ("cavsync.cli.archive", "CavsyncError"),
    ("cavsync.cli.archive", "KeyboardInterrupt"),
    ("cavsync.cli.demo", "MediaError"),
    # A pair that cannot be joined does not end the list.
    ("cavsync.cli.data.av_syncbench", "MediaError"),
    ("cavsync.cli.media.output_folder", "MediaError"),
    ("cavsync.cli.media.output_folder", "KeyboardInterrupt"),
    # Becomes bad usage of the option.
    ("cavsync.cli.threads", "ConfigError"),
}
ENDS = {"exit", "_exit", "abort", "SystemExit", "Exit", "Abort", "ClickException"}


def modules() -> Iterator[tuple[str, ast.Module]]:
    folder = Path(str(importlib.import_module("cavsync.cli.main").__file__)).parent
    for path in sorted(folder.rglob("*.py")):
        name = ".".join(["cavsync.cli", *path.relative_to(folder).with_suffix("").parts])
        if name != "cavsync.cli.errors":
            yield name, ast.parse(path.read_text("utf-8"))


def test_no_command_has_an_error_path_of_its_own() -> None:
    """`cavsync.cli.errors` alone ends the process, prints errors and catches those of cavsync."""
    caught = {"BaseException", "Exception", "KeyboardInterrupt", *(kind.__name__ for kind in ERRORS)}
    handlers = set()
    for module, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, module
                names = {part.id for part in ast.walk(node.type) if isinstance(part, ast.Name)}
                handlers |= {(module, name) for name in names & caught}
            if isinstance(node, ast.Name | ast.Attribute):
                assert (node.id if isinstance(node, ast.Name) else node.attr) not in ENDS, module
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.lower().startswith("error:"), module
    assert handlers == ALLOWED_HANDLERS
