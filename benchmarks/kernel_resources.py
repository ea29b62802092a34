"""Registers, shared memory and spills of every Triton kernel, compiled ahead of time for several GPU generations.

No GPU is needed. The compiled launches are recorded from the operators at the sizes of the published model. Exits with
status 1 if a kernel does not compile, if it needs more shared memory than the device has, or if attention,
LayerNorm, GELU or InfoNCE spill in bf16 or, having no half-precision tensor, in float32 on compute capability 9.0.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import multiprocessing
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import triton
from rich.console import Console
from rich.progress import track
from rich.table import Table
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, make_backend
from triton.errors import TritonError
from triton.runtime.jit import JITFunction, create_function_from_signature

import cavsync.kernels.triton.attention
from cavsync.kernels.triton.attention import attention_backward_op, attention_op
from cavsync.kernels.triton.bias_gelu import bias_gelu_backward_op, bias_gelu_op
from cavsync.kernels.triton.info_nce import info_nce_backward_op, info_nce_op
from cavsync.kernels.triton.layer_norm import layer_norm_backward_op, layer_norm_op
from cavsync.kernels.triton.reconstruction_loss import reconstruction_loss_backward_op, reconstruction_loss_op

SHARED_MEMORY_BYTES = {80: 163 * 1024, 89: 99 * 1024, 90: 227 * 1024, 100: 227 * 1024, 120: 99 * 1024}
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
SYSTEM_SHARED_BYTES = 1024
JUDGED = ("attention", "layer_norm", "bias_gelu", "info_nce")
"""Files whose kernels must not spill on compute capability 9.0, in bf16 or without a half-precision tensor."""


@dataclass(frozen=True)
class Launch:
    """One specialisation of a kernel in the form that the compiler takes."""

    module: str
    kernel: str
    dtype: str
    signature: dict[str, str]
    constants: dict[tuple[int, ...], Any]
    attributes: dict[tuple[int, ...], Any]
    num_warps: int
    num_stages: int

    def sizes(self) -> str:
        """Return the named constants as text."""
        names = list(self.signature)
        values = {names[path[0]]: value for path, value in self.constants.items() if names[path[0]].isupper()}
        return " ".join(f"{name.lower()}={value:g}" for name, value in values.items())

    def matches(self, words: list[str]) -> bool:
        """Return whether the kernel's file, name and sizes contain all these words."""
        text = f"{self.module.rpartition('.')[2]} {self.kernel} {self.sizes()}"
        return all(word in text for word in words)


@dataclass(frozen=True)
class Resources:
    """The resources of one compiled kernel; `error` holds the compiler's message if it failed.

    shared_bytes: per block, static and dynamic. Spills are per thread. compile_seconds: near 0 from Triton's cache.
    """

    file: str
    kernel: str
    sizes: str
    dtype: str
    compute_capability: int
    num_warps: int
    registers: int = 0
    shared_bytes: int = 0
    spill_store_bytes: int = 0
    spill_load_bytes: int = 0
    compile_seconds: float = 0.0
    error: str = ""

    def faults(self) -> Iterator[str]:
        """Yield each reason why this kernel must not ship, as one sentence."""
        what = f"{self.kernel} ({self.sizes}, {self.dtype}, compute capability {self.compute_capability / 10})"
        limit = SHARED_MEMORY_BYTES[self.compute_capability]
        if self.error:
            yield f"{what} does not compile: {self.error}"
        if self.shared_bytes > limit:
            yield f"{what} needs {self.shared_bytes} bytes of shared memory, more than {limit}: use smaller tiles."
        judged = self.file.startswith(JUDGED) and self.dtype != "fp16" and self.compute_capability == 90
        spilled = max(self.spill_store_bytes, self.spill_load_bytes)
        if judged and spilled:
            yield f"{what} spills {spilled} bytes: use smaller tiles or more warps."


