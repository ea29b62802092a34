"""Record work on the device once, and repeat it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

Work = Callable[[], None]


class Recorder(Protocol):
    """Runs work that reads and writes the same tensors every time, and nothing on the host."""

    def warm_up(self, work: Work) -> None:
        """Run the work as it will be recorded."""
        ...

    def record(self, work: Work) -> Work:
        """Return a function that repeats the work; recording it changes no tensor. RuntimeError where it cannot be
        recorded."""
        ...


class CudaRecorder:
    """Records CUDA graphs on a stream of its own; all of them share their memory.

    So nothing that one graph leaves in memory of its own may be read after another has run.
    """

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()
        self._memory = torch.cuda.graph_pool_handle()

    def warm_up(self, work: Work) -> None:
        """Run the work on the recording stream: autograd remembers streams."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            work()
        torch.cuda.current_stream().wait_stream(self._stream)

    def record(self, work: Work) -> Work:
        """See `Recorder.record`. Other threads, which load data, may continue with their work."""
        graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, pool=self._memory, stream=self._stream, capture_error_mode="thread_local"):
                work()
        finally:
            # Where a capture cannot be ended, PyTorch leaves its stream the current one.
            torch.cuda.set_stream(before)
        return graph.replay
