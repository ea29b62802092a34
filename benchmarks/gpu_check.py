"""Tests and benchmarks for a machine with an NVIDIA GPU that one has for ten minutes.

Runs from a bare checkout, or from the folder that `make gpu-pack` made, without installing this project. The steps come
in the order of their worth, each with a time limit of its own; what a step measured before its limit is kept. Rows go
to benchmarks/results and, where it is set, to the folder $OUT; CAVSYNC_COMMIT names the commit in them where there is
no repository. The last lines are a table of what was measured.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import measure
from hand_back import hand_back

ROOT = Path(__file__).resolve().parent.parent
RESULTS = measure.RESULTS
WHEELS = ROOT / "build" / "gpu-wheels"
SITE = ROOT / "build" / "gpu-site"
TOOLS = ROOT / "build" / "gpu-tools"
"""Packed programs, for machines that lack them."""
PACKAGES = {
    "annotated-types": "annotated_types",
    "av": "av",
    "click": "click",
    "lightning-fabric": "lightning_fabric",
    "lightning-utilities": "lightning_utilities",
    "pydantic": "pydantic",
    "pydantic-core": "pydantic_core",
    "rich": "rich",
    "safetensors": "safetensors",
    "torchaudio": "torchaudio",
    "typing-inspection": "typing_inspection",
}
"""What such a machine may lack, by the name of its distribution and of its module."""
KILL_AFTER_SECONDS = 10


@dataclass(frozen=True)
class Step:
    """A command for Python with the time that it may take."""

    name: str
    limit_seconds: float
    command: tuple[str, ...]
    only_if_named: bool = False
    stop: signal.Signals = signal.SIGTERM
    """What asks it to end at its limit."""


# Kernels are compiled as tests need them, and their compiler uses one core: most of the time is that.
TEST_PROCESSES = 8


def tests(name: str, limit_seconds: float, chosen: str) -> Step:
    """The GPU tests whose names match `chosen`; asked to end as by Ctrl-C, they report what was found until then."""
    command = ("-P", "-m", "pytest", "-q", "-m", "gpu", "-k", chosen, "tests/gpu")
    return Step(name, limit_seconds, command, stop=signal.SIGINT)


FOOTAGE = "footage"
"""The folder that `make gpu-pack` adds."""
# The generated clips that the shipped model is trained on, too, are made first.
RUN = ROOT / "build" / "whole-picture" / "sync-tiny-run"
WHERE = ("--out", str(RUN.parent), "--device", "cuda")
LIMITS = ("--minutes", "5", "--within", "8")
STEPS = (
    Step("step", 90, ("benchmarks/train_step.py",)),
    Step("recorded", 60, ("benchmarks/train_step.py", "--recorded")),
    Step("kernels", 100, ("benchmarks/kernels.py",)),
    tests("test", 120, "not compiled"),
    Step("streams", 70, ("benchmarks/gpu_streams.py", "--ways", "torch", "onnxruntime")),
    # What PyTorch's compiler takes part in comes last: it may need minutes.
    Step("step-compiled", 120, ("benchmarks/train_step.py", "--only-compiled")),
    tests("test-compiled", 90, "compiled"),
    Step("kernels-compiled", 60, ("benchmarks/kernels.py", "--only-compiled")),
    Step("sync-tiny", 520, ("models/whole_picture_run.py", *WHERE, *LIMITS), only_if_named=True),
)


def environment() -> dict[str, str]:
    """`.types/cavsync` presents the checkout's four top-level folders as one package."""
    paths = (str(ROOT / ".types"), str(SITE))
    programs = os.pathsep.join((os.environ.get("PATH", os.defpath), str(TOOLS)))
    changes = {"PYTHONPATH": os.pathsep.join(paths), "PATH": programs, "TRITON_INTERPRET": "0", "PYTHONUNBUFFERED": "1"}
    return os.environ | changes


def require_gpu(python: str) -> None:
    code = "import torch, sys; sys.exit(not torch.cuda.is_available())"
    if subprocess.run([python, "-c", code], check=False, capture_output=True).returncode:
        sys.exit(f"PyTorch of '{python}' finds no usable NVIDIA GPU: run this on a machine with one.")


def missing(python: str, modules: Iterable[str]) -> list[str]:
    """Those of the modules that this Python does not find."""
    find = "import importlib.util, sys; print(*(n for n in sys.argv[1:] if importlib.util.find_spec(n) is None))"
    return subprocess.run([python, "-c", find, *modules], capture_output=True, text=True, check=True).stdout.split()


