"""Build one engine: read request.json in the working folder, write engine.bin and result.json.

A script that runs in its own process, for three reasons seen with TensorRT-RTX 1.7.1:
- a build affects the next one of the same process: after a refused engine for Turing the next one is 5 % larger;
- the compiler writes warnings to standard output instead of the logger;
- parts of an engine are stored in the order of their memory addresses, which the system randomises per process.

It imports nothing of cavsync, so that it starts as fast as the library.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

# From <sys/personality.h>.
ADDR_NO_RANDOMIZE, GET_PERSONALITY = 0x0040000, 0xFFFFFFFF
RESTARTED = "CAVSYNC_ADDRESSES_FIXED"
DTYPES = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}
MAX_TEXTS = 200


def fix_addresses() -> None:
    """Restart without address randomisation if the system allows it, so that equal requests give equal bytes."""
    if sys.platform != "linux" or RESTARTED in os.environ:
        return
    os.environ[RESTARTED] = "1"
    libc = ctypes.CDLL(None)
    libc.personality.argtypes = [ctypes.c_ulong]
    persona = libc.personality(GET_PERSONALITY)
    if persona >= 0 and libc.personality(persona | ADDR_NO_RANDOMIZE) >= 0:
        os.execv(sys.executable, sys.orig_argv)


def main() -> None:
    """Build as requested; failures are reported in the result."""
    request = json.loads(Path("request.json").read_text(encoding="utf-8"))
    trt: Any = importlib.import_module(request["module"])
    texts: list[str] = []

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR) and len(texts) < MAX_TEXTS:
                texts.append(message)

    result = build(trt, Log(), request)
    Path("result.json").write_text(json.dumps({**result, "texts": texts}), encoding="utf-8")


def build(trt: Any, log: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Parse model.onnx and build engine.bin; returns what the parser refused, or the network's tensors."""
    builder = trt.Builder(log)
    # The graph's tensors set the precision. TensorRT 11 always works so, TensorRT 10 needs the flag.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file("model.onnx"):
        errors = [parser.get_error(place) for place in range(parser.num_errors)]
        return {"refused": [describe_error(error) for error in errors]}
    tensors = {
        "inputs": [describe_tensor(network.get_input(place)) for place in range(network.num_inputs)],
        "outputs": [describe_tensor(network.get_output(place)) for place in range(network.num_outputs)],
    }
    if not all(tensor["shape"][:1] == [-1] and min(tensor["shape"][1:], default=1) > 0 for tensor in tensors["inputs"]):
        return {**tensors, "layout": True}
    config = configure(trt, builder, tensors["inputs"], request)
    if config is None:
        return {**tensors, "stale_cache": True}
    plan = builder.build_serialized_network(network, config)
    if plan is not None:
        Path("engine.bin").write_bytes(memoryview(plan))
        if request["timing_cache"]:
            Path("timing.cache").write_bytes(memoryview(config.get_timing_cache().serialize()))
    return tensors


def configure(trt: Any, builder: Any, inputs: list[dict[str, Any]], request: dict[str, Any]) -> Any:
    """Set profile, targets and timing cache; None if the cache is of another GPU or release."""
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    for tensor in inputs:
        profile.set_shape(tensor["name"], *[(size, *tensor["shape"][1:]) for size in request["batch"]])
    config.add_optimization_profile(profile)
    targets = request["compute_capabilities"]
    if targets:
        config.num_compute_capabilities = len(targets)
        for place, target in enumerate(targets):
            config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{target}"), place)
    if request["timing_cache"]:
        stored = Path("timing.cache")
        cache = config.create_timing_cache(stored.read_bytes() if stored.is_file() else b"")
        if cache is None or not config.set_timing_cache(cache, False):
            return None
    return config


def describe_tensor(tensor: Any) -> dict[str, Any]:
    """Return name, shape (-1 for open dimensions) and NumPy's name of the type."""
    return {
        "name": tensor.name,
        "shape": [int(size) for size in tensor.shape],
        "dtype": DTYPES.get(tensor.dtype.name, tensor.dtype.name.lower()),
    }


def describe_error(error: Any) -> dict[str, str]:
    """Return the parser's report about the node that it refuses."""
    names = {"node": error.node_name(), "operator": error.node_operator()}
    return {**names, "code": error.code().name, "text": error.desc()}


if __name__ == "__main__":
    fix_addresses()
    main()
