"""`cavsync export`: what it would write, what it writes in every precision, and how it refuses."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from exported import lively_run, remembered_graph

from cavsync.cli.main import main
from cavsync.deploy import Bundle
from cavsync.deploy.runtime.sidecar import read_sidecar
from cavsync.export import PRECISIONS, artefacts
from cavsync.export.precision import openvino
from cavsync.manifest import ENCODERS, read_manifest, sha256_file

rtx_only = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed: pip install 'cavsync[trt]'"
)
# Engines without a GPU, for one kind of it.
FP8_ENGINES = ("--trt", "rtx", "--compute-capability", "89")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graphs of the one run are exported once; a terminal that breaks no line."""
    monkeypatch.setattr(artefacts, "write_graph", remembered_graph)
    monkeypatch.setenv("COLUMNS", "300")


def run(out: Path, *arguments: object) -> Result:
    words = ["export", str(lively_run()), "--out", str(out), "--calibration", "none", *map(str, arguments)]
    return CliRunner().invoke(main, words)


def refused(result: Result, status: int) -> str:
    assert result.exit_code == status, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result.stderr


def planned(output: str) -> list[tuple[str, str, str]]:
    """(file, for, precision) of the table's rows."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines() if line.startswith("│")]
    return [(row[0], row[1], row[2]) for row in rows]


@pytest.mark.parametrize("precision", [item for item in PRECISIONS if item != "fp8"])
def test_every_precision_gives_a_bundle_that_agrees_with_itself(precision: str, tmp_path: Path) -> None:
    """And that --dry-run had announced, but for int8, which depends on what is fast."""
    out = tmp_path / "bundle"
    plan = run(out, "--precision", precision, "--dry-run")
    assert plan.exit_code == 0, plan.output
    assert list(tmp_path.iterdir()) == []
    result = run(out, "--precision", precision)
    assert result.exit_code == 0, result.output
    assert f"wrote {out}" in result.stdout
    assert "not calibrated: every decision will be undetermined" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    manifest = read_manifest(out)
    names = {path.name for path in out.iterdir()} - {"manifest.json"}
    assert names == set(manifest.files)
    engines = {file for engine in manifest.engines for file in (engine.file, *engine.companions)}
    graphs = {"audio_frontend.onnx", *(f"{name}.onnx" for name in ENCODERS)}
    reports = {"MODEL_CARD.md", "parity.json"}
    reports |= {"int8_candidates.json"} if precision in ("int8", "auto") else set()
    assert names == graphs | engines | reports
    assert not graphs & engines
    assert manifest.precision == {"bf16": "fp32", "auto": "int8"}.get(precision, precision)
    for engine in {f"{engine.runtime}:{engine.precision}" for engine in manifest.engines}:
        # ONNX Runtime has no bf16 on the CPU.
        if engine != "onnxruntime:bf16" and not (engine.startswith("openvino") and not openvino.is_installed()):
            Bundle.open(out, engine=engine, threads=1)
    Bundle.open(out, threads=1)
    announced = {name for file, *_ in planned(plan.stdout) for name in expanded(file)}
    assert graphs <= announced
    if precision != "int8":
        assert announced - set(names) == set()
        # Of several int8 forms for ONNX Runtime, which one is the graph is a matter of speed.
        assert {name for name in engines - announced if "static" not in name and "dynamic" not in name} == set()
    table = [line for line in result.stdout.splitlines() if line.startswith("│")]
    assert len(table) == len(json.loads((out / "parity.json").read_text())["outputs"])


def expanded(file: str) -> list[str]:
    """ "a.xml, .bin" stands for two files."""
    first, *more = file.split(", ")
    return [first, *(first.rpartition(".")[0] + ending for ending in more)]


def test_a_dry_run_lists_files_and_writes_nothing(tmp_path: Path) -> None:
    result = run(tmp_path / "bundle", "--precision", "fp16", "--triton-repo", tmp_path / "models", "--dry-run")
    assert result.exit_code == 0, result.output
    assert list(tmp_path.iterdir()) == []
    # The title is as wide as the table.
    assert f"Would be written to {tmp_path / 'bundle'}".replace(" ", "") in "".join(result.stdout.split())
    assert planned(result.stdout) == [
        ("audio_frontend.onnx", "ONNX Runtime", "fp32"),
        ("audio_encoder.onnx", "ONNX Runtime", "fp16"),
        ("visual_encoder.onnx", "ONNX Runtime", "fp16"),
    ]
    assert "compared on generated clips; not calibrated: every decision would be undetermined" in result.stdout
    assert f"a Triton model repository in {tmp_path / 'models'}" in result.stdout


def test_a_dry_run_refuses_what_the_export_would(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    for wrong, status in (
        (["--storage", "half", "--precision", "fp16"], 2),
        (["--precision", "fp8"], 2),
        (["--step", "77"], 1),
    ):
        asked = refused(run(tmp_path / "bundle", *wrong, "--dry-run"), status)
        assert asked == refused(run(tmp_path / "bundle", *wrong), status).splitlines(keepends=True)[-1]
    assert refused(run(tmp_path / "letters", "--dry-run"), 2) == refused(run(tmp_path / "letters"), 2)
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--compute-capability", "89"], "are for engines: add --trt"),
        (["--timing-cache", "cache"], "are for engines: add --trt"),
        (["--trt", "rtx", "--batch", "8"], "--batch is '8', expected three numbers such as 1,8,64"),
        (["--trt", "rtx", "--batch", "1,8,many"], "--batch is '1,8,many', expected three numbers such as 1,8,64"),
        (["--trt", "rtx", "--batch", "1,8,64,128"], "expected three numbers such as 1,8,64"),
        (
            ["--trt", "rtx", "--batch", "8,1,64"],
            "--batch is '8,1,64', expected numbers of at least 1 in ascending order",
        ),
        (
            ["--trt", "rtx", "--batch", "0,1,2"],
            "--batch is '0,1,2', expected numbers of at least 1 in ascending order",
        ),
        (["--precision", "fp7"], "'fp7' is not one of"),
        (["--trt", "cuda"], "(cuda)"),
    ],
)
def test_usage_errors_end_with_2(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    assert sentence in refused(run(tmp_path / "bundle", *arguments), 2)
    assert list(tmp_path.iterdir()) == []


@rtx_only
def test_engines_and_a_triton_repository_in_one_command(tmp_path: Path) -> None:
    out, models = tmp_path / "bundle", tmp_path / "models"
    arguments = (
        "--trt", "rtx", "--compute-capability", "89", "--precision", "fp16", "--batch", "1,4,16", "--triton-repo",
    )  # fmt: skip
    plan = run(out, *arguments, models, "--dry-run")
    assert plan.exit_code == 0, plan.output
    assert list(tmp_path.iterdir()) == []
    result = run(out, *arguments, models)
    assert result.exit_code == 0, result.output
    manifest = read_manifest(out)
    files = [f"{name}.tensorrt_rtx.sm89.engine" for name in ENCODERS]
    assert [engine.file for engine in manifest.engines] == files
    assert set(files) <= {file for file, *_ in planned(plan.stdout)}
    for engine in manifest.engines:
        sidecar = read_sidecar(out / engine.companions[0])
        assert (sidecar.batch.min, sidecar.batch.opt, sidecar.batch.max) == (1, 4, 16)
        assert sidecar.precision == engine.precision == "fp16"
        assert sidecar.compute_capabilities == ["89"]
        assert sidecar.engine_sha256 == sha256_file(out / engine.file) == manifest.files[engine.file].sha256
    Bundle.open(out, threads=1)
    graphs = {path.parent.parent.name: path for path in models.glob("cavsync_*/1/model.onnx")}
    assert sorted(graphs) == ["cavsync_audio_encoder", "cavsync_audio_frontend", "cavsync_visual_encoder"]
    for name, path in graphs.items():
        assert sha256_file(path) == manifest.files[f"{name.removeprefix('cavsync_')}.onnx"].sha256


@rtx_only
@pytest.mark.parametrize("precision", ["fp8", "int8", "auto"])
def test_engines_beside_float32_and_int8_graphs(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fp8 lives in engines alone; "auto" means fp16 on a GPU."""
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    result = run(tmp_path / "bundle", "--precision", precision, *FP8_ENGINES)
    assert result.exit_code == 0, result.output
    manifest = read_manifest(tmp_path / "bundle")
    assert manifest.precision == ("fp32" if precision == "fp8" else "int8")
    engines = [engine for engine in manifest.engines if engine.runtime == "tensorrt_rtx"]
    assert [(engine.graph, engine.precision) for engine in engines] == [
        (name, "fp16" if precision == "auto" else precision) for name in ENCODERS
    ]
    Bundle.open(tmp_path / "bundle", threads=1)


@rtx_only
@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_data_centre_gpus_are_refused_with_the_reason(flags: list[str], tmp_path: Path) -> None:
    result = run(tmp_path / "bundle", "--trt", "rtx", "--compute-capability", "90", *flags)
    sentence = refused(result, 1).splitlines()[-1]
    assert sentence.startswith("error: ")
    assert "does not build for compute capability 90, it is for GeForce and RTX GPUs" in sentence
    assert "for no data-centre GPU such as 90 or 100" in sentence
    assert sentence.endswith("or build on a machine with that GPU with --trt tensorrt")
    assert list(tmp_path.iterdir()) == []
