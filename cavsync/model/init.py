"""Initial values of parameters, as in MAE and CAV-MAE."""

import torch
from torch import nn

TOKEN_STD = 0.02


def token(*shape: int) -> nn.Parameter:
    """A learned token or modality vector, normal with standard deviation 0.02."""
    return nn.Parameter(torch.empty(*shape).normal_(std=TOKEN_STD))


def linear(in_features: int, out_features: int) -> nn.Linear:
    """A linear layer, Xavier-uniform weights and zero bias."""
    layer = nn.Linear(in_features, out_features)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
