"""Options of TensorRT engines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cavsync.deploy.runtime.sidecar import DEFAULT_BATCH, BatchProfile
from cavsync.export.trt.library import Choice


@dataclass(frozen=True)
class TensorRTOptions:
    """The engines to build.

    library: full TensorRT (builds for this machine's GPU), TensorRT-RTX (ahead of time), or "auto".
    compute_capabilities: one engine for each, such as "89"; without any, one for all that the library supports.
    profile: batch sizes. timing_cache: file to read and write, for full TensorRT.
    """

    library: Choice = "auto"
    compute_capabilities: tuple[str, ...] = ()
    profile: BatchProfile = DEFAULT_BATCH
    timing_cache: Path | None = None
