"""What computes the encoders is chosen by name as in Python, decides alike, and is refused where it is not there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from documents import ROOT
from face_clips import LEFT, RIGHT, closed, frames_of, speaking
from fake_bundle import write_fake_bundle
from generated_clips import make_clips
from native_library import NativeError, NativeLibrary, NativeScorer
from native_streams import Stream, assert_same, fed
from onnx import numpy_helper
from sync_clips import make_audio

from cavsync.deploy import Bundle, SyncScorer
from cavsync.deploy.native import NativeBundle, native_engines
from cavsync.deploy.runtime.default_bundle import default_bundle
from cavsync.deploy.runtime.openvino_library import import_openvino
from cavsync.errors import ConfigError
from cavsync.manifest import MANIFEST_NAME, EngineSpec, describe_files, read_manifest
from cavsync.media import AudioChunk, MediaReader

CONFIG, BUNDLE = 2, 3
OPENVINO_CMAKE = ROOT / "deploy" / "native" / "cmake" / "openvino.cmake"


@pytest.fixture
def openvino(library: NativeLibrary) -> Any:
    """The Python package, to write graphs with; the build must have the engine."""
    if "openvino" not in library.names("engine"):
        pytest.skip("this build of libcavsync has no OpenVINO: pip install openvino, and `make native` again")
    if find_spec("openvino") is None:
        pytest.skip("OpenVINO is not installed: pip install 'cavsync[openvino]'")
    return import_openvino()


@pytest.fixture
def python_use(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAVSYNC_LIBRARY", str(build / "libcavsync.so"))


def assert_decisions_of_python(
    library: NativeLibrary, native: Any, python: Bundle, stream: Stream, path: str
) -> list[dict[str, Any]]:
    scorer = NativeScorer(library, native, path=path)
    found, wanted = fed(scorer, stream), fed(SyncScorer(python, path=path), stream)
    scorer.close()
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        assert_same(one, other)
    return found


def decoded(clip: Path) -> Stream:
    with MediaReader(clip) as reader:
        return Stream(
            [
                (item.pts_seconds, item.samples, 16_000)
                if isinstance(item, AudioChunk)
                else (item.pts_seconds, item.rgb)
                for item in reader
            ]
        )


def with_openvino_engines(openvino: Any, folder: Path, source: Callable[[Path], Path] | None = None) -> Path:
    """Add OpenVINO graphs of all encoders to the bundle, called int8; they are those of `source` where that is given,
    so that they differ from the bundle's ONNX graphs."""
    manifest = read_manifest(folder)
    other = folder if source is None else source(folder.parent / "source")
    for name in manifest.encoders:
        model = openvino.convert_model(str(other / manifest.graphs[name].file))
        openvino.save_model(model, str(folder / f"{name}.xml"), compress_to_fp16=False)
    return declared(folder, manifest.encoders)


def declared(folder: Path, graphs: Any) -> Path:
    manifest = read_manifest(folder)
    engines = [EngineSpec(name, "openvino", "int8", f"{name}.xml", [f"{name}.bin"]) for name in graphs]
    files = describe_files(folder, [path.name for path in folder.iterdir() if path.name != MANIFEST_NAME])
    (folder / MANIFEST_NAME).write_bytes(replace(manifest, engines=engines, files=files).to_bytes())
    return folder


@pytest.mark.parametrize("path", ["auto", "whole"])
def test_openvino_decides_on_a_generated_clip_as_python(
    openvino: Any, library: NativeLibrary, tmp_path: Path, path: str
) -> None:
    """The packaged bundle, whose ONNX graphs OpenVINO computes."""
    make_clips(tmp_path, 1, seed=21, duration_seconds=6.0, max_offset_ms=400.0)
    stream = decoded(next(tmp_path.glob("*.mp4")))
    native = library.open_bundle(default_bundle(), engine="openvino", threads=1)
    found = assert_decisions_of_python(library, native, Bundle.open(threads=1), stream, path)
    assert path == "auto" or any(record["state"] != "undetermined" for record in found)


def test_openvino_decides_on_faces_as_python(openvino: Any, library: NativeLibrary, tmp_path: Path) -> None:
    """ONNX Runtime computes the face path beside it."""
    folder = write_fake_bundle(tmp_path, face_places=(LEFT, RIGHT))
    times = np.arange(125) / 25
    samples = make_audio(0.0, 5 * 16_000, audio_offset_ms=-160.0)
    frames = frames_of(speaking(times), closed(times))
    stream = Stream([(0.0, samples, 16_000), *zip(map(float, times), frames, strict=True)])
    native = library.open_bundle(folder, engine="openvino")
    found = assert_decisions_of_python(library, native, Bundle.open(folder, threads=1), stream, "auto")
    assert {record["path"] for record in found} == {"face"}


