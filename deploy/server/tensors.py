"""Convert tensors of the Open Inference Protocol v2 to and from arrays, as JSON or as bytes after the JSON.

https://github.com/kserve/open-inference-protocol and its binary tensor data extension: little-endian, row by row, in
the order of the tensors in the JSON.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.server.refusals import RefusalError
from cavsync.deploy.server.settings import MAX_INFERENCE_JSON_BYTES
from cavsync.manifest import TensorSpec

DATATYPES = {"float32": "FP32", "float16": "FP16", "uint8": "UINT8"}
MAX_BATCH = 256
MAX_SIZE = 2**31 - 1


def split_body(body: bytes, header_length: str | None) -> tuple[dict[str, Any], memoryview]:
    """Return the JSON of a request and the bytes after it; `header_length` is its Inference-Header-Content-Length.

    Raises:
        RefusalError: the body does not begin with a JSON object of that length, or the JSON is too long.
    """
    length = len(body)
    if header_length is not None:
        if not header_length.isascii() or not header_length.isdecimal() or not 0 < int(header_length[:18]) <= len(body):
            raise RefusalError(400, f"Inference-Header-Content-Length is {header_length!r:.40}: give the JSON's length")
        length = int(header_length)
        if length > MAX_INFERENCE_JSON_BYTES:
            raise RefusalError(
                413, f"the JSON has {length} bytes: send at most {MAX_INFERENCE_JSON_BYTES}, data as bytes"
            )
    try:
        content = json.loads(body[:length])
    except (ValueError, RecursionError):
        raise RefusalError(
            400, "the request does not begin with JSON of the declared length: send an inference request"
        ) from None
    if not isinstance(content, dict) or not isinstance(content.get("parameters", {}), dict):
        raise RefusalError(400, "the request is not a JSON object: send an inference request")
    return content, memoryview(body)[length:]


def read_input(content: dict[str, Any], binary: memoryview, spec: TensorSpec) -> NDArray[Any]:
    """Return the single input of a request, checked against the manifest.

    Raises:
        RefusalError: wrong name, type, shape or size, or values that are out of range or not finite.
    """
    inputs = content.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise RefusalError(400, f"the request needs exactly one input, {spec.name}: send it in 'inputs'")
    tensor = inputs[0]
    if tensor.get("name") != spec.name or tensor.get("datatype") != DATATYPES[spec.dtype]:
        raise RefusalError(
            400,
            f"the input is {tensor.get('name')!r:.60} of {tensor.get('datatype')!r:.20}: send {spec.name} of "
            f"{DATATYPES[spec.dtype]}",
        )
    shape = _checked_shape(tensor.get("shape"), spec)
    parameters = tensor.get("parameters") or {}
    if isinstance(parameters, dict) and "binary_data_size" in parameters:
        values = _from_binary(binary, parameters["binary_data_size"], shape, spec)
    else:
        if len(binary):
            raise RefusalError(
                400, "bytes follow the JSON but no input declares them: give the input's binary_data_size"
            )
        values = _from_json(tensor.get("data"), shape, spec)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise RefusalError(400, f"the input {spec.name} contains NaN or infinite values: send finite ones")
    return values


def wanted_outputs(content: dict[str, Any], specs: list[TensorSpec]) -> dict[str, bool]:
    """Return the name of each requested output and whether to send it as bytes.

    Raises:
        RefusalError: the graph has no such output, or it is requested twice.
    """
    is_binary = content.get("parameters", {}).get("binary_data_output") is True
    names = [spec.name for spec in specs]
    asked = content.get("outputs")
    if not asked:
        return dict.fromkeys(names, is_binary)
    wanted: dict[str, bool] = {}
    for output in asked if isinstance(asked, list) else [asked]:
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str) or name not in names or name in wanted:
            raise RefusalError(
                400,
                f"the output {name!r:.60} does not exist or was requested twice: request {', '.join(names)} once each",
            )
        parameters = output.get("parameters")
        own = parameters.get("binary_data") if isinstance(parameters, dict) else None
        wanted[name] = own if isinstance(own, bool) else is_binary
    return wanted


def write_outputs(
    head: dict[str, Any], arrays: dict[str, NDArray[np.float32]], is_binary: dict[str, bool]
) -> tuple[bytes, int | None]:
    """Return the body of the response, and the length of its JSON if bytes follow."""
    tensors, tail = [], []
    for name, array in arrays.items():
        tensor: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": list(array.shape)}
        if is_binary[name]:
            tail.append(np.ascontiguousarray(array, dtype="<f4").tobytes())
            tensor["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            tensor["data"] = array.ravel().tolist()
        tensors.append(tensor)
    text = json.dumps({**head, "outputs": tensors}, allow_nan=False).encode()
    return b"".join([text, *tail]), len(text) if tail else None


def _checked_shape(shape: Any, spec: TensorSpec) -> tuple[int, ...]:
    declared = [size if isinstance(size, int) else -1 for size in spec.shape]
    if (
        not isinstance(shape, list)
        or len(shape) != len(declared)
        or not all(type(size) is int and 1 <= size <= MAX_SIZE for size in shape)
        or not all(want in (-1, have) for want, have in zip(declared, shape, strict=True))
    ):
        limit = MAX_BATCH if declared[0] == -1 else MAX_SIZE
        raise RefusalError(
            400, f"the shape of {spec.name} is {shape!r:.60}: send {declared}, where -1 is any size up to {limit}"
        )
    if declared[0] == -1 and shape[0] > MAX_BATCH:
        raise RefusalError(400, f"the batch has {shape[0]} entries: send at most {MAX_BATCH} at a time")
    return tuple(shape)


def _from_binary(binary: memoryview, size: Any, shape: tuple[int, ...], spec: TensorSpec) -> NDArray[Any]:
    dtype = np.dtype(spec.dtype).newbyteorder("<")
    needed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if size != needed or len(binary) != needed:
        raise RefusalError(
            400,
            f"the input {spec.name} of shape {list(shape)} takes {needed} bytes, binary_data_size is {size!r:.20} and "
            f"{len(binary)} follow the JSON: make them agree",
        )
    return np.frombuffer(binary, dtype=dtype).reshape(shape).astype(spec.dtype, copy=False)


def _from_json(data: Any, shape: tuple[int, ...], spec: TensorSpec) -> NDArray[Any]:
    try:
        values = np.asarray(data)
    except (ValueError, OverflowError):
        values = np.asarray(None)
    if values.dtype.kind not in "iuf" or values.size != int(np.prod(shape, dtype=object)):
        raise RefusalError(
            400, f"the data of {spec.name} are not {' x '.join(map(str, shape))} numbers: send them row by row"
        )
    if spec.dtype == "uint8" and (values.dtype.kind == "f" or values.min() < 0 or values.max() > 255):
        raise RefusalError(400, f"the data of {spec.name} are not all whole numbers from 0 to 255: send bytes")
    with np.errstate(over="ignore"):
        return values.reshape(shape).astype(spec.dtype)