def install_missing(python: str) -> None:
    """Install the packed wheels of packages that this Python lacks next to the checkout."""
    absent = missing(python, PACKAGES.values())
    lacking = [name for name, module in PACKAGES.items() if module in absent]
    packed = [name for name in lacking if any(WHEELS.glob(f"{name.replace('-', '_')}-*.whl"))]
    without = [name for name in lacking if name not in packed]
    if without:
        # Steps and kernels need few of them.
        print(f"'{python}' lacks {', '.join(without)}: steps that need it fail, unless `make gpu-pack` packs it.")
    if not packed:
        return
    command = [python, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", str(WHEELS), "--no-deps"]
    if subprocess.run([*command, "--upgrade", "--target", str(SITE), *packed], check=False).returncode:
        sys.exit(f"The wheels in '{WHEELS}' do not fit '{python}': see the lines above.")


def wait_for_all(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process and all that it started are gone; kill what does not end by itself."""
    end = time.monotonic() + KILL_AFTER_SECONDS
    with suppress(ProcessLookupError):
        while time.monotonic() < end:
            # Training, which another process started, may still write a checkpoint when that one is gone.
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def command_of(step: Step, python: str) -> list[str]:
    """The step's command; tests share the cores where pytest-xdist is there."""
    is_spread = "pytest" in step.command and not missing(python, ["xdist"])
    spread = ("-n", str(TEST_PROCESSES), "--dist", "worksteal") if is_spread else ()
    return [python, *step.command, *spread]


def run(step: Step, python: str, limit_seconds: float) -> str:
    """Run one step and return how it ended, in words."""
    begin = time.monotonic()
    command = command_of(step, python)
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), start_new_session=True)
    try:
        status: int | None = process.wait(limit_seconds)
    except subprocess.TimeoutExpired:
        # Benchmarks write what they have when they are asked to end.
        os.killpg(process.pid, step.stop)
        wait_for_all(process)
        status = None
    seconds = time.monotonic() - begin
    if status is None:
        return f"reached its limit of {limit_seconds:.0f} s"
    return f"{'done' if status == 0 else f'failed with status {status}'} in {seconds:.0f} s"


def sizes() -> dict[Path, int]:
    return {path: path.stat().st_size for path in RESULTS.glob("*.jsonl")}


def new_rows(before: dict[Path, int]) -> list[dict[str, Any]]:
    """Rows that were appended since `before`."""
    rows = []
    for path in sorted(RESULTS.glob("*.jsonl")):
        with path.open("rb") as file:
            file.seek(before.get(path, 0))
            for line in file:
                # A step that was killed may have left half a row.
                with suppress(ValueError):
                    rows.append(json.loads(line))
    return rows


def table(rows: list[dict[str, Any]], endings: dict[str, str]) -> str:
    """One line per row and per step, short enough for the end of an output."""
    lines = []
    for row in rows:
        what = row.get("variant") or f"{row.get('op')} {row.get('shape')} {row.get('backend')}"
        if "failure" in row:
            lines.append(f"{what:70} {row['failure']}")
            continue
        share = f"{row['share_of_peak']:7.1%} of the peak" if "share_of_peak" in row else ""
        lines.append(f"{what:70} {row['p50_ms']:9.3f} ms {share}")
    return "\n".join([*lines, *measure.step_verdicts(rows), *(f"{name}: {end}" for name, end in endings.items())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(step.name for step in STEPS)}")
    parser.add_argument("--python", default=sys.executable, help="with torch, triton and pytest")
    parser.add_argument("--minutes", type=float, default=9.0, help="time for all steps")
    parser.add_argument("--real", type=Path, default=ROOT / FOOTAGE, help="clips with manifest.csv, for sync-tiny")
    options = parser.parse_args()
    unknown = [name for name in options.steps if name not in {step.name for step in STEPS}]
    if unknown:
        parser.error(f"'{unknown[0]}' is not a step: use {', '.join(step.name for step in STEPS)}")
    if "sync-tiny" in options.steps and not (options.real / "manifest.csv").is_file():
        sys.exit(
            f"There is no '{options.real / 'manifest.csv'}' with the clips to train on: name their folder as REAL or "
            "--real, or run this in the folder that `make gpu-pack` made where it found them."
        )
    end = time.monotonic() + 60 * options.minutes
    require_gpu(options.python)
    install_missing(options.python)
    before, endings = sizes(), {}
    default = [step.name for step in STEPS if not step.only_if_named]
    for step in STEPS:
        if step.name not in (options.steps or default):
            continue
        limit_seconds = min(step.limit_seconds, end - time.monotonic() - KILL_AFTER_SECONDS)
        if limit_seconds <= 0:
            endings[step.name] = "not begun: no time was left"
            continue
        print(f"== {step.name}", flush=True)
        if step.name == "sync-tiny":
            step = replace(step, command=(*step.command, "--real", str(options.real.resolve())))
        endings[step.name] = run(step, options.python, limit_seconds)
        if step.name == "sync-tiny":
            print("\n".join(f"handed back {path}" for path in hand_back(RUN)))
    print(table(new_rows(before), endings))
    # A benchmark that reached its limit has written its rows; training that did has no end.
    unfinished = {step.name for step in STEPS if step.only_if_named}
    if any(
        ending.startswith("failed") or (name in unfinished and not ending.startswith("done"))
        for name, ending in endings.items()
    ):
        sys.exit(1)


if __name__ == "__main__":
    main()
