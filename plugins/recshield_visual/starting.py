"""Networks that are built and given start values without a draw from the global random state."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Generator
from torch.nn import BatchNorm2d, Conv2d, Linear

from recshield.core.seeds import child

_Network = TypeVar("_Network", bound=torch.nn.Module)


def started(build: Callable[[], _Network], rng: Generator) -> _Network:
    """Return a network with start values, each layer's from a generator called by the layer's name.

    Convolutions: normal, fan out, for ReLU (He et al. 2015, as torchvision's ResNet); linear layers: uniform within
    one over the root of the width, bias 0; batch norm: weight 1, bias 0, mean 0, variance 1.

    Args:
        build: makes the network; its own draws, if any, are without effect.
        rng: of the start values.
    """
    with torch.device("meta"):
        network = build()
    network.to_empty(device="cpu")
    for name, layer in network.named_modules():
        own = child(rng, name)
        if isinstance(layer, Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=own)
        elif isinstance(layer, Linear):
            edge = layer.in_features**-0.5
            torch.nn.init.uniform_(layer.weight, -edge, edge, generator=own)
        elif isinstance(layer, BatchNorm2d):
            layer.reset_parameters()
        if isinstance(layer, Conv2d | Linear) and layer.bias is not None:
            torch.nn.init.zeros_(layer.bias)
    return network
