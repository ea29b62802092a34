"""Bytes that each Triton kernel moves, against the least possible, at the sizes of the published model.

No GPU is needed: Triton's interpreter runs every kernel on a batch of two, and all loads and stores are counted.
"Least" counts each address once. What a kernel reads more than once may come from a cache, so the time that the memory
needs lies between two predictions for a batch of 256: everything from memory, and each address once. `product` is the
time of the matrix products alone. Rates are those of benchmarks/results/kernels.jsonl (an H100: 3,028 GB/s copied,
790 TFLOP/s).
"""

from __future__ import annotations

import os

os.environ["TRITON_INTERPRET"] = "1"

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from kernel_cases import Case, cases
from rich.console import Console
from rich.table import Table
from triton.runtime.interpreter import GridExecutor, InterpreterBuilder

from cavsync.kernels import OPERATIONS, use_backend

BATCH, FULL_BATCH = 2, 256
COPY_BYTES_PER_SECOND, PEAK_FLOPS = 3.028e12, 790e12
PAIRWISE = "weigh_rows"
"""The kernel whose work grows with the square of the batch; that of all others grows with the batch."""


@dataclass
class Traffic:
    """Addresses of bytes read and written by one kernel, in the order of the accesses."""

    itemsizes: list[int] = field(default_factory=list)
    addresses: list[np.ndarray] = field(default_factory=list)
    written: list[bool] = field(default_factory=list)

    def moved(self) -> int:
        """Bytes of all loads and stores."""
        return sum(len(part) * size for part, size in zip(self.addresses, self.itemsizes, strict=True))

    def least(self) -> int:
        """Bytes where each address is read once and written once."""
        total = 0
        for key in set(zip(self.written, self.itemsizes, strict=True)):
            parts = [
                part
                for part, *found in zip(self.addresses, self.written, self.itemsizes, strict=True)
                if tuple(found) == key
            ]
            total += len(np.unique(np.concatenate(parts))) * key[1]
        return total


@contextmanager
def counted() -> Iterator[dict[str, Traffic]]:
    """Count the accesses of the kernels that run inside the block, by the kernel's name."""
    found: dict[str, Traffic] = {}
    running = [""]
    call, load, store = (
        GridExecutor.__call__,
        InterpreterBuilder.create_masked_load,
        InterpreterBuilder.create_masked_store,
    )

    def launch(self: Any, *args: Any, **kwargs: Any) -> Any:
        running[0] = self.fn.__name__
        return call(self, *args, **kwargs)

    def note(pointers: Any, mask: Any, written: bool) -> None:
        traffic = found.setdefault(running[0], Traffic())
        traffic.addresses.append(np.broadcast_to(pointers.data, mask.data.shape)[mask.data.astype(bool)])
        traffic.itemsizes.append(max(1, pointers.get_element_ty().primitive_bitwidth // 8))
        traffic.written.append(written)

    def reading(self: Any, pointers: Any, mask: Any, *rest: Any) -> Any:
        note(pointers, mask, False)
        return load(self, pointers, mask, *rest)

    def writing(self: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        note(pointers, mask, True)
        return store(self, pointers, value, mask, *rest)

    GridExecutor.__call__ = launch
    InterpreterBuilder.create_masked_load, InterpreterBuilder.create_masked_store = reading, writing
    try:
        yield found
    finally:
        GridExecutor.__call__ = call
        InterpreterBuilder.create_masked_load, InterpreterBuilder.create_masked_store = load, store


def traffic_of(case: Case) -> dict[str, Traffic]:
    """Run forward and backward; return what each kernel moved."""
    leaves = [leaf.requires_grad_() for leaf in case.leaves()]
    with use_backend("triton"), counted() as found:
        result = case.run(*leaves)
        torch.autograd.grad(result, leaves, torch.ones_like(result))
    return found


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.manual_seed(0)
    table = Table("operation", "kernel", "moved, MB", "least, MB", "ratio", "all, us", "least, us", "product, us")
    table.title = f"a batch of {FULL_BATCH}, counted on {BATCH}"
    for case in cases(BATCH, torch.device("cpu"), torch.bfloat16):
        if all(item.name != "triton" for item in OPERATIONS[case.operation].candidates):
            continue
        for kernel, traffic in traffic_of(case).items():
            grown = (FULL_BATCH / BATCH) ** (2 if kernel == PAIRWISE else 1)
            moved, least = traffic.moved() * grown, traffic.least() * grown
            # Backward: logits again, and the gradients of logits, values, queries and keys.
            flops = case.flops * grown * (2.5 if "backward" in kernel else 1.0 if "forward" in kernel else 0.0)
            times = [1e6 * moved / COPY_BYTES_PER_SECOND, 1e6 * least / COPY_BYTES_PER_SECOND, 1e6 * flops / PEAK_FLOPS]
            sizes = f"{moved / 1e6:.1f}", f"{least / 1e6:.1f}", f"{moved / least:.2f}"
            table.add_row(f"{case.operation} {case.shape}", kernel, *sizes, *(f"{value:.1f}" for value in times))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
