"""Self-attentive sequential recommendation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import layer_norm, linear, scaled_dot_product_attention

from recshield.core.errors import BadValue
from recshield.core.seeds import child
from recshield.data.interactions import DataInfo
from recshield_sequence.dropping import Dropper
from recshield_sequence.packing import Packed
from recshield_sequence.sequential import Sequential, check_settings


@dataclass(frozen=True)
class SASRecConfig:
    """Settings of `sasrec`.

    Attributes:
        dims: width of the item table and of every layer.
        length: positions that are read, the most recent ones.
        blocks: of attention and feed-forward layers.
        heads: of attention; they divide `dims`.
        dropout: share of values dropped in training: of the input, of attention weights and in the feed-forward.
        std: standard deviation of the normal that the tables of items and positions start from.
        batch: users per update.
        lr: Adam learning rate.
        epochs: passes over the users.
    """

    dims: int = 64
    length: int = 50
    blocks: int = 2
    heads: int = 1
    dropout: float = 0.5
    std: float = 0.01
    batch: int = 512
    lr: float = 0.001
    epochs: int = 200

    def __post_init__(self) -> None:
        check_settings("sasrec", self)
        if self.blocks < 1:
            raise BadValue(f"model 'sasrec': blocks is {self.blocks}; it is at least 1")
        if self.heads < 1 or self.dims % self.heads:
            raise BadValue(f"model 'sasrec': heads is {self.heads}; it is at least 1 and divides dims ({self.dims})")


def _glorot(rows: int, columns: int, rng: Generator) -> Tensor:
    bound = math.sqrt(6 / (rows + columns))
    return (torch.rand((rows, columns), generator=rng) * 2 - 1) * bound


class Norm(torch.nn.Module):
    """Layer normalisation with a learned scale and shift."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(width))
        self.bias = torch.nn.Parameter(torch.zeros(width))

    def forward(self, values: Tensor) -> Tensor:
        """Return the values of each position with mean 0 and variance 1, scaled and shifted."""
        return layer_norm(values, (values.shape[-1],), self.weight, self.bias)


class Block(torch.nn.Module):
    """LN(x + attention(x)), then LN(x + feed-forward(x)) (Eq. 2 and 3).

    As in the paper there is no projection of what attention returns.
    """

    def __init__(self, width: int, heads: int, rng: Generator) -> None:
        super().__init__()
        self.heads = heads
        parts = [_glorot(width, width, child(rng, name)) for name in ("query", "key", "value")]
        self.attention = torch.nn.Parameter(torch.cat(parts))
        self.attention_bias = torch.nn.Parameter(torch.zeros(3 * width))
        self.inner = torch.nn.Parameter(_glorot(width, width, child(rng, "inner")))
        self.inner_bias = torch.nn.Parameter(torch.zeros(width))
        self.outer = torch.nn.Parameter(_glorot(width, width, child(rng, "outer")))
        self.outer_bias = torch.nn.Parameter(torch.zeros(width))
        self.after_attention, self.after_inner = Norm(width), Norm(width)

    def forward(self, values: Tensor, shapes: tuple[tuple[int, int], ...], drop: Dropper) -> Tensor:
        """Return (positions, width) outputs of the block.

        Args:
            values: (positions, width), blocks of histories behind one another.
            shapes: (histories, positions) of each.
            drop: dropout.
        """
        values = self.after_attention(values + self._attend(values, shapes, drop))
        hidden = drop(torch.relu(linear(values, self.inner, self.inner_bias)))
        found: Tensor = self.after_inner(values + drop(linear(hidden, self.outer, self.outer_bias)))
        return found

    def _attend(self, values: Tensor, shapes: tuple[tuple[int, int], ...], drop: Dropper) -> Tensor:
        """Return (positions, width): each position attends to itself and to those before it in its history."""
        width = values.shape[1]
        projected = linear(values, self.attention, self.attention_bias)
        found = []
        for part, (lines, length) in zip(projected.split([n * m for n, m in shapes]), shapes, strict=True):
            heads = part.view(lines, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
            query, key, value = heads.unbind()  # its gradient is one copy; that of three indices would be three sums
            attended = _attended(query, key, value, drop)
            found.append(attended.transpose(1, 2).reshape(lines * length, width))
        return torch.cat(found)


def _attended(query: Tensor, key: Tensor, value: Tensor, drop: Dropper) -> Tensor:
    """Return what each position reads of itself and of those before it, attention weights dropped in training."""
    if not drop.is_on:
        return scaled_dot_product_attention(query, key, value, is_causal=True)
    is_later = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).triu(1)
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    return drop(scores.masked_fill(is_later, -math.inf).softmax(dim=-1)) @ value


class SASRec(Sequential):
    """SASRec: causal self-attention over the most recent items, trained to tell each next item from a sampled one.

    Normalisation follows each residual sum, as in the code of SAO (Kang and McAuley's precedes it); dropout acts on
    attention weights, as in the code of both (Kang and McAuley's section III.C has it on what attention returns; with
    that the published figures are missed: docs/results.md). Positions are counted from the most recent item, as their
    left padding has it.

    Source: Kang and McAuley 2018, arXiv:1808.09781; Manotumruksa and Yilmaz 2020 (SAO), Eq. 1 to 5.
    """

    name = "sasrec"
    config_type = SASRecConfig
    config: SASRecConfig

    def __init__(self, data: DataInfo, config: SASRecConfig, rng: Generator) -> None:
        super().__init__(data, config, rng)
        drawn = torch.randn((config.length, config.dims), generator=child(rng, "position")) * config.std
        self.position = torch.nn.Parameter(drawn)
        self.layers = torch.nn.ModuleList(
            Block(config.dims, config.heads, child(rng, "block", place)) for place in range(config.blocks)
        )
        self.final = Norm(config.dims)

    def encode(self, packed: Packed, vectors: Tensor, drop: Dropper) -> Tensor:
        """Return (packed.size, dims) states; item vectors are scaled by the root of their width first."""
        vectors = math.sqrt(self.config.dims) * vectors + torch.nn.functional.embedding(packed.ages, self.position)
        states = vectors.new_zeros((packed.size, self.config.dims)).index_copy(0, packed.places, drop(vectors))
        for block in self.layers:
            states = block(states, packed.shapes, drop)
        found: Tensor = self.final(states)
        return found
