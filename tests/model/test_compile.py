"""torch.compile sees one graph, whatever backend computes in it."""

from contextlib import nullcontext

import pytest
import torch
from small_models import small_config, small_inputs

from cavsync.kernels import use_backend
from cavsync.model import CAVMAESync

WIDE = {"embed_dim": 32, "decoder_embed_dim": 32}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["automatic", "reference", "triton"])
def test_a_compiled_forward_gives_the_eager_numbers(backend: str) -> None:
    """No graph break, the same loss and gradients; the compiler's front end only, so that no code is generated."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = CAVMAESync(small_config(**WIDE))
    inputs = small_inputs(model.config)
    ids = {
        f"ids_restore_{name}": torch.rand(4, rows * columns).argsort(dim=1)
        for name, (rows, columns) in (("audio", model.config.audio_grid), ("visual", model.config.visual_grid))
    }
    results = []
    with nullcontext() if backend == "automatic" else use_backend(backend):
        for run in (torch.compile(model, fullgraph=True, backend="aot_eager"), model):
            loss = run(*inputs, **ids).loss
            loss.backward()
            results.append([loss.detach(), *(p.grad for p in model.parameters() if p.grad is not None)])
            model.zero_grad()
    assert len(results[0]) == len(results[1])
    for compiled, eager in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-6)
