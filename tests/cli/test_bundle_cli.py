"""`cavsync bundle`: what it says of a bundle, what it checks, and how it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fake_bundle import write_fake_bundle
from hostile import AUDIO, engine, put, swap_middle_byte, write

from cavsync.cli.main import main
from cavsync.deploy.runtime.default_bundle import default_bundle
from cavsync.manifest import MANIFEST_NAME, read_manifest


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["bundle", *map(str, arguments)])


def refused(*arguments: object) -> str:
    """The one sentence with which a command ends."""
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_fake_bundle(tmp_path / "bundle")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that breaks no line."""
    monkeypatch.setenv("COLUMNS", "300")


def test_show_says_what_a_bundle_is(folder: Path) -> None:
    result = run("show", folder)
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in result.stdout.splitlines()}
    assert lines["bundle"] == "light and loudness meter"
    assert lines["precision"] == "fp32"
    assert lines["licence"] == "CC0-1.0"
    assert lines["source"] == lines["versions"] == "not stated"
    assert lines["audio_encoder"] == (
        "audio_encoder.onnx: log_mel float32[batch, 6, 128] -> "
        "embedding float32[batch, 2], patches float32[batch, 1, 2]"
    )
    assert lines["engine"].startswith("none")
    assert "10 clips, 100 windows" in lines["calibration"]
    assert "hop 40 ms, offsets within ±600 ms, windows of 2 s every 0.5 s" in lines["sync"]
    size, sha256 = (folder / AUDIO).stat().st_size, read_manifest(folder).files[AUDIO].sha256
    assert lines[AUDIO] == f"{size:,} bytes, sha256 {sha256[:16]}..."


def test_show_lists_engines_and_says_where_nothing_is_calibrated(tmp_path: Path) -> None:
    folder = write_fake_bundle(tmp_path / "bundle", calibrated=False)
    put("engines", value=[engine(companions=["weights.bin"])])(folder)
    result = run("show", folder)
    assert "audio_encoder on openvino, fp16: audio_encoder.onnx, weights.bin" in result.stdout
    assert "none, every decision will be undetermined" in result.stdout


def test_show_as_json_is_the_manifest(folder: Path) -> None:
    put("name", value="Lichtmesser, größer")(folder)
    result = run("show", folder, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    assert result.stdout.isascii()


def test_show_fits_narrow_terminals_and_obeys_no_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long names break, markup is text, direction marks are dropped."""
    monkeypatch.setenv("COLUMNS", "60")
    put("files", "x" * 150, value={"sha256": "0" * 64, "size_bytes": 1})(folder)
    put("name", value="[bold]meter[/bold]\u202e")(folder)
    result = run("show", folder)
    assert result.exit_code == 0
    assert "[bold]meter[/bold]" in result.stdout
    assert "\u202e" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 60


def test_verify_prints_a_line_per_check(folder: Path) -> None:
    put("engines", value=[engine()])(folder)
    (folder / "notes.txt").write_text("mine")
    result = run("verify", folder, "--threads", 1)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "ok: manifest.json, bundle format 2, matches its digest"
    assert (
        sum(line.startswith("ok:") and line.endswith("matches its hash") for line in lines)
        == len(read_manifest(folder).files)
        == 3
    )
    assert "ok: the numbers are in range" in lines
    assert any(line.startswith("ok: audio_frontend, audio_encoder, visual_encoder open in ONNX Run") for line in lines)
    assert lines[-2:] == [
        f"not opened: {engine()['file']}, which matches its hash",
        "not part of the bundle, never opened: notes.txt",
    ]


def test_the_model_that_comes_along_verifies() -> None:
    shown = run("show", default_bundle())
    assert shown.exit_code == 0, shown.output
    for words in ("sync-tiny", "Apache-2.0", "visual_encoder.onnx", "fingerprint"):
        assert words in shown.stdout
    verified = run("verify", default_bundle(), "--threads", 1)
    assert verified.exit_code == 0, verified.output
    assert "not part of the bundle" not in verified.stdout


def test_verify_names_the_first_file_that_differs(folder: Path) -> None:
    write(AUDIO, swap_middle_byte)(folder)
    assert "audio_encoder.onnx differs from the hash" in refused("verify", folder)


@pytest.mark.parametrize("command", ["show", "verify"])
def test_no_bundle_is_one_sentence(command: str, folder: Path, tmp_path: Path) -> None:
    assert "does not exist" in refused(command, tmp_path / "nothing")
    assert "does not exist" in refused(command, folder / AUDIO)
    assert "is not a bundle" in refused(command, tmp_path)
    write(MANIFEST_NAME, lambda data: data[:100])(folder)
    assert "not valid JSON" in refused(command, folder)
    assert run(command).exit_code == 2


def test_numbers_and_graphs_are_verified_too(folder: Path) -> None:
    """Hashes that fit are not enough."""
    spoilt = Path(shutil.copytree(folder, folder.parent / "spoilt"))
    put("sync", "hop_ms", value=25.0)(spoilt)
    assert "sync.hop_ms = 25.0" in refused("verify", spoilt)
    put("audio_encoder", "file", value="visual_encoder.onnx")(folder)
    assert "has the inputs frames" in refused("verify", folder)


NO_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchaudio", "triton", "onnx", "scipy"}:
            raise ImportError(name + " is blocked")
        return None

sys.meta_path.insert(0, Refuse())
from cavsync.cli.main import main
for command in ("show", "verify"):
    main(["bundle", command, sys.argv[1]], standalone_mode=False)
"""


def test_the_base_install_suffices(folder: Path) -> None:
    """Neither torch nor onnx is there."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", NO_TORCH, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
