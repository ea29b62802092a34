"""What `cmake --install` lays out in another prefix works: library, program, plugin, CMake package, pkg-config."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from documents import ROOT
from generated_clips import make_clips
from waiting import PATIENCE_SECONDS

from cavsync.deploy.runtime.default_bundle import default_bundle

EXAMPLES = ROOT / "deploy" / "native" / "examples"
DECISION = re.compile(r"^ *\d+\.\d\d s  (in_sync|audio_late|audio_early|undetermined)  ", re.MULTILINE)
# Of the build's cache, what a second configuration of the same sources must be told.
NEEDED = re.compile(r"^((?:ONNXRUNTIME_ROOT|OpenVINO_DIR):\w+=.*)$", re.MULTILINE)


def run(*command: str | Path, **environment: str) -> str:
    """Run a command without the caller's search paths; return what it writes, and fail if it does."""
    kept = {name: value for name, value in os.environ.items() if name not in ("LD_LIBRARY_PATH", "PKG_CONFIG_PATH")}
    done = subprocess.run(
        [*map(str, command)],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


def configured(build: Path) -> Path:
    """Folder of the whole build; skip the test where its tools are missing."""
    for program in ("cmake", "pkg-config", "cc", "c++", "ldd"):
        if shutil.which(program) is None:
            pytest.skip(f"needs the program {program}: apt-get install cmake g++ pkg-config")
    return build.parents[1]


@pytest.fixture(scope="module")
def prefix(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    prefix = tmp_path_factory.mktemp("installed") / "a prefix"
    run("cmake", "--install", configured(build), "--prefix", prefix)
    return prefix


@pytest.fixture(scope="module")
def library_folder(prefix: Path) -> Path:
    """Where the library lies, which depends on the system: lib, lib64 or lib/x86_64-linux-gnu."""
    (library,) = prefix.rglob("libcavsync.so.1")
    return library.parent


def test_everything_finds_its_libraries(prefix: Path, library_folder: Path) -> None:
    installed = [library_folder / "libcavsync.so.1", *prefix.rglob("cavsync-score"), *prefix.rglob("libgstcavsync.so")]
    for path in installed:
        needed = run("ldd", path)
        assert "not found" not in needed, path
        found = re.findall(r"libcavsync\.so\.1 => (.*) \(", needed)
        # Not the library of the build.
        assert path == installed[0] or [Path(name).resolve() for name in found] == [installed[0].resolve()]


def test_the_cmake_package(prefix: Path, tmp_path: Path) -> None:
    run("cmake", "-S", EXAMPLES, "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", tmp_path)
    for example in ("score_generated", "live_threads"):
        assert str(prefix) in run("ldd", tmp_path / example)
        assert DECISION.search(run(tmp_path / example, default_bundle()))


@pytest.mark.parametrize(("compiler", "source"), [("cc", "score_generated.c"), ("c++", "live_threads.cpp")])
def test_pkg_config(prefix: Path, library_folder: Path, tmp_path: Path, compiler: str, source: str) -> None:
    """A prefix that the loader does not search needs a path at run time, as the guide says."""
    settings = {"PKG_CONFIG_PATH": str(library_folder / "pkgconfig")}
    flags = shlex.split(run("pkg-config", "--cflags", "--libs", "cavsync", **settings))
    named = [flag[:2] + os.path.normpath(flag[2:]) for flag in flags]
    assert named == [f"-I{prefix}/include", f"-L{library_folder}", "-lcavsync"]
    run(compiler, EXAMPLES / source, "-o", tmp_path / "example", *flags, "-lm", "-pthread")
    found = run(tmp_path / "example", default_bundle(), LD_LIBRARY_PATH=str(library_folder))
    assert DECISION.search(found)


def test_pkg_config_with_folders_outside_the_prefix(build: Path, tmp_path: Path) -> None:
    cache = (configured(build) / "CMakeCache.txt").read_text("utf-8")
    folders = ("-DCMAKE_INSTALL_LIBDIR=/opt/x/lib64", "-DCMAKE_INSTALL_INCLUDEDIR=/opt/y/include")
    given = [f"-D{entry}" for entry in NEEDED.findall(cache)]
    run("cmake", "-S", ROOT, "-B", tmp_path, "-G", "Ninja", "-DCAVSYNC_NATIVE=ON", *given, *folders)
    settings = {"PKG_CONFIG_PATH": str(tmp_path / "deploy" / "native")}
    flags = shlex.split(run("pkg-config", "--cflags", "--libs", "cavsync", **settings))
    assert flags == ["-I/opt/y/include", "-L/opt/x/lib64", "-lcavsync"]


def test_the_program(prefix: Path, tmp_path: Path) -> None:
    if not (prefix / "bin" / "cavsync-score").exists():
        pytest.skip("cavsync-score is not built: it needs libavformat-dev and libavcodec-dev")
    folder = make_clips(tmp_path, 1, seed=21, duration_seconds=6.0, max_offset_ms=400.0)
    (clip,) = folder.glob("*.mp4")
    written = run(prefix / "bin" / "cavsync-score", "--bundle", default_bundle(), "--path", "whole", clip)
    last = json.loads(written.splitlines()[-1])
    assert (last["kind"], last["source"]) == ("summary", str(clip))


def test_the_plugin(library_folder: Path, tmp_path: Path) -> None:
    folder = library_folder / "gstreamer-1.0"
    if not folder.exists() or shutil.which("gst-inspect-1.0") is None:
        pytest.skip("needs GStreamer: apt-get install libgstreamer-plugins-base1.0-dev gstreamer1.0-tools")
    settings = {"GST_PLUGIN_PATH": str(folder), "GST_REGISTRY": str(tmp_path / "registry.bin")}
    assert str(folder / "libgstcavsync.so") in run("gst-inspect-1.0", "cavsync", **settings)
