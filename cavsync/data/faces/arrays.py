"""Write named arrays as the bytes of an .npz, equal for equal arrays, and read them without executing anything."""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.errors import MediaError

VERSION = (1, 0)
UNREADABLE = (
    *(ValueError, KeyError, OSError, EOFError, RuntimeError, SyntaxError, TypeError, OverflowError),
    *(zipfile.BadZipFile, tokenize.TokenError),
)


def write_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the bytes of an uncompressed .npz, which depend on the arrays only."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, values in arrays.items():
            # Opened by name, a member has the year 1980 as its time.
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.ascontiguousarray(values), VERSION, allow_pickle=False)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def read_arrays(data: bytes, types: Mapping[str, str], where: str) -> dict[str, NDArray[Any]]:
    """Read the arrays `types` (name -> dtype) from untrusted bytes that `write_arrays` made; others are ignored.

    Members are stored without compression, so nothing is larger than the bytes themselves.
    Raises MediaError that names `where` for anything else.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name: _read(archive, name, np.dtype(dtype)) for name, dtype in types.items()}
    except UNREADABLE as error:
        raise MediaError(f"{where} is not a record of faces ({error}): write it again", reason="corrupt") from None


def _read(archive: zipfile.ZipFile, name: str, wanted: np.dtype[Any]) -> NDArray[Any]:
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    content = archive.read(info)
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != VERSION:  # type: ignore[no-untyped-call]
        raise ValueError(f"{name} is of another version")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)  # type: ignore[no-untyped-call]
    count = math.prod(shape)
    if dtype != wanted or is_fortran or min(shape, default=0) < 0:
        raise ValueError(f"{name} is not an array of {wanted}")
    if count * wanted.itemsize != len(content) - stream.tell():
        raise ValueError(f"{name} has another size than it declares")
    return np.frombuffer(content, wanted, count, stream.tell()).reshape(shape)
