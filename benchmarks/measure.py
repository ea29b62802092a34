"""Functions shared by the benchmarks: timing, hardware peaks, and result rows with provenance."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

RESULTS = Path(__file__).parent / "results"
FLUSH_BYTES = 4 * 2**30
PEAK_SIZE = 8192


def provenance(device: torch.device) -> dict[str, str]:
    """Return the device, versions and commit with which a row was measured."""
    import torch

    row = {name: version_of(name) for name in ("torch", "triton", "xformers")}
    row |= {"device": _device_name(device), "commit": _commit(), "date": datetime.now(UTC).isoformat("T", "seconds")}
    if device.type == "cuda":
        row |= {"cuda": torch.version.cuda or "unknown", "driver": _driver()}
    return row


def cpu_provenance(*packages: str) -> dict[str, str]:
    """Return the provenance of a measurement on the CPU, with the versions of further packages."""
    import torch

    return provenance(torch.device("cpu")) | {name: version_of(name) for name in packages}


def quantiles(times_ms: Iterable[float]) -> dict[str, float]:
    """Return the 20th, 50th and 80th percentile in milliseconds."""
    ordered = sorted(times_ms)
    if len(ordered) == 1:
        ordered *= 2
    cuts = statistics.quantiles(ordered, n=10, method="inclusive")
    return {"p20_ms": round(cuts[1], 4), "p50_ms": round(cuts[4], 4), "p80_ms": round(cuts[7], 4)}


def time_on_gpu(run: Callable[[], Any], repeats: int, warm_up: int = 10) -> list[float]:
    """Return the milliseconds of each repetition by CUDA events, with the L2 cache overwritten before each."""
    import torch

    # Far larger than any L2: while the GPU overwrites it, the host queues the repetition, so that the events enclose
    # the kernels' time and not the host's time to launch them.
    flush = torch.empty(FLUSH_BYTES // 4, dtype=torch.int32, device="cuda")
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    for _ in range(warm_up):
        run()
    for begin, end in events:
        flush.zero_()
        begin.record()
        run()
        end.record()
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) for begin, end in events]


def time_on_cpu(run: Callable[[], Any], repeats: int, warm_up: int = 1) -> list[float]:
    """Return the wall-clock milliseconds of each repetition."""
    times = []
    for turn in range(warm_up + repeats):
        begin = time.perf_counter()
        run()
        if turn >= warm_up:
            times.append((time.perf_counter() - begin) * 1e3)
    return times


def matrix_peak_flops(device: torch.device, dtype: torch.dtype | None = None) -> float:
    """Measure the operations per second of a large square matrix product in PyTorch on random data; bf16 by default."""
    import torch

    size = PEAK_SIZE if device.type == "cuda" else 2048
    left, right = (torch.randn(size, size, device=device).to(dtype or torch.bfloat16) for _ in range(2))
    measure = time_on_gpu if device.type == "cuda" else time_on_cpu
    times = measure(lambda: left @ right, 20 if device.type == "cuda" else 5)
    return 2 * size**3 / (statistics.median(times) * 1e-3)


def copy_bytes_per_second() -> float:
    """Measure the bytes read and written per second by a large copy within GPU memory."""
    import torch

    source = torch.empty(2**30, dtype=torch.int32, device="cuda").random_()
    target = torch.empty_like(source)
    times = time_on_gpu(lambda: target.copy_(source), 10, warm_up=3)
    return 2 * source.nbytes / (statistics.median(times) * 1e-3)


def memory_mb(entry: str, status: Path = Path("/proc/self/status")) -> float:
    """Return VmRSS (in use) or VmHWM (peak) of a Linux process in MiB."""
    (line,) = [line for line in _lines(status) if line.startswith(f"{entry}:")]
    return int(line.split()[1]) / 1024


def append_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Append rows as JSON lines, and again to a file in the folder $OUT if that is set."""
    folders = [path.parent] + [Path(name) for name in [os.environ.get("OUT", "")] if name and Path(name).is_dir()]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / path.name).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    names = [line for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    return f"{names[0].partition(':')[2].strip() if names else platform.processor()}, {os.cpu_count()} cores"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _commit() -> str:
    return _output(["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"])


def _driver() -> str:
    return _output(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]).splitlines()[0]


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip() or "unknown"
