"""The pretraining forward on a GPU: packed against plain, compiled against eager, one run against the next."""

import pytest
import torch

pytest.importorskip("pydantic", reason="the model's configuration needs pydantic")

from exactness import relative_error
from small_models import small_config, small_inputs

from cavsync.kernels import use_backend
from cavsync.model import CAVMAESync
from cavsync.model.plain import plain_loss

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]

WIDE = {"embed_dim": 128, "num_heads": 2, "decoder_embed_dim": 64, "decoder_num_heads": 2}
OPTIONS = [{}, {"num_register_tokens": 0, "cls_token": False, "norm_pix_loss": True}, {"modality_specific_depth": 1}]


def prepared(options: dict) -> tuple[CAVMAESync, tuple, dict]:
    """A model, its inputs and masks on the GPU."""
    torch.manual_seed(0)
    model = CAVMAESync(small_config(**{**WIDE, **options})).cuda()
    inputs = tuple(item.cuda() for item in small_inputs(model.config, batch=6))
    ids = {
        f"ids_restore_{name}": torch.rand(6, rows * columns).argsort(dim=1).cuda()
        for name, (rows, columns) in (("audio", model.config.audio_grid), ("visual", model.config.visual_grid))
    }
    return model, inputs, ids


def gradients(model: CAVMAESync, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradients by name; the model's are cleared."""
    loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("options", OPTIONS)
def test_packed_equals_plain(options: dict) -> None:
    """bf16 autocast on the Triton kernels, against float64 without autocast."""
    model, inputs, ids = prepared(options)
    with use_backend("triton"), torch.autocast("cuda", torch.bfloat16):
        loss = model(*inputs, **ids).loss
    ours = gradients(model, loss)
    model.double()
    with use_backend("reference"):
        exact = plain_loss(model, *(item.double() for item in inputs), **ids)
    wanted = gradients(model, exact)
    assert relative_error(loss, exact) < 1e-2
    assert ours.keys() == wanted.keys()
    total = torch.stack([value.norm() for value in wanted.values()]).norm()
    error = torch.stack([(ours[name].double() - value).norm() for name, value in wanted.items()]).norm()
    assert error / total < 3e-2


def test_compiled_equals_eager() -> None:
    """One graph, no break."""
    model, inputs, ids = prepared({})
    with torch.autocast("cuda", torch.bfloat16):
        eager = gradients(model, model(*inputs, **ids).loss)
        compiled = torch.compile(model, fullgraph=True)
        again = gradients(model, compiled(*inputs, **ids).loss)
    total = torch.stack([value.norm() for value in eager.values()]).norm()
    error = torch.stack([(again[name] - value).norm() for name, value in eager.items()]).norm()
    assert error / total < 3e-2


def test_a_run_repeats_to_the_bit() -> None:
    """The Triton kernels use no atomics."""
    model, inputs, ids = prepared({})
    with use_backend("triton"), torch.autocast("cuda", torch.bfloat16):
        first = gradients(model, model(*inputs, **ids).loss)
        second = gradients(model, model(*inputs, **ids).loss)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
