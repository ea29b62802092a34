"""How many live streams of the published size one GPU holds, and what a batch of pairs costs there.

A pair is one picture and one segment of sound. Each stream is a thread that sends one pair, picture then sound, through
an EnginePool at a fixed rate; a pair is late if its embeddings come more than --late-seconds after it was due. A number
of streams is held if 99 % of the pairs are in time; the largest is found by doubling and halving. Weights are random.
Two ways to compute: PyTorch in bf16 with a CUDA graph for each batch size (a power of two; others are padded), and a
bundle's encoders in ONNX Runtime's CUDA provider, where onnxruntime-gpu is installed. Rows are written one by one, and
the most streams held also where SIGTERM ends the search.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import measure
import numpy as np
import torch
import torch.nn.functional as F
from live_streams import HELD_SHARE, most_streams
from numpy.typing import NDArray
from torch import Tensor

from cavsync.data.batches import IMAGENET_MEAN, IMAGENET_STD
from cavsync.data.logmel import NUM_MEL_BINS, normalise
from cavsync.deploy import Bundle, EnginePool
from cavsync.deploy.runtime.onnx import require_providers
from cavsync.errors import CavsyncError
from cavsync.model import CAVMAESync, ModelConfig
from cavsync.model.config import CAV_MAE_SYNC

RESULTS = measure.RESULTS / "gpu_streams.jsonl"
TORCH, ONNX_RUNTIME = "torch", "onnxruntime"
SMALL = ModelConfig(
    audio_length=80, img_size=32, embed_dim=32, num_heads=2, depth=2, modality_specific_depth=1, has_decoder=False
)
WARM_UP_RUNS = 3
Array = NDArray[Any]
Opened = tuple[Bundle, Array, Array]
"""A bundle, whose encoders are used, and a segment and a picture for it."""
Write = Callable[[str, dict[str, Any]], None]
"""Keeps a row of what was measured."""


class TorchEngine:
    """An encoder in PyTorch with the interface of an engine; on a GPU, one CUDA graph per batch size.

    compute: values (B, ...) on the device -> unit embeddings (B, D). example: values (1, ...).
    """

    def __init__(
        self, compute: Callable[[Tensor], Tensor], example: Array, device: torch.device, max_batch: int
    ) -> None:
        self._compute, self._device, self._lock = compute, device, threading.Lock()
        self._sizes = [2**power for power in range(math.ceil(math.log2(max_batch)) + 1)]
        self._inputs = torch.from_numpy(np.repeat(example, self._sizes[-1], axis=0)).to(device)
        self._replays: dict[int, tuple[Callable[[], None], Tensor]] = {}
        if device.type == "cuda":
            # The largest first: the smaller ones then fit into its memory.
            memory = torch.cuda.graph_pool_handle()
            self._replays = {size: self._recorded(size, memory) for size in reversed(self._sizes)}

    def run(self, values: Array, output: str) -> NDArray[np.float32]:
        """Return unit embeddings (B, D) of values (B, ...), at most `max_batch` of them."""
        del output
        count = len(values)
        size = next(size for size in self._sizes if size >= count)
        with self._lock:
            self._inputs[:count].copy_(torch.from_numpy(values))
            if size in self._replays:
                replay, embeddings = self._replays[size]
                replay()
            else:
                embeddings = self._eager(size)
            found: NDArray[np.float32] = embeddings[:count].float().cpu().numpy()
        return found

    def _eager(self, size: int) -> Tensor:
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16):
            return self._compute(self._inputs[:size])

    def _recorded(self, size: int, memory: Any) -> tuple[Callable[[], None], Tensor]:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_RUNS):
                embeddings = self._eager(size).clone()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=memory):
            embeddings.copy_(self._eager(size))
        return graph.replay, embeddings


def encoders(model: CAVMAESync, device: torch.device) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Return what computes unit embeddings (B, D) of log-mel (B, L, 128), and of RGB bytes (B, T, S, S, 3).

    Neither copies from the host, which a CUDA graph cannot hold.
    """
    mean, std = (torch.tensor(values, device=device).view(3, 1, 1) * 255 for values in (IMAGENET_MEAN, IMAGENET_STD))

    def audio(values: Tensor) -> Tensor:
        return F.normalize(model.encode_audio(normalise(values)).pooled, dim=-1)

    def visual(values: Tensor) -> Tensor:
        frames = (values.movedim(-1, 2).float() - mean) / std
        return F.normalize(model.encode_frames(frames).pooled, dim=-1)

    return audio, visual


def in_torch(options: argparse.Namespace) -> Opened:
    """Return a model with PyTorch's engines in place of a bundle, and a segment and a picture for it."""
    device = torch.device(options.device)
    config = CAV_MAE_SYNC if options.model == "cav-mae-sync-base" else SMALL
    torch.manual_seed(0)
    model = CAVMAESync(config.model_copy(update={"has_decoder": False})).eval().to(device)
    for module in model.modules():
        # What autocast would cast in every call.
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
            module.to(torch.bfloat16)
    segment = np.zeros((1, config.audio_length, NUM_MEL_BINS), np.float32)
    picture = np.zeros((1, config.num_frames, config.img_size, config.img_size, 3), np.uint8)
    examples: tuple[NDArray[Any], ...] = (segment, picture)
    engines = [
        TorchEngine(compute, example, device, options.max_batch)
        for compute, example in zip(encoders(model, device), examples, strict=True)
    ]
    nothing: Any = None
    audio_engine, visual_engine = engines
    bundle = Bundle(
        path=Path(), manifest=nothing, frontend=nothing, audio=audio_engine, visual=visual_engine,
        embedding_dim=config.embed_dim,
    )  # fmt: skip
    return bundle, segment, picture