def test_engines_of_a_bundle_are_used_as_in_python(openvino: Any, library: NativeLibrary, tmp_path: Path) -> None:
    """The bundle's OpenVINO graphs look at the other end of a tubelet, so that their offset is another one."""
    folder = write_fake_bundle(tmp_path / "bundle", num_frames=11)
    stream = Stream()
    rng = np.random.default_rng(5)
    stream.add_frames(np.arange(0, 6, 0.04), (24, 32), rng)
    stream.add_audio(0.0, 6.0, 16_000, rng)
    stream = stream.sorted()
    with_openvino_engines(openvino, folder, shifted_bundle)
    offsets = {}
    for engine in ("onnxruntime", "openvino", "openvino:int8", "auto"):
        native = library.open_bundle(folder, engine=engine)
        python = Bundle.open(folder, engine=engine, threads=1)
        found = assert_decisions_of_python(library, native, python, stream, "whole")
        offsets[engine] = np.median([record["audio_offset_ms"] for record in found if record["is_measured"]])
    assert offsets["openvino"] == offsets["openvino:int8"] == offsets["auto"]
    assert abs(offsets["openvino"] - offsets["onnxruntime"]) > 100


def shifted_bundle(folder: Path) -> Path:
    """The same bundle but that the visual encoder looks at the first frame of a tubelet instead of the middle one."""
    write_fake_bundle(folder, num_frames=11)
    path = folder / "visual_encoder.onnx"
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == "middle":
            tensor.CopyFrom(numpy_helper.from_array(np.array(0), "middle"))
    onnx.save(model, path)
    return folder


def test_either_kind_of_visual_encoder_runs_in_openvino(
    openvino: Any, library: NativeLibrary, bundle_path: Path, tmp_path: Path
) -> None:
    folder = with_openvino_engines(openvino, Path(shutil.copytree(bundle_path, tmp_path / "copy")))
    stream = Stream()
    rng = np.random.default_rng(3)
    stream.add_frames(np.arange(0, 5, 0.04), (24, 32), rng)
    stream.add_audio(0.0, 5.0, 16_000, rng, late=0.2)
    native = library.open_bundle(folder, engine="openvino")
    python = Bundle.open(folder, engine="openvino", threads=1)
    found = assert_decisions_of_python(library, native, python, stream.sorted(), "whole")
    assert "audio_late" in {record["state"] for record in found}


