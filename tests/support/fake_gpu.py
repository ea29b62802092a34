"""Tensors that say they are on a GPU, on a machine without one, and the rules of what a CUDA graph can hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from cavsync.kernels.triton import support

DEVICE = torch.device("cuda", 0)
aten = torch.ops.aten
READS_OR_COPIES = {
    # What `torch.tensor` makes on the host before it is copied.
    aten.lift_fresh.default,
    *(aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default),
    *(aten.is_nonzero.default, aten._unique2.default, aten.unique_dim.default),
}


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Inside, tensors have shapes, dtypes and devices, but no values; operators of our own compute none either."""
    with (
        patch.object(torch.cuda, "current_device", lambda: DEVICE.index),
        patch.object(torch.cuda, "is_bf16_supported", lambda *_, **__: True),
        patch.object(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
        patch.object(support, "capability_of", lambda _: (9, 0)),
        FakeTensorMode(),
    ):
        yield


class CaptureRules(TorchDispatchMode):
    """Refuses what breaks the capture of a CUDA graph: the host reads a value, or copies to or from the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        refusal = RuntimeError(f"operation not permitted when stream is capturing: {func}")
        if func in READS_OR_COPIES:
            raise refusal
        found = func(*args, **(kwargs or {}))
        places = {item.device.type for item in (*args, found) if isinstance(item, Tensor)}
        if func in (aten._to_copy.default, aten.copy_.default) and len(places) > 1:
            raise refusal
        return found
