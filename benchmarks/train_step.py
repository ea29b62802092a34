"""Speed of one pretraining step, packed and plain: samples per second, memory, and the share of the matrix peak.

The plain forward follows the papers (`cavsync.model.plain`): all patches are embedded, then masked; three joint passes;
targets of all patches. It runs on the reference of every operation, with attention written out and, as a stronger
baseline, with PyTorch's fused attention. Variants alternate, so that a noisy machine affects all equally. Where SIGTERM
or an error ends the run, what was measured until then is reported and written; an error in one variant ends that one.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, Literal

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import measure
import torch
from torch import Tensor
from triton.errors import TritonError

from cavsync.kernels import use_backend
from cavsync.model import CAVMAESync, ModelConfig
from cavsync.model.config import CAV_MAE_SYNC, NUM_MEL_BINS
from cavsync.model.masking import count_visible
from cavsync.model.plain import plain_loss

RESULTS = measure.RESULTS / "train_step.jsonl"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SMALL = ModelConfig(
    audio_length=96, img_size=64, embed_dim=64, num_heads=2, depth=3, modality_specific_depth=2, num_register_tokens=2,
    decoder_embed_dim=32, decoder_depth=1, decoder_num_heads=2,
)  # fmt: skip
WARM_UP_STEPS = 4
"""On a GPU: a recorded step runs three times before it is recorded."""


def forward_flops(config: ModelConfig, mask_ratio: float = 0.75) -> float:
    """Return the floating-point operations of one pair's pretraining forward, counting matrix products only.

    Only the kept patches are embedded; the plain forward embeds all of them, 0.5 % more at the published size.
    """
    extra, globals_ = config.num_register_tokens, int(config.cls_token)
    audio, visual = (count_visible(grid, mask_ratio) for grid in (config.audio_grid, config.visual_grid))
    hidden = [rows * columns for rows, columns in (config.audio_grid, config.visual_grid)]
    depth, patch = config.modality_specific_depth, config.patch_size**2
    total = 2.0 * config.embed_dim * patch * (audio + visual * config.visual_channels)
    for tokens in (audio + globals_ + extra, visual + globals_ + extra):
        total += depth * _block_flops(tokens, config.embed_dim, config.mlp_ratio)
    for tokens in (audio + globals_, visual + globals_, audio + visual):
        total += config.joint_depth * _block_flops(tokens, config.embed_dim, config.mlp_ratio)
    total += 2.0 * (audio + visual) * config.embed_dim * config.decoder_embed_dim
    total += config.decoder_depth * _block_flops(sum(hidden), config.decoder_embed_dim, config.mlp_ratio)
    return total + 2.0 * config.decoder_embed_dim * patch * (hidden[0] + hidden[1] * config.visual_channels)


def _block_flops(tokens: int, dim: int, mlp_ratio: float) -> float:
    return 2.0 * tokens * dim * dim * (4 + 2 * mlp_ratio) + 4.0 * tokens * tokens * dim


class Variant:
    """One way to compute the step: backends, packed or plain forward, compiled or not."""

    def __init__(
        self, name: str, model: CAVMAESync, optimizer: torch.optim.Optimizer, options: argparse.Namespace
    ) -> None:
        self.name, self.options, self.model, self.optimizer = name, options, model, optimizer
        self.device = torch.device(options.device)
        self.failure = ""
        self.times_ms: list[float] = []
        self.peak_mib = 0.0
        run: Callable[..., Tensor] = plain_loss if name.startswith("plain") else lambda m, *inputs: m(*inputs).loss
        self.loss = torch.compile(run) if name.endswith("compiled") else run

    def step(self, fbank: Tensor, frames: Tensor) -> None:
        """Run forward, backward and the update."""
        with ExitStack() as stack:
            if self.name.startswith("plain"):
                stack.enter_context(use_backend("reference"))
            if self.name.startswith("plain") and "written out" not in self.name:
                stack.enter_context(use_backend("torch", "attention"))
            autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.dtype == "bf16")
            with autocast:
                loss = self.loss(self.model, fbank, frames)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def turn(self, fbank: Tensor, frames: Tensor, repeats: int, *, is_warm_up: bool = False) -> None:
        """Time a few steps; an error, such as running out of memory, ends this variant only.

        Times of a warm-up are not kept, so that a run that is ended within it has none.
        """
        if self.failure:
            return
        try:
            for _ in range(repeats):
                elapsed_ms = self._timed(fbank, frames)
                if not is_warm_up:
                    self.times_ms.append(elapsed_ms)
        except (RuntimeError, TritonError) as error:
            self.failure = measure.failure(error)
            self.optimizer.zero_grad()

    def _timed(self, fbank: Tensor, frames: Tensor) -> float:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        begin = time.perf_counter()
        self.step(fbank, frames)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            # The highest of all steps: a graph's memory is counted in the step that records it, and never again.
            self.peak_mib = max(self.peak_mib, torch.cuda.max_memory_allocated() / 2**20)
        return (time.perf_counter() - begin) * 1e3


class Recorded(Variant):
    """The packed step as training records it; model and optimizer are its own, as its gradients stay in place."""

    def __init__(
        self, name: str, model: CAVMAESync, optimizer: torch.optim.Optimizer, options: argparse.Namespace
    ) -> None:
        from lightning_fabric import Fabric

        from cavsync.train.graphs.engine import StepEngine
        from cavsync.train.graphs.recorder import CudaRecorder

        own = copy.deepcopy(model)
        super().__init__(name, own, type(optimizer)(own.parameters(), **optimizer.defaults), options)
        precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed" if options.dtype == "bf16" else "32-true"
        fabric = Fabric(accelerator=options.device, devices=1, precision=precision)
        wrapped: Any = fabric.setup_module(own)
        fused: Any = fabric.setup_optimizers(self.optimizer)

        def compute(model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            return model(**inputs).loss, {}

        self.engine = StepEngine(compute, fabric, wrapped, fused, CudaRecorder())
        self.grids = {"audio": own.config.audio_grid, "visual": own.config.visual_grid}

    def step(self, fbank: Tensor, frames: Tensor) -> None:
        """Draw the masks, copy the inputs, repeat forward, backward and update."""
        ranks = {
            f"ids_restore_{name}": torch.rand(len(fbank), math.prod(grid), device=self.device).argsort(1).argsort(1)
            for name, grid in self.grids.items()
        }
        self.engine.part({"fbank": fbank, "frames": frames, **ranks}, 1.0)
        self.engine.update()
        if self.engine.refusal:
            # Training goes on without graphs then; its times would stand under a wrong name here.
            raise RuntimeError(f"recording failed: {self.engine.refusal}")


def made(name: str, model: CAVMAESync, optimizer: torch.optim.Optimizer, options: argparse.Namespace) -> Variant:
    """Return a variant; one that cannot be made is a failure among the others."""
    try:
        return (Recorded if name.endswith("recorded") else Variant)(name, model, optimizer, options)
    except (ImportError, RuntimeError) as error:
        failed = Variant(name.partition(",")[0], model, optimizer, options)
        failed.name, failed.failure = name, measure.failure(error)
        return failed


def names(options: argparse.Namespace) -> list[str]:
    """Return the variants to compare."""
    if options.only_compiled:
        return ["packed, compiled", "plain, compiled"]
    if options.recorded:
        return ["packed", "packed, recorded"]
    return ["packed", "plain", "plain, written out"]


def rows(
    variants: list[Variant], config: ModelConfig, options: argparse.Namespace, peak: float
) -> list[dict[str, Any]]:
    """Return one row per variant that was measured; `peak` in operations per second."""
    device = torch.device(options.device)
    flops = 3 * forward_flops(config) * options.batch
    shape = {"model": options.model, "batch": options.batch, "dtype": options.dtype}
    table = []
    for variant in variants:
        row: dict[str, Any] = {"benchmark": "train_step", "variant": variant.name, **shape}
        if not variant.times_ms and not variant.failure:
            continue
        if variant.failure:
            row["failure"] = variant.failure
        else:
            seconds = statistics.median(variant.times_ms) / 1e3
            row |= measure.quantiles(variant.times_ms) | {
                "repeats": len(variant.times_ms),
                "samples_per_second": round(options.batch / seconds, 2),
                "model_tflops": round(flops / seconds / 1e12, 2),
                "matrix_peak_tflops": round(peak / 1e12, 2),
                "share_of_peak": round(flops / seconds / peak, 3),
            }
            row |= {"peak_memory_mib": round(variant.peak_mib)} if device.type == "cuda" else {}
        table.append(row | measure.provenance(device))
    return table


def report(table: list[dict[str, Any]]) -> None:
    """Print the rows, then each ratio to a plain variant and whether it reaches its target."""
    for row in table:
        if "failure" in row:
            print(f"{row['variant']:22} {row['failure']}")
            continue
        print(
            f"{row['variant']:22} {row['p50_ms']:10.1f} ms ({row['p20_ms']:.1f} to {row['p80_ms']:.1f})"
            f" {row['samples_per_second']:8.1f} samples/s {row['model_tflops']:7.2f} TFLOP/s"
            f" ({row['share_of_peak']:.0%} of {row['matrix_peak_tflops']:.2f})"
            + (f" {row['peak_memory_mib']} MiB" if "peak_memory_mib" in row else "")
        )
    for line in measure.step_verdicts(table):
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--model", choices=("cav-mae-sync-base", "small"), default="cav-mae-sync-base")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--turns", type=int, default=5, help="number of times that the variants alternate")
    parser.add_argument("--repeats", type=int, default=4, help="steps per variant and turn")
    parser.add_argument("--only-compiled", action="store_true", help="measure both paths under torch.compile")
    parser.add_argument("--recorded", action="store_true", help="measure the packed path with and without CUDA graphs")
    parser.add_argument("--no-save", action="store_true", help="print only; do not append to the results")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("This machine has no NVIDIA GPU that PyTorch can use: run with --device cpu, or elsewhere.")
    torch.manual_seed(0)
    config = CAV_MAE_SYNC if options.model == "cav-mae-sync-base" else SMALL
    model = CAVMAESync(config).to(options.device)
    fbank = torch.randn(options.batch, config.audio_length, NUM_MEL_BINS, device=options.device)
    frames = torch.randn(options.batch, 3, config.img_size, config.img_size, device=options.device)
    # All variants share one optimiser, so that a variant's peak memory includes one optimiser state, as in a run.
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-6, betas=(0.95, 0.999), weight_decay=5e-7, fused=True)
    variants = [made(name, model, optimizer, options) for name in names(options)]
    # In seconds, before anything can end the run.
    peak = measure.matrix_peak_flops(torch.device(options.device), DTYPES[options.dtype])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            take_turns(variants, fbank, frames, options)
    finally:
        table = rows(variants, config, options, peak)
        if not options.no_save:
            measure.append_rows(RESULTS, table)
        report(table)


def take_turns(variants: list[Variant], fbank: Tensor, frames: Tensor, options: argparse.Namespace) -> None:
    """Time all variants, one turn after the other."""
    is_on_gpu = options.device == "cuda"
    for turn in range(options.turns):
        for variant in variants:
            if is_on_gpu:
                # What the variant before it has reserved; the first step reserves anew, and is not timed.
                torch.cuda.empty_cache()
            if is_on_gpu or turn == 0:
                # The first steps of all compile kernels.
                warm_up = WARM_UP_STEPS if is_on_gpu and turn == 0 else 1
                variant.turn(fbank, frames, warm_up, is_warm_up=True)
            variant.turn(fbank, frames, options.repeats)


if __name__ == "__main__":
    main()
