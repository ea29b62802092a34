"""Quantize an encoder to int8 for OpenVINO by NNCF."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.openvino_library import import_openvino, openvino_core
from cavsync.export.quiet import quiet

Array = NDArray[Any]


def is_installed() -> bool:
    """Whether OpenVINO and NNCF are installed."""
    return find_spec("openvino") is not None and find_spec("nncf") is not None


def quantize(source: Path, target: Path, samples: Array, exclude: Sequence[str]) -> None:
    """Quantize an ONNX graph (`as_matmul`) to int8 with ranges from `samples` (N, ...); writes target and its .bin.

    exclude: names of nodes that stay in float32.
    """
    openvino, nncf = import_openvino(), import_openvino("nncf")
    # NNCF opens further cores, which must not outlive this one; see `openvino_core`.
    openvino_core()
    with quiet():
        model = openvino.convert_model(str(source))
        quantized = nncf.quantize(
            model,
            nncf.Dataset([sample[np.newaxis] for sample in samples]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(samples),
            # Matrix products only, as in ONNX Runtime; patch projections are little work and lose much accuracy.
            ignored_scope=nncf.IgnoredScope(names=list(exclude), types=["Convolution"], validate=False),
            # Smoothing moves outliers of activations into the weights and lowers the cosine from 0.997 to 0.976.
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=-1),
                # 7 bits, for CPUs without VNNI.
                overflow_fix=nncf.OverflowFix.ENABLE,
            ),
        )
    openvino.save_model(quantized, str(target), compress_to_fp16=False)
