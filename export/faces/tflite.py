"""Read a TensorFlow Lite file as a list of operations on tensors, with constants as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.errors import ExportError

DTYPES: dict[int, np.dtype[Any]] = {0: np.dtype(np.float32), 1: np.dtype(np.float16), 2: np.dtype(np.int32)}
"""TensorType of the schema -> type of the stored numbers."""


@dataclass(frozen=True)
class Operation:
    """One operation: `kind` as the schema spells it (`CONV_2D`), indices of its tensors, and its options, if any."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    options: Any


class LiteModel:
    """The only subgraph of a TensorFlow Lite file.

    Raises:
        ExportError: the file is no such model, has several subgraphs, or an operation has several outputs.
    """

    def __init__(self, path: Path) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._path = path
        content = path.read_bytes()
        if content[4:8] != b"TFL3":
            raise ExportError(f"{path} is not a TensorFlow Lite model: give a .tflite file")
        model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        if len(model.subgraphs) != 1:
            raise ExportError(f"{path} has {len(model.subgraphs)} subgraphs: only models with one can be converted")
        self._model, self._graph = model, model.subgraphs[0]
        self._kinds = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}

    @property
    def inputs(self) -> list[int]:
        """Indices of the graph's inputs."""
        return [int(index) for index in self._graph.inputs]

    @property
    def outputs(self) -> list[int]:
        """Indices of the graph's outputs."""
        return [int(index) for index in self._graph.outputs]

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Shape of a tensor; images are (batch, height, width, channels)."""
        return tuple(int(size) for size in self._graph.tensors[tensor].shape)

    def constant(self, tensor: int) -> NDArray[Any] | None:
        """The numbers of a constant, or None for a tensor that is computed."""
        described = self._graph.tensors[tensor]
        stored = self._model.buffers[described.buffer].data
        if stored is None or len(stored) == 0:
            return None
        if described.type not in DTYPES:
            raise ExportError(f"{self._path} stores tensor {tensor} in type {described.type}, which is not supported")
        values: NDArray[Any] = np.frombuffer(np.asarray(stored, np.uint8).tobytes(), DTYPES[described.type])
        return values.reshape(self.shape(tensor))

    def operations(self) -> Iterator[Operation]:
        """Yield the operations in the order of computation."""
        for operator in self._graph.operators:
            code = self._model.operatorCodes[operator.opcodeIndex]
            # Files of older converters have the code in the older, smaller field.
            kind = self._kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
            if len(operator.outputs) != 1:
                raise ExportError(f"{self._path}: {kind} has {len(operator.outputs)} outputs, one is supported")
            yield Operation(kind, tuple(map(int, operator.inputs)), int(operator.outputs[0]), operator.builtinOptions)
