"""Counting what a GPU would launch, on a machine without one."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch._library.custom_ops import OPDEFS
from torch.utils._python_dispatch import TorchDispatchMode
from triton.runtime.interpreter import GridExecutor

aten = torch.ops.aten
WITHOUT_A_KERNEL = {
    *(aten.empty.memory_format, aten.empty_like.default, aten.empty_strided.default, aten.new_empty.default),
    *(aten.new_empty_strided.default, aten.detach.default, aten._reshape_alias.default, aten._unsafe_view.default),
}
"""Besides views: memory is reserved, or a tensor gets another shape."""


class _Operators(TorchDispatchMode):
    """Counts PyTorch's operators with a kernel, those inside our own operators too."""

    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self.found, self.interpreting = found, False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "cavsync":
            # Its body, because calling the operator again would come back here.
            with self:
                return OPDEFS[func._schema.name]._init_fn(*args, **(kwargs or {}))
        if not (self.interpreting or func.is_view or func in WITHOUT_A_KERNEL):
            self.found[str(func)] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def counted_launches() -> Iterator[Counter[str]]:
    """Count inside the block, by name, PyTorch's operators that are no views, and interpreted kernels of Triton.

    An operator counts once, whatever its kernels on a GPU (a library product may take two), so that two ways that are
    counted alike can be compared.
    """
    found: Counter[str] = Counter()
    operators, run = _Operators(found), GridExecutor.__call__

    def launch(self: Any, *args: Any, **kwargs: Any) -> Any:
        found[self.fn.__name__] += 1
        operators.interpreting = True
        try:
            return run(self, *args, **kwargs)
        finally:
            operators.interpreting = False

    with patch.object(GridExecutor, "__call__", launch), operators:
        yield found
