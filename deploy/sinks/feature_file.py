"""Files of features: NumPy's .npz, or Parquet, written group by group."""

from __future__ import annotations

import importlib
import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cavsync.atomic import atomic_path
from cavsync.deploy.files.features import Features

PROVENANCE = "provenance"


class FeatureWriter(Protocol):
    """Takes the features of a file in order of time."""

    def write(self, features: Features) -> None:
        """Append features."""
        ...


@contextmanager
def feature_file(target: Path, kind: str, provenance: dict[str, Any]) -> Iterator[FeatureWriter]:
    """Open a writer of the kind `npz` or `parquet`, whose file appears at `target` if the block ends without an error.

    npz: one array per field of `Features`, and `provenance` as a JSON text. parquet: a row per frame, lists of float32;
    patches are flattened, their shape and the provenance are in the file's metadata.

    Raises:
        ModuleNotFoundError: pyarrow is missing.
        OSError: the file cannot be written.
    """
    open_writer = _npz if kind == "npz" else _parquet
    with atomic_path(target) as temporary, open_writer(temporary, provenance) as writer:
        yield writer


class _Npz:
    """Each array grows in a file of its own, without a name, so that no killed process leaves it behind."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._streams: dict[str, IO[bytes]] = {}
        self._specs: dict[str, tuple[str, tuple[int, ...]]] = {}
        self._count = 0

    def write(self, features: Features) -> None:
        self._count += len(features.times_seconds)
        for name, values in features.arrays().items():
            if name not in self._streams:
                stream = TemporaryFile(dir=self._folder)  # noqa: SIM115 (the stack closes it)
                self._streams[name] = self._stack.enter_context(stream)
                self._specs[name] = (values.dtype.str, values.shape[1:])
            self._streams[name].write(np.ascontiguousarray(values).tobytes())

    def finish(self, out: Path, provenance: dict[str, Any]) -> None:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            text = np.array(json.dumps(provenance))
            with archive.open(f"{PROVENANCE}.npy", "w") as entry:
                np.lib.format.write_array(entry, text, allow_pickle=False)  # type: ignore[no-untyped-call]
            for name, stream in self._streams.items():
                dtype, shape = self._specs[name]
                header = {"descr": dtype, "fortran_order": False, "shape": (self._count, *shape)}
                stream.seek(0)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array_header_1_0(entry, header)  # type: ignore[no-untyped-call]
                    shutil.copyfileobj(stream, entry)


@contextmanager
def _npz(out: Path, provenance: dict[str, Any]) -> Iterator[FeatureWriter]:
    with ExitStack() as stack:
        writer = _Npz(out.parent, stack)
        yield writer
        writer.finish(out, provenance)


class _Parquet:
    def __init__(self, out: Path, provenance: dict[str, Any], stack: ExitStack) -> None:
        self._out, self._provenance, self._stack = out, provenance, stack
        self._writer: Any = None

    def write(self, features: Features) -> None:
        pa, pq = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
        arrays = features.arrays()
        columns = {name: _column(pa, values) for name, values in arrays.items()}
        if self._writer is None:
            shapes = {name: list(values.shape[1:]) for name, values in arrays.items()}
            described = {PROVENANCE: json.dumps(self._provenance), "shapes": json.dumps(shapes)}
            schema = pa.table(columns).schema.with_metadata(described)
            self._writer = self._stack.enter_context(pq.ParquetWriter(self._out, schema, use_dictionary=False))
        self._writer.write_table(pa.table(columns, schema=self._writer.schema))


def _column(pa: Any, values: NDArray[np.generic]) -> Any:
    """Return a column: numbers, or lists of numbers with null for a row that is missing."""
    if values.ndim == 1:
        return pa.array(values)
    rows = np.ascontiguousarray(values).reshape(len(values), -1)
    missing = pa.array(np.isnan(rows[:, 0]))
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1], mask=missing)


@contextmanager
def _parquet(out: Path, provenance: dict[str, Any]) -> Iterator[FeatureWriter]:
    # A missing package ends the command before any work.
    importlib.import_module("pyarrow.parquet")
    with ExitStack() as stack:
        yield _Parquet(out, provenance, stack)
