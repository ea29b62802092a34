"""The inputs of each graph by name, and the normalisation that the graphs themselves do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cavsync.manifest import FRAME_ENCODER
from cavsync.model.encoder import AudioVisualEncoder
from cavsync.model.patch import PairStem

Array = NDArray[Any]
# A graph's inputs by name, in the order of the manifest.
Inputs = Mapping[str, Array]


def _normalised_audio(log_mel: Tensor) -> Tensor:
    return (log_mel + 5.081) / 4.4849


def _normalised_frames(frames: Tensor) -> Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((frames.permute(0, 1, 4, 2, 3).double() / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)).float()


NORMALISED: dict[str, Callable[[Tensor], Tensor]] = {
    "log_mel": _normalised_audio,
    "frames": _normalised_frames,
    "pairs": _normalised_frames,
    "features": lambda features: features,
}


def pair_stem(model: AudioVisualEncoder) -> PairStem:
    """The stem of a model with `pair_stem`."""
    assert isinstance(model.patch_embed_v, PairStem)
    return model.patch_embed_v


@torch.no_grad()
def graph_inputs(model: AudioVisualEncoder, arrays: Mapping[str, Array]) -> dict[str, Inputs]:
    """Name the inputs of each graph, given audio, log-mel segments and tubelets as `Samples.inputs` has them."""
    inputs: dict[str, Inputs] = {
        "audio_frontend": {"waveform": arrays["audio_frontend"]},
        "audio_encoder": {"log_mel": arrays["audio_encoder"]},
        "visual_encoder": {"frames": arrays["visual_encoder"]},
    }
    if model.config.pair_stem:
        tubelets = arrays["visual_encoder"]
        pairs = np.stack([tubelets[:, :-1], tubelets[:, 1:]], axis=2)
        features = [pair_stem(model).features(_normalised_frames(torch.from_numpy(one))).numpy() for one in pairs]
        inputs["visual_encoder"] = {"features": np.stack(features)}
        # One pair of each tubelet is enough, at another place in each.
        count, places = pairs.shape[1], np.arange(len(pairs))
        inputs[FRAME_ENCODER] = {"pairs": pairs[places, places % count]}
    return inputs
