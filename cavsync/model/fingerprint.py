"""Identity of a checkpoint: the hash of its file and the fingerprint of its architecture."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

FINGERPRINT_DIGITS = 16


def file_sha256(path: Path) -> str:
    """SHA-256 of the file's bytes, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def architecture_fingerprint(state: Mapping[str, Tensor]) -> str:
    """Sixteen hex digits from the names and shapes of a state dict, independent of order, values and dtype."""
    lines = (f"{name} {'x'.join(map(str, value.shape))}\n" for name, value in sorted(state.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:FINGERPRINT_DIGITS]
