"""A recurrent network over a user's items, as a second sequence model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from recshield.core.seeds import child
from recshield.data.interactions import DataInfo
from recshield_sequence.dropping import Dropper
from recshield_sequence.packing import Packed
from recshield_sequence.sequential import Sequential, check_settings


@dataclass(frozen=True)
class GRU4RecConfig:
    """Settings of `gru4rec`.

    Attributes:
        dims: width of the item table and of the recurrent state.
        length: positions that are read, the most recent ones.
        dropout: share of the values of the input and of the state that training drops.
        std: standard deviation of the normal that the item table starts from.
        batch: users per update.
        lr: Adam learning rate.
        epochs: passes over the users.
    """

    dims: int = 64
    length: int = 50
    dropout: float = 0.25
    std: float = 0.05
    batch: int = 512
    lr: float = 0.001
    epochs: int = 100

    def __post_init__(self) -> None:
        check_settings("gru4rec", self)


class GRU4Rec(Sequential):
    """GRU4Rec: one layer of gated recurrent units over the most recent items.

    Trained as `sasrec` is, on whole histories with one sampled negative per position and binary cross-entropy, so that
    losses compare; items stand in one table for input and output. The paper trains session-parallel mini-batches with
    the other items of the batch as negatives, and has two tables.

    Source: Hidasi et al. 2016, arXiv:1511.06939.
    """

    name = "gru4rec"
    config_type = GRU4RecConfig
    config: GRU4RecConfig

    def __init__(self, data: DataInfo, config: GRU4RecConfig, rng: Generator) -> None:
        super().__init__(data, config, rng)
        # The module would draw its start values from the global generator.
        with torch.device("meta"):
            self.cell = torch.nn.GRU(config.dims, config.dims, batch_first=True)
        self.cell.to_empty(device="cpu")
        bound = 1 / math.sqrt(config.dims)
        with torch.no_grad():
            for name, weight in self.cell.named_parameters():
                weight.copy_((torch.rand(weight.shape, generator=child(rng, "cell", name)) * 2 - 1) * bound)

    def encode(self, packed: Packed, vectors: Tensor, drop: Dropper) -> Tensor:
        """Return (packed.size, dims) states of the units."""
        inputs = vectors.new_zeros((packed.size, self.config.dims)).index_copy(0, packed.places, drop(vectors))
        found = []
        for part, (lines, length) in zip(inputs.split([n * m for n, m in packed.shapes]), packed.shapes, strict=True):
            states, _ = self.cell(part.view(lines, length, -1))
            found.append(states.reshape(lines * length, -1))
        return drop(torch.cat(found))