@contextmanager
def recorded(dtype: str) -> Iterator[list[Launch]]:
    """Record kernel launches inside the block instead of executing them, once per specialisation."""
    backend = make_backend(GPUTarget("cuda", 90, 32))
    found: dict[str, Launch] = {}

    def note(self: JITFunction, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        del grid, warmup
        kwargs |= {"debug": False, "instrumentation_mode": knobs.compilation.instrumentation_mode}
        bind = create_function_from_signature(self.signature, self.params, backend)
        bound, specialisation, options = bind(*args, **kwargs)
        options, signature, constants, attributes = self._pack_args(backend, kwargs, bound, specialisation, options)
        kind = dtype if f"*{dtype}" in signature.values() else "fp32"
        launch = Launch(
            self.fn.__module__,
            self.fn.__name__,
            kind,
            signature,
            constants,
            attributes,
            options.num_warps,
            options.num_stages,
        )
        found.setdefault(repr(launch), launch)

    launches: list[Launch] = []
    run, JITFunction.run = JITFunction.run, note
    try:
        yield launches
    finally:
        JITFunction.run = run
        launches.extend(found.values())


def launches_of(dtype: str, capability: int = 90) -> list[Launch]:
    """Return a GPU's launches at the published model's sizes and other head widths; tensors are on the CPU."""
    as_if = patch.object(cavsync.kernels.triton.attention, "capability_of", lambda _: divmod(capability, 10))
    with as_if, recorded(dtype) as launches:
        _attention(DTYPES[dtype])
        _layer_norm(DTYPES[dtype])
        _gelu(DTYPES[dtype])
        _loss(DTYPES[dtype])
        _info_nce(DTYPES[dtype])
    return launches


def _attention(dtype: torch.dtype) -> None:
    for heads, width in ((12, 64), (16, 32), (6, 128)):
        for lengths in ([8, 20, 58, 61, 119], [53, 50, 101], [404]) if width == 64 else ([53, 101], [404]):
            qkv = torch.zeros(sum(lengths), 3, heads, width, dtype=dtype)
            out, lse = attention_op(qkv, [1] * len(lengths), lengths)
            attention_backward_op(out, qkv, out, lse, [1] * len(lengths), lengths)


def _layer_norm(dtype: torch.dtype) -> None:
    """A stack's first norm adds nothing, and the last one of all gives float32."""
    joint, alone = [53, 50, 101], [61]
    launched = [(768, joint, True, dtype), (768, joint, False, dtype), (768, joint, True, torch.float32)]
    launched += [(width, alone, has_branch, dtype) for width in (768, 512) for has_branch in (True, False)]
    for width, rows, has_branch, out_dtype in launched:
        x, affine = torch.zeros(sum(rows), width), torch.ones(len(rows), width)
        branch, branch_dtype = (x.to(dtype), dtype) if has_branch else (None, None)
        _, normed, mean, rstd = layer_norm_op(x, branch, affine, affine, rows, out_dtype, 1e-5)
        layer_norm_backward_op(normed, x if has_branch else None, x, affine, mean, rstd, rows, branch_dtype)


def _gelu(dtype: torch.dtype) -> None:
    for width in (3072, 2048):
        product, bias = torch.zeros(404, width, dtype=dtype), torch.zeros(width)
        # The bias is float32 under autocast, and in half precision in a recorded step.
        for kind in (torch.float32, dtype):
            bias_gelu_backward_op(bias_gelu_op(product, bias.to(kind)), product, bias.to(kind))


def _loss(dtype: torch.dtype) -> None:
    """Log-mel comes with time first. Training casts the images to autocast's dtype before the model has them."""
    for shape, order in (((2, 1, 416, 128), (0, 1, 3, 2)), ((2, 3, 224, 224), (0, 1, 2, 3))):
        channels, count = shape[1], shape[2] // 16 * (shape[3] // 16)
        prediction, hidden = torch.zeros(2, count, 256 * channels, dtype=dtype), torch.ones(2, count) > 0
        for kind, norm_pix in ((torch.float32, True), (torch.float32, False), (dtype, False)):
            images = torch.zeros(shape, dtype=kind).permute(order)
            reconstruction_loss_op(prediction, images, hidden, 16, norm_pix)
            reconstruction_loss_backward_op(torch.ones(()), prediction, images, hidden, 16, norm_pix)


def _info_nce(dtype: torch.dtype) -> None:
    """Keys of a small batch, of one whose number is no multiple of 16, and of a gathered one, which takes steps."""
    for kind, (count, num_keys) in itertools.product((torch.float32, dtype), ((256, 256), (2, 2), (16, 8192))):
        queries, keys = torch.zeros(count, 768, dtype=kind), torch.zeros(num_keys, 768, dtype=kind)
        for ignore in (None, torch.ones(count, count) > 0):
            for asked in (False, True):
                inputs = queries, keys, torch.ones(()), 0, ignore, count, asked, asked
                loss, _, toward, norms, slope = info_nce_op(*inputs)
        info_nce_backward_op(loss, queries, keys, toward, norms, slope, True, True)


def compile_for(job: tuple[Launch, int]) -> Resources:
    """Compile one launch for one compute capability and return its resources."""
    launch, capability = job
    file = launch.module.rpartition(".")[2]
    row = Resources(file, launch.kernel, launch.sizes(), launch.dtype, capability, launch.num_warps)
    function = getattr(importlib.import_module(launch.module), launch.kernel)
    source = ASTSource(function, launch.signature, launch.constants, launch.attributes)
    options = {"num_warps": launch.num_warps, "num_stages": launch.num_stages}
    begin = time.perf_counter()
    try:
        compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    except (TritonError, RuntimeError, OSError) as error:
        return replace(row, error=" ".join(str(error).split())[:300])
    seconds = time.perf_counter() - begin
    registers, stack_bytes, static_bytes = _usage(compiled.asm["cubin"])
    # Compilers for 9.0 and later include the KiB per block reserved by the system; the limits above exclude it.
    static_bytes -= SYSTEM_SHARED_BYTES if capability >= 90 and static_bytes else 0
    stores, loads = _spills(compiled.asm["ptx"], capability) if stack_bytes else (0, 0)
    return replace(
        row,
        registers=registers,
        shared_bytes=compiled.metadata.shared + static_bytes,
        spill_store_bytes=stores,
        spill_load_bytes=loads,
        compile_seconds=round(seconds, 2),
    )


def _usage(cubin: bytes) -> tuple[int, int, int]:
    """Return registers per thread, bytes of stack per thread and bytes of static shared memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(cubin)
        command: list[str | Path] = [TOOLS / "cuobjdump", "--dump-resource-usage", path]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    usage = re.search(r"REG:(\d+) STACK:(\d+) SHARED:(\d+)", text)
    assert usage is not None, text
    registers, stack_bytes, static_bytes = map(int, usage.groups())
    return registers, stack_bytes, static_bytes


def _spills(ptx: str, capability: int) -> tuple[int, int]:
    """Return the bytes that a thread spills to local memory and loads back."""
    target = re.search(r"\.target (\w+)", ptx)
    assert target is not None, ptx[:300]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(ptx, encoding="utf-8")
        tool = TOOLS / ("ptxas-blackwell" if capability >= 100 else "ptxas")
        command: list[str | Path] = [tool, "-v", f"--gpu-name={target[1]}", source, "-o", Path(folder, "kernel.cubin")]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    spilled = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", text)
    assert spilled, text
    return max(int(stores) for stores, _ in spilled), max(int(loads) for _, loads in spilled)


def show(rows: list[Resources]) -> None:
    """Print one line per kernel and dtype, with the GPU generations side by side."""
    capabilities = sorted({row.compute_capability for row in rows})
    table = Table("kernel", "sizes", "dtype", "warps", *(f"{c / 10}" for c in capabilities), "seconds")
    table.title = "registers / KiB of shared memory / bytes of spill stores+loads"
    grouped: dict[tuple[str, str, str, int], list[Resources]] = {}
    for row in rows:
        grouped.setdefault((row.kernel, row.sizes, row.dtype, row.num_warps), []).append(row)
    for (kernel, sizes, dtype, warps), group in sorted(grouped.items()):
        cells = {row.compute_capability: _cell(row) for row in group}
        seconds = sum(row.compile_seconds for row in group)
        table.add_row(kernel, sizes, dtype, str(warps), *(cells.get(c, "") for c in capabilities), f"{seconds:.1f}")
    Console(width=220).print(table)


def _cell(row: Resources) -> str:
    if row.error:
        return "failed"
    spills = (row.spill_store_bytes, row.spill_load_bytes)
    spilled = "+".join(map(str, spills)) if any(spills) else "0"
    return f"{row.registers} / {row.shared_bytes / 1024:.0f} / {spilled}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cc", type=int, nargs="+", default=list(SHARED_MEMORY_BYTES), choices=SHARED_MEMORY_BYTES)
    parser.add_argument("--dtype", nargs="+", default=list(DTYPES), choices=DTYPES)
    parser.add_argument("--kernel", nargs="+", default=[], help="only kernels matching all these words")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--json", type=Path, help="write one line per kernel, dtype and compute capability")
    options = parser.parse_args()
    if knobs.runtime.interpret:
        sys.exit("TRITON_INTERPRET is set, but compiling needs it unset: remove it from the environment.")
    # Kernels without a half-precision tensor are the same for all dtypes.
    jobs = [(item, cc) for cc in options.cc for dtype in options.dtype for item in launches_of(dtype, cc)]
    jobs = [job for job in {repr(job): job for job in jobs}.values() if job[0].matches(options.kernel)]
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        console = Console(stderr=True)
        rows = list(track(pool.map(compile_for, jobs), "compiling", total=len(jobs), console=console))
    show(rows)
    if options.json is not None:
        options.json.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows), encoding="utf-8")
    faults = [fault for row in rows for fault in row.faults()]
    print(f"{len(rows)} kernels compiled, {len(faults)} faults")
    sys.exit("\n".join(faults) or None)


if __name__ == "__main__":
    main()