def in_onnx_runtime(options: argparse.Namespace) -> Opened:
    """Return a bundle opened on the device, and a segment and a picture for it."""
    provider = "CUDAExecutionProvider" if options.device == "cuda" else "CPUExecutionProvider"
    # Before an export that would be for nothing.
    require_providers([provider])
    folder = options.bundle
    if folder is None:
        from random_models import PUBLISHED, random_bundle

        folder = random_bundle(PUBLISHED, "fp16")
    bundle = Bundle.open(folder, providers=[provider])
    shapes = {name: bundle.manifest.graphs[name].inputs[0].shape[1:] for name in ("audio_encoder", "visual_encoder")}
    segment, picture = (tuple(int(size) for size in shape) for shape in shapes.values())
    return bundle, np.zeros((1, *segment), np.float32), np.zeros((1, *picture), np.uint8)


WAYS = {TORCH: in_torch, ONNX_RUNTIME: in_onnx_runtime}


def measure_batches(opened: Opened, options: argparse.Namespace, write: Write) -> None:
    """Write a row for each batch size: milliseconds from arrays to embeddings, host included."""
    bundle, *examples = opened
    for size in options.batches:
        inputs = [np.repeat(example, size, axis=0) for example in examples]

        def run(inputs: list[Array] = inputs) -> None:
            for engine, values in zip((bundle.audio, bundle.visual), inputs, strict=True):
                engine.run(values, "embedding")

        found = measure.quantiles(measure.time_on_cpu(run, options.repeats, warm_up=2))
        rate = round(1e3 * size / found["p50_ms"], 1)
        write(f"batch {size}", {"batch": size, **found, "pairs_per_second": rate})


def trial(pool: EnginePool, opened: Opened, streams: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run several streams at once, with starts spread over one period; return their latencies in milliseconds."""
    _, segment, picture = opened
    period, count = 1 / options.pairs_per_second, max(1, round(options.seconds * options.pairs_per_second))
    latencies: list[list[float]] = [[] for _ in range(streams)]
    errors: list[Exception] = []
    limit = options.seconds + period + options.late_seconds
    begin = time.monotonic() + 0.5

    def run(number: int) -> None:
        for index in range(count):
            due = begin + (index + number / streams) * period
            time.sleep(max(0.0, due - time.monotonic()))
            if time.monotonic() > begin + limit:
                break
            try:
                pool.bundle.visual.run(picture, "embedding")
                pool.bundle.audio.run(segment, "embedding")
            except Exception as error:  # noqa: BLE001 - raised by `trial`: a broken engine is not a late one
                errors.append(error)
                break
            latencies[number].append(1e3 * (time.monotonic() - due))

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    found = [value for values in latencies for value in values]
    # Pairs that were not begun before the end of the trial are as late as the trial is long.
    found += [1e3 * limit] * (streams * count - len(found))
    p50, p99 = (round(value, 2) for value in np.quantile(found, [0.5, HELD_SHARE]).tolist())
    return {"streams": streams, "p50_ms": p50, "p99_ms": p99, "held": p99 <= 1e3 * options.late_seconds}


def measure_streams(opened: Opened, options: argparse.Namespace, write: Write) -> None:
    """Write a row for each number of streams that is tried, and one for the largest that was held."""
    settings = {"max_batch": options.max_batch, "workers": options.workers, "deadline_ms": options.deadline_ms}
    trials: list[dict[str, Any]] = []
    try:
        with EnginePool(opened[0], **settings) as pool:

            def measured(streams: int) -> dict[str, Any]:
                trials.append(settings | trial(pool, opened, streams, options))
                write(f"{streams} streams", trials[-1])
                return trials[-1]

            if options.streams:
                for streams in options.streams:
                    measured(streams)
            else:
                most_streams(measured, options.first, options.most)
    finally:
        # Also where a limit ends the search.
        held = [row for row in trials if row["held"]]
        if held:
            best = max(held, key=lambda row: row["streams"])
            write(f"most streams held: {best['streams']}", best)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--model", choices=("cav-mae-sync-base", "small"), default="cav-mae-sync-base")
    parser.add_argument("--bundle", type=Path, help="for onnxruntime; default: exported here")
    parser.add_argument("--pairs-per-second", type=float, default=1.6, help="of each stream")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each trial")
    parser.add_argument("--late-seconds", type=float, default=1.0)
    parser.add_argument("--first", type=int, default=256, help="number of streams in the first trial")
    parser.add_argument("--most", type=int, default=8192, help="largest number of streams that is tried")
    parser.add_argument("--streams", type=int, nargs="+", help="try these numbers of streams instead of searching")
    parser.add_argument("--max-batch", type=int, default=256)
    parser.add_argument("--workers", type=int, default=1, help="parallel batches of the pool")
    parser.add_argument("--deadline-ms", type=float, default=2.0)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64, 256])
    parser.add_argument("--repeats", type=int, default=10, help="of each batch")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("This machine has no NVIDIA GPU that PyTorch can use: run with --device cpu, or elsewhere.")
    facts = {name: getattr(options, name) for name in ("pairs_per_second", "seconds", "late_seconds")}
    facts |= measure.provenance(torch.device(options.device)) | {"onnxruntime": measure.version_of("onnxruntime")}
    for way in options.ways:

        def write(what: str, row: dict[str, Any], way: str = way) -> None:
            named = {"way": way, "variant": f"{way}, {what}", **row}
            print(named, flush=True)
            measure.append_rows(options.results, [named | facts])

        stage = "not measured"
        try:
            opened = WAYS[way](options)
            stage = "broke off"
            measure_batches(opened, options, write)
            measure_streams(opened, options, write)
        except (CavsyncError, ModuleNotFoundError, RuntimeError) as error:
            write(stage, {"failure": measure.failure(error)})


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
