"""What is asked of TensorRT engines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cavsync.deploy.runtime.sidecar import DEFAULT_BATCH, BatchProfile
from cavsync.export.trt.library import Choice


@dataclass(frozen=True)
class TensorRTOptions:
    """library: full TensorRT (builds for the GPU that is there), TensorRT-RTX (ahead of time), or whichever can be had.

    compute_capabilities: an engine for each, such as "89"; without any, one for all that the library supports.
    profile: batch sizes. timing_cache: file to read and write, for full TensorRT.
    """

    library: Choice = "auto"
    compute_capabilities: tuple[str, ...] = ()
    profile: BatchProfile = DEFAULT_BATCH
    timing_cache: Path | None = None
