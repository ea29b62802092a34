"""Both encoders can be exported with a dynamic batch."""

import pytest
import torch
from small_models import small_inputs, small_model
from torch import Tensor, nn

from cavsync.model import CAVMAESync, Embedding


class Audio(nn.Module):
    def __init__(self, model: CAVMAESync) -> None:
        super().__init__()
        self.model = model

    def forward(self, fbank: Tensor) -> Embedding:
        return self.model.encode_audio(fbank)


class Visual(Audio):
    def forward(self, frames: Tensor) -> Embedding:
        return self.model.encode_frames(frames)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_register_tokens": 0, "cls_token": False},
        {"num_frames": 2, "contrastive_heads": True, "keep_register_tokens": True},
    ],
)
@pytest.mark.parametrize("index", [0, 1], ids=["audio", "visual"])
def test_exported_encoders_agree_at_any_batch(options, index) -> None:
    model = small_model(**options).eval()
    wrapped = (Audio, Visual)[index](model)
    batch = torch.export.Dim("batch", min=1, max=64)
    example = small_inputs(model.config, batch=2)[index]
    program = torch.export.export(wrapped, (example,), dynamic_shapes=({0: batch},))
    for size in (1, 2, 5):
        inputs = small_inputs(model.config, batch=size, seed=size)[index]
        torch.testing.assert_close(program.module()(inputs), wrapped(inputs), rtol=1e-5, atol=1e-5)
