"""Refuse ONNX graphs that point at other files, before a runtime follows the pointer.

The values of a tensor may be stored in a file that the graph names (`external_data`). That file is not hashed, and
ONNX Runtime 1.20 reads it anywhere: `../../etc/passwd`, absolute paths, links; 1.31 only in the graph's own folder, or
in the working directory if the graph was given as bytes. A bundle's graphs hold all of their values, so the pointer
itself is refused. The `onnx` package is not part of the base install; the walk below knows where tensors can be
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) and skips everything else.
"""

from __future__ import annotations

from pathlib import Path

from cavsync.errors import BundleError

# Message -> field -> message, for every path to a tensor.
CHILDREN: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto", 6: "GraphProto", 10: "TensorProto", 11: "GraphProto",
        22: "SparseTensorProto", 23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
}  # fmt: skip
OP_TYPE, EXTERNAL_DATA, DATA_LOCATION = 4, 13, 14
# Type of nodes that refer to a compiled program.
COMPILED = b"EPContext"
# Exported graphs have some thousands of fields; a file of millions of empty ones would take minutes.
MAX_FIELDS = 1_000_000
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
MAX_TAG = (1 << 32) - 1


def check_self_contained(path: Path, content: bytes) -> None:
    """Walk through the serialised ModelProto `content`, which was read from `path`.

    Raises:
        BundleError: it points at another file, or is not a valid protocol buffer.
    """
    waiting = [("ModelProto", 0, len(content))]
    num_fields = 0
    while waiting:
        message, position, end = waiting.pop()
        while position < end:
            number, start, position, value = _field(path, content, position, end)
            num_fields += 1
            if num_fields > MAX_FIELDS:
                raise _unusable(path, f"it has more than {MAX_FIELDS} fields")
            if message == "TensorProto" and (number == EXTERNAL_DATA or (number == DATA_LOCATION and value)):
                raise BundleError(
                    f"{path} keeps values in another file (external data), a bundle's graph holds them itself: "
                    "export the bundle again"
                )
            if message == "NodeProto" and number == OP_TYPE and content[start:position] == COMPILED:
                raise BundleError(
                    f"{path} holds a compiled program ({COMPILED.decode()}), a bundle's graph has operators: "
                    "export the bundle again"
                )
            if value is None and number in CHILDREN[message]:
                waiting.append((CHILDREN[message][number], start, position))


def _field(path: Path, content: bytes, position: int, end: int) -> tuple[int, int, int, int | None]:
    """Return the number of the field at `position`, start and end of its content, and its value if it is a varint.

    `value` is None if the content is bytes. Groups (wire types 3 and 4) are refused, because ONNX never had them.
    """
    tag, start = _varint(path, content, position, end)
    kind = tag & 7
    value: int | None = None
    if kind == VARINT:
        value, stop = _varint(path, content, start, end)
    elif kind == LENGTH:
        length, start = _varint(path, content, start, end)
        stop = start + length
    elif kind in (FIXED32, FIXED64):
        value = 0
        stop = start + (8 if kind == FIXED64 else 4)
    else:
        raise _unusable(path, "it is not a protocol buffer of ONNX")
    if stop > end or not 8 <= tag <= MAX_TAG:
        raise _unusable(path, "its protocol buffer is damaged")
    return tag >> 3, start, stop, value


def _varint(path: Path, content: bytes, position: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _unusable(path, "its protocol buffer is damaged")


def _unusable(path: Path, reason: str) -> BundleError:
    return BundleError(f"{path} is not a usable ONNX graph ({reason}): export the bundle again")
