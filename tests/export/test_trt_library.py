"""Which TensorRT is taken, and for which GPUs it can be asked; as on machines with and without each."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest

from cavsync.deploy.runtime.cuda_device import Gpu
from cavsync.errors import ExportError
from cavsync.export.trt import Library, find_library
from cavsync.export.trt import library as library_module

HOPPER = Gpu("Some Hopper", "90")
ADA = Gpu("Some Ada", "89")


def test_current_is_this_machines_gpu() -> None:
    rtx = Library("tensorrt_rtx", "1.7.1.116", "13", ("75", "89"), None)
    with pytest.raises(ExportError, match="current stands for the one GPU of this machine and cannot be used here"):
        rtx.resolve(["current"])
    assert replace(rtx, gpu=ADA).resolve(["current"]) == ["89"]
    with pytest.raises(ExportError, match="cannot be used here"):
        replace(rtx, gpu=ADA).resolve(["current", "75"])
    with pytest.raises(ExportError, match="does not build for compute capability 90"):
        replace(rtx, gpu=HOPPER).resolve(["current"])


def test_full_tensorrt_builds_for_this_machines_gpu_only() -> None:
    full = Library("tensorrt", "11.4.0.2", "13", (), HOPPER)
    assert full.resolve(None) == full.resolve(["90"]) == full.resolve(["current"]) == ["90"]
    with pytest.raises(ExportError, match="only for this machine's GPU, which has compute capability 90"):
        full.resolve(["90", "89"])
    with pytest.raises(ExportError, match="this machine has none: build there, or ahead of time with --trt rtx"):
        replace(full, gpu=None).resolve(None)


class Fake:
    """As much of a library as choosing looks at."""

    __version__ = "9.9.9"
    ComputeCapability = type("C", (), {"__members__": {"NONE": 0, "CURRENT": 1, "SM120": 4, "SM89": 3}})


@pytest.mark.parametrize(
    ("choice", "gpu", "installed", "runtime", "reason"),
    [
        ("auto", None, ("tensorrt", "tensorrt_rtx"), "tensorrt_rtx", "ahead of time, because none was found"),
        ("auto", ADA, ("tensorrt", "tensorrt_rtx"), "tensorrt", "builds for this machine's one with numbers"),
        ("auto", ADA, ("tensorrt_rtx",), "tensorrt_rtx", "because full TensorRT is not installed"),
        ("auto", HOPPER, ("tensorrt_rtx",), "tensorrt_rtx", "its engines do not run on this machine's Some Hopper"),
        ("rtx", ADA, ("tensorrt", "tensorrt_rtx"), "tensorrt_rtx", "ahead of time, as asked for"),
        ("tensorrt", HOPPER, ("tensorrt",), "tensorrt", "builds for this machine's one with numbers, as asked for"),
    ],
)
def test_the_library_is_chosen_and_the_choice_is_told(
    choice: Any, gpu: Gpu | None, installed: tuple[str, ...], runtime: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = "none was found" if gpu is None else "one with numbers"
    monkeypatch.setattr(library_module, "find_gpu", lambda: (gpu, finding))
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, Fake if name in installed else None)
    library, told = find_library(choice)
    assert library.runtime == runtime
    assert library.offered == (("89", "120") if runtime == "tensorrt_rtx" else ())
    assert reason in told


def test_missing_libraries_are_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    monkeypatch.setattr(library_module, "find_gpu", lambda: (ADA, "one"))
    for choice in ("auto", "rtx"):
        with pytest.raises(ExportError, match=r"TensorRT-RTX cannot be imported.*`pip install 'cavsync\[trt\]'`"):
            find_library(choice)
    with pytest.raises(ExportError, match=r"`pip install 'cavsync\[tensorrt\]'` .* stub .* from pypi\.nvidia\.com"):
        find_library("tensorrt")
    monkeypatch.setitem(sys.modules, "tensorrt", Fake)
    monkeypatch.setattr(library_module, "find_gpu", lambda: (None, "none"))
    with pytest.raises(ExportError, match=r"TensorRT 9\.9\.9 builds on the GPU that will run the engine"):
        find_library("tensorrt")
    with pytest.raises(ExportError, match="library best is not known: use auto, tensorrt, rtx"):
        find_library("best")  # type: ignore[arg-type]