def test_unusable_engines_of_a_bundle_are_refused(openvino: Any, library: NativeLibrary, tmp_path: Path) -> None:
    folder = with_openvino_engines(openvino, write_fake_bundle(tmp_path / "bundle"))
    encoders = read_manifest(folder).encoders
    shutil.copy(folder / "audio_encoder.onnx", folder / "audio_encoder.xml")
    with pytest.raises(NativeError, match="is not an OpenVINO graph, expected its XML") as failure:
        library.open_bundle(declared(folder, encoders), engine="openvino")
    assert failure.value.status == BUNDLE
    text = (folder / "visual_encoder.xml").read_text()
    (folder / "audio_encoder.xml").write_text(text[: len(text) // 2])
    with pytest.raises(NativeError, match="is not a usable graph for OpenVINO") as failure:
        library.open_bundle(declared(folder, encoders), engine="openvino")
    assert failure.value.status == BUNDLE
    with pytest.raises(NativeError, match=r"has no openvino engine of every encoder, .*openvino:int8") as failure:
        library.open_bundle(declared(folder, ["audio_encoder"]), engine="openvino")
    assert failure.value.status == CONFIG


@pytest.mark.usefixtures("python_use")
def test_engines_are_named_in_python() -> None:
    assert native_engines()[0] == "onnxruntime"
    for engine in ("onnxruntime", "onnxruntime:fp32", "auto"):
        assert NativeBundle(engine=engine, threads=1).engine == "onnxruntime:fp32"
    for engine, reason in (
        ("no-such", "engine no-such is not known"),
        ("tensorrt", r"engine tensorrt is not in this libcavsync, .* SDK of TensorRT \(-DTENSORRT_ROOT\)"),
        ("onnxruntime:int8", "has no onnxruntime:int8 engine"),
    ):
        with pytest.raises(ConfigError, match=reason):
            NativeBundle(engine=engine)


@pytest.mark.usefixtures("python_use")
def test_a_provider_that_is_missing_is_named(library: NativeLibrary) -> None:
    assert NativeBundle(provider="CPUExecutionProvider").engine == "onnxruntime:fp32"
    with pytest.raises(ConfigError, match="execution provider no-such is not known: use cpu, cuda or tensorrt"):
        NativeBundle(provider="no-such")
    with pytest.raises(ConfigError, match="device is negative"):
        NativeBundle(device=-1)
    missing = [name for name in ("cuda", "tensorrt") if name not in library.names("provider")]
    if not missing:
        pytest.skip("this ONNX Runtime has every provider")
    for name in missing:
        with pytest.raises(ConfigError, match=f"provider {name} is not available, this ONNX Runtime .* has cpu"):
            NativeBundle(provider=name)


@pytest.mark.usefixtures("python_use")
def test_openvino_in_a_build_without_it(library: NativeLibrary) -> None:
    if "openvino" in library.names("engine"):
        pytest.skip("this build has OpenVINO; -DCAVSYNC_OPENVINO=OFF builds without")
    with pytest.raises(ConfigError, match=r"engine openvino is not in this libcavsync, .* -DCAVSYNC_OPENVINO=ON"):
        NativeBundle(engine="openvino")


def test_openvino_is_loaded_on_demand_only(openvino: Any, build: Path, tmp_path: Path) -> None:
    """A library without its module beside it works, and says what is missing to those who ask for the engine."""
    folder = with_openvino_engines(openvino, write_fake_bundle(tmp_path / "bundle"))
    shutil.copy(build / "libcavsync.so", tmp_path / "libcavsync.so.1")
    code = (
        "from cavsync.deploy.native import NativeBundle, native_engines\n"
        "print(native_engines(), NativeBundle(threads=1).engine, 'libopenvino' in open('/proc/self/maps').read())\n"
        f"print(NativeBundle({str(folder)!r}, engine='auto').engine)\n"
        "NativeBundle(engine='openvino')"
    )
    environment = os.environ | {"CAVSYNC_LIBRARY": str(tmp_path / "libcavsync.so.1")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.stdout == "['onnxruntime', 'openvino'] onnxruntime:fp32 False\nonnxruntime:fp32\n"
    sentence = done.stderr.splitlines()[-1]
    assert "ConfigError: engine openvino cannot be loaded (" in sentence
    assert "install OpenVINO where the loader finds it and the module beside libcavsync" in sentence


def program(build: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([build / "cavsync-score", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_the_program_takes_engines_by_name(openvino: Any, build: Path, tmp_path: Path) -> None:
    make_clips(tmp_path, 1, seed=8, duration_seconds=4.0, max_offset_ms=300.0)
    clip = next(tmp_path.glob("*.mp4"))
    summaries = {}
    for engine in ("onnxruntime", "openvino"):
        done = program(build, "--bundle", default_bundle(), "--engine", engine, "--threads", 1, clip)
        assert (done.returncode, done.stderr) == (0, "")
        summaries[engine] = json.loads(done.stdout.splitlines()[-1])
    assert summaries["openvino"]["state"] == summaries["onnxruntime"]["state"]
    assert "openvino" in summaries["openvino"]["versions"]
    assert "openvino" not in summaries["onnxruntime"]["versions"]
    listed = program(build, "--engines").stdout.splitlines()
    assert listed[0].startswith("onnxruntime 1.")
    assert ", providers: cpu" in listed[0]
    assert listed[1].startswith("openvino 20")


@pytest.mark.parametrize(("option", "name"), [("--engine", "no-such"), ("--provider", "no-such")])
def test_the_program_refuses_other_names(build: Path, tmp_path: Path, option: str, name: str) -> None:
    done = program(build, "--bundle", default_bundle(), option, name, tmp_path / "clip.mp4")
    assert done.returncode == 2
    assert f"{name} is not known" in done.stderr


@pytest.mark.parametrize(
    ("setting", "status", "line"),
    [
        ("AUTO", 0, "engine OpenVINO: off, 2024 or newer was not found"),
        ("OFF", 0, "engine OpenVINO: off, by CAVSYNC_OPENVINO"),
        ("ON", 1, "CAVSYNC_OPENVINO is ON and OpenVINO 2024 or newer was not found"),
    ],
)
def test_a_missing_openvino_is_a_line_or_an_error(
    build: Path, tmp_path: Path, setting: str, status: int, line: str
) -> None:
    """Where CMake looks for it, there is nothing."""
    places = [f"-DCMAKE_FIND_ROOT_PATH={tmp_path}", "-DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=ONLY"]
    command = ["cmake", f"-DCAVSYNC_OPENVINO={setting}", *places, "-P", str(OPENVINO_CMAKE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert line in " ".join((done.stdout + done.stderr).split())
