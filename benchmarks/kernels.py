"""Every backend of every operation at the sizes of the published model's pretraining step, forward and backward.

The reference under torch.compile is a run of its own (--only-compiled). Rows are written as they are measured. Times
are CUDA events, with the L2 cache overwritten between repetitions; achieved rates are listed with the copy bandwidth
and matrix peak of the same run. Ends with a verdict per operation: "default lost" if the default is not the fastest,
"default failed" and exit status 1 if it breaks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import measure
import torch
from kernel_cases import Case, cases
from triton.errors import TritonError

from cavsync.errors import BackendError
from cavsync.kernels import OPERATIONS, use_backend

RESULTS = measure.RESULTS / "kernels.jsonl"
COMPILED = "reference, compiled"
TOLERANCE = 1.03
"""A default counts as beaten from this ratio on; smaller differences change sign from run to run."""


def measured(case: Case, backend: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one row: the forward alone, and forward plus backward."""
    run = case.run
    if backend == COMPILED:
        # Cases of one operation share code; without a reset they would count as recompilations of one function.
        torch.compiler.reset()
        run = torch.compile(run, dynamic=False)
    leaves = [leaf.requires_grad_() for leaf in case.leaves()]
    clock = measure.time_on_gpu if options.device == "cuda" else measure.time_on_cpu
    with use_backend("reference" if backend == COMPILED else backend, case.operation):
        upstream = torch.randn_like(run(*leaves))

        def forward() -> None:
            with torch.no_grad():
                run(*leaves)

        def both() -> None:
            torch.autograd.grad(run(*leaves), leaves, upstream)

        forward_ms, both_ms = clock(forward, options.repeats), clock(both, options.repeats)
    row: dict[str, Any] = {f"forward_{name}": value for name, value in measure.quantiles(forward_ms).items()}
    row |= measure.quantiles(both_ms)
    seconds = row["forward_p50_ms"] / 1e3
    return row | {
        "forward_tflops": round(case.flops / seconds / 1e12, 2),
        "forward_gb_per_second": round(case.moved_bytes / seconds / 1e9, 1),
    }


def backends(case: Case, options: argparse.Namespace) -> list[str]:
    """Return the backends in the dispatcher's order, or the compiled reference alone, where the compiler is asked."""
    if options.only_compiled:
        return [COMPILED] if case.compiles else []
    return [item.name for item in OPERATIONS[case.operation].candidates if options.device in item.devices]


def rows(case: Case, shared: dict[str, Any], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a row per backend that supports this case; the row of a backend that breaks holds its error."""
    for backend in backends(case, options):
        row: dict[str, Any] = {"benchmark": "kernels", "op": case.operation, "shape": case.shape, "backend": backend}
        try:
            row |= measured(case, backend, options)
        except BackendError as error:
            print(f"{case.operation} {case.shape}: {backend} left out: {error}")
            continue
        except (RuntimeError, TritonError) as error:
            row["failure"] = f"{type(error).__name__}: {str(error)[:200]}"
        row |= shared
        if not options.no_save:
            measure.append_rows(RESULTS, [row])
        yield row


def verdict(group: list[dict[str, Any]]) -> str:
    """Judge whether the default holds, lost or failed, from one operation's rows at one size, default first."""
    default, *_ = group
    what = f"{default['op']} {default['shape']}: {default['backend']}"
    if "failure" in default:
        return f"default failed: {what}, {default['failure']}"
    best = min((row for row in group if "failure" not in row), key=lambda row: float(row["p50_ms"]))
    ratio = default["p50_ms"] / best["p50_ms"]
    return f"default {'lost' if ratio > TOLERANCE else 'holds'}: {what}, best {best['backend']}, ratio {ratio:.2f}"


def report(groups: list[list[dict[str, Any]]]) -> None:
    """Print a line per row, then a verdict per operation and size."""
    print(f"{'operation':28} {'shape':30} {'backend':22} {'forward us':>10} {'both us':>10} {'TFLOP/s':>8} {'GB/s':>7}")
    for row in (row for group in groups for row in group):
        start = f"{row['op']:28} {row['shape']:30} {row['backend']:22}"
        if "failure" in row:
            print(f"{start} {row['failure'].splitlines()[0]}")
            continue
        print(
            f"{start} {row['forward_p50_ms'] * 1e3:10.1f} {row['p50_ms'] * 1e3:10.1f} "
            f"{row['forward_tflops']:8.1f} {row['forward_gb_per_second']:7.0f}"
        )
    print("\n".join(verdict(group) for group in groups if len(group) > 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--operation", help="only this operation")
    parser.add_argument("--only-compiled", action="store_true", help="only the reference under torch.compile")
    parser.add_argument("--no-save", action="store_true", help="print only; do not append to the results")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("This machine has no NVIDIA GPU that PyTorch can use: run with --device cpu, or elsewhere.")
    device = torch.device(options.device)
    dtype = torch.bfloat16 if options.device == "cuda" else torch.float32
    shared = measure.provenance(device) | {"matrix_peak_tflops": round(measure.matrix_peak_flops(device) / 1e12, 1)}
    shared["dtype"] = str(dtype).removeprefix("torch.")
    if options.device == "cuda":
        shared["copy_gb_per_second"] = round(measure.copy_bytes_per_second() / 1e9)
    torch.manual_seed(0)
    chosen = [case for case in cases(options.batch, device, dtype) if options.operation in (None, case.operation)]
    groups = [group for group in ([*rows(case, shared, options)] for case in chosen) if group]
    report(groups)
    if any("failure" in group[0] for group in groups):
        sys.exit("A default broke: see the lines 'default failed'.")


if __name__ == "__main__":
    main()
