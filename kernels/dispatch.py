"""Choose an operation's implementation from ordered candidates, each reporting why it is unsupported."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cavsync.errors import BackendError

ENVIRONMENT_VARIABLE = "CAVSYNC_BACKEND"
ANY_DEVICE = ("cpu", "cuda")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Implementation:
    """One way to compute an operation.

    not_supported_reasons: called with the inputs, one clause per reason why `run` cannot take them. method: called with
    the inputs, says what `run` does by size on their device and in their dtype; "" where it always does the same.
    """

    run: Callable[..., Any]
    not_supported_reasons: Callable[..., list[str]] = lambda *_: []
    method: Callable[..., str] = lambda *_: ""


@dataclass(frozen=True)
class Candidate:
    """A named implementation, imported on first use.

    requires: packages that it needs. devices: device types on which it is chosen automatically.
    """

    name: str
    load: Callable[[], Implementation]
    requires: tuple[str, ...] = ()
    devices: tuple[str, ...] = ANY_DEVICE

    def not_supported_reasons(self, *inputs: Any) -> list[str]:
        """One clause per reason why this candidate cannot compute the operation on these inputs."""
        missing = [f"the package {name} is not installed" for name in self.requires if name in _MISSING]
        return missing or self.load().not_supported_reasons(*inputs)


_MISSING = frozenset(name for name in ("triton", "xformers") if importlib.util.find_spec(name) is None)


@dataclass(frozen=True)
class Operation:
    """An operation and its candidates in order of preference; the last one takes any input."""

    name: str
    candidates: tuple[Candidate, ...]

    def __call__(self, *inputs: Any) -> Any:
        """Compute with the explicit choice, or else with the first candidate that supports the inputs."""
        return self.choose(*inputs).load().run(*inputs)

    def choose(self, *inputs: Any) -> Candidate:
        """The candidate for these inputs. Raises BackendError with every reason where an explicit choice cannot run."""
        name = _explicit.get(self.name) or _explicit.get("")
        for candidate in self.candidates:
            if candidate.name == name:
                return self._require(candidate, inputs)
        for candidate in self.candidates:
            if _device_type(inputs) in candidate.devices and not candidate.not_supported_reasons(*inputs):
                if not torch.compiler.is_compiling():
                    _log_once(self.name, candidate.name)
                return candidate
        reasons = "; ".join(f"{c.name}: {', '.join(c.not_supported_reasons(*inputs))}" for c in self.candidates)
        raise BackendError(f"No implementation of {self.name} takes these inputs ({reasons}): change their dtype.")

    def _require(self, candidate: Candidate, inputs: tuple[Any, ...]) -> Candidate:
        reasons = candidate.not_supported_reasons(*inputs)
        if reasons:
            raise BackendError(
                f"{self.name} was asked to run on {candidate.name}, which cannot: {'; '.join(reasons)}. Choose another "
                f"backend ({', '.join(c.name for c in self.candidates)}), or leave the choice open."
            )
        return candidate


OPERATIONS: dict[str, Operation] = {}
"""Every operation by name, registered as the modules of the operations are imported."""

_explicit: dict[str, str] = {}
_logged: set[tuple[str, str]] = set()


def register(name: str, *candidates: Candidate) -> Operation:
    """Add an operation to OPERATIONS."""
    OPERATIONS[name] = Operation(name, candidates)
    return OPERATIONS[name]


@contextmanager
def use_backend(backend: str, operation: str = "") -> Iterator[None]:
    """Use `backend` inside the block for every operation that has it, or only for the named one.

    Operations without it keep their automatic choice. Applies to the whole process, all threads.
    Raises BackendError where no operation has that backend.
    """
    before = dict(_explicit)
    _set_backend(backend, operation)
    try:
        yield
    finally:
        _explicit.clear()
        _explicit.update(before)


def read_environment() -> None:
    """Apply CAVSYNC_BACKEND: one backend for all operations, or `operation=backend` pairs separated by commas."""
    for part in filter(None, os.environ.get(ENVIRONMENT_VARIABLE, "").split(",")):
        operation, _, backend = part.rpartition("=")
        _set_backend(backend.strip(), operation.strip())


def _set_backend(backend: str, operation: str) -> None:
    if operation and operation not in OPERATIONS:
        raise BackendError(f"'{operation}' is not an operation: use one of {', '.join(OPERATIONS)}.")
    asked = [OPERATIONS[operation]] if operation else OPERATIONS.values()
    known = list(dict.fromkeys(candidate.name for item in asked for candidate in item.candidates))
    if backend not in known:
        raise BackendError(
            f"'{backend}' is not a backend of {operation or 'any operation'}: use one of {', '.join(known)}."
        )
    _explicit[operation] = backend


def _device_type(inputs: tuple[Any, ...]) -> str:
    return next((item.device.type for item in inputs if isinstance(item, Tensor)), "cpu")


def _log_once(operation: str, candidate: str) -> None:
    if (operation, candidate) not in _logged:
        _logged.add((operation, candidate))
        logger.info("%s runs on %s", operation, candidate)
