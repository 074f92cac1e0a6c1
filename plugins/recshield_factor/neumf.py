"""Neural matrix factorisation: an inner product with learned weights beside a multi-layer perceptron."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import linear

from recshield.core.errors import BadValue
from recshield.core.interfaces import Batch, Objective, Recommender
from recshield.core.seeds import child
from recshield.core.surfaces import CLEAN, View
from recshield.data.interactions import DataInfo, Dataset
from recshield.training.loop import train
from recshield.training.triplets import bpr, check_settings, triplet_batches
from recshield_factor.mf import ITEM, USER
from recshield_factor.triplets import factor_surfaces, read_triplets, squares, triplet_rows

#: Values of one hidden layer held at once while all items are scored; a megabyte stays in the cache of one core.
_HIDDEN_VALUES = 1 << 18


@dataclass(frozen=True)
class NeuMFConfig:
    """Settings of `neumf`.

    Attributes:
        dims: width of the part of each embedding that goes through the product (GMF).
        layers: widths of the perceptron, `64-32-16`: the first is both embeddings side by side (even), the last what
            goes to the output.
        std: standard deviation of the normal that embeddings start from.
        batch: triplets per update.
        lr: Adam learning rate.
        l2: weight of the squared norms of the embedding rows each triplet reads.
        epochs: passes over the training rows.
    """

    dims: int = 16
    layers: str = "64-32-16"
    std: float = 0.01
    batch: int = 1024
    lr: float = 0.001
    l2: float = 0.0
    epochs: int = 50

    def __post_init__(self) -> None:
        check_settings("neumf", self, {"dims": 1, "batch": 1, "epochs": 0}, ("std", "lr"), self.l2)
        if not re.fullmatch(r"[1-9]\d*(-[1-9]\d*)+", self.layers) or self.widths[0] % 2:
            raise BadValue(
                f"model 'neumf': layers is '{self.layers}'; it is two or more whole numbers above 0, the first even, "
                "such as 64-32-16"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """The numbers of `layers`."""
        return tuple(int(part) for part in self.layers.split("-"))


def _uniform(rows: int, columns: int, bound: float, rng: Generator) -> torch.nn.Parameter:
    return torch.nn.Parameter((torch.rand((rows, columns), generator=rng) * 2 - 1) * bound)


class NeuMF(Recommender):
    """NeuMF: GMF and a perceptron side by side, joined by one output layer.

    Each side has one table whose rows hold the GMF part and then the perceptron's, so that one norm per row spans both.
    Trained with BPR on triplets and Adam, so that losses compare with the other models'; the paper trains with binary
    cross-entropy on labels, from separately trained halves or from scratch as here. Without the sigmoid, and without
    the output's bias, neither of which changes a ranking.

    Source: He et al. 2017, arXiv:1708.05031, Eq. 8 to 12; a baseline of the APR paper (He et al. 2018).
    """

    name = "neumf"
    config_type = NeuMFConfig
    exposes = (USER, ITEM)
    config: NeuMFConfig

    def __init__(self, data: DataInfo, config: NeuMFConfig, rng: Generator) -> None:
        super().__init__(data, config, rng)
        widths = config.widths
        width = config.dims + widths[0] // 2
        for name, n_rows in (("user", data.n_users), ("item", data.n_items)):
            drawn = torch.randn((n_rows, width), generator=child(rng, f"factors.{name}")) * config.std
            self.register_parameter(name, torch.nn.Parameter(drawn))
        # Start values of the layers as in the published code: Glorot's, and LeCun's for the output.
        self.weights, self.biases = torch.nn.ParameterList(), torch.nn.ParameterList()
        for place, (below, above) in enumerate(itertools.pairwise(widths)):
            bound = math.sqrt(6 / (below + above))
            self.weights.append(_uniform(above, below, bound, child(rng, "layer", place)))
            self.biases.append(torch.nn.Parameter(torch.zeros(above)))
        n_inputs = config.dims + widths[-1]
        self.output = _uniform(1, n_inputs, math.sqrt(3 / n_inputs), child(rng, "output"))
        self.surfaces = factor_surfaces(data, width)

    def values(self, surface: str) -> Tensor:
        """Return the table of a surface."""
        if surface not in (USER, ITEM):
            return super().values(surface)
        return self.get_parameter("user" if surface == USER else "item")

    def score(self, users: Tensor, view: View = CLEAN) -> Tensor:
        """Return (B, n_items) outputs; the first layer is split into a user and an item part, the rest is chunked."""
        vectors = view.read(self.surfaces[0], self.values(USER)[users], users)
        items = view.read(self.surfaces[1], self.values(ITEM))
        dims, half = self.config.dims, self.config.widths[0] // 2
        products = (vectors[:, :dims] * self.output[:, :dims]) @ items[:, :dims].T
        user_part = linear(vectors[:, dims:], self.weights[0][:, :half])
        item_part = linear(items[:, dims:], self.weights[0][:, half:], self.biases[0])
        size = max(1, _HIDDEN_VALUES // max(user_part.numel(), 1))
        outputs = []
        for chunk in item_part.split(size):
            hidden = torch.relu(user_part[:, None] + chunk)
            outputs.append(linear(self._upper(hidden), self.output[:, dims:])[..., 0])
        return products + torch.cat(outputs, dim=1)

    def _upper(self, hidden: Tensor) -> Tensor:
        """Return the layers above the first."""
        for weight, bias in zip(list(self.weights)[1:], list(self.biases)[1:], strict=True):
            hidden = torch.relu(linear(hidden, weight, bias))
        return hidden

    def _pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """Return (B,) outputs of rows of both tables (Eq. 12)."""
        dims = self.config.dims
        both = torch.cat([users[:, dims:], items[:, dims:]], dim=1)
        hidden = self._upper(torch.relu(linear(both, self.weights[0], self.biases[0])))
        return linear(torch.cat([users[:, :dims] * items[:, :dims], hidden], dim=1), self.output)[:, 0]

    def margins(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return (B,) score differences."""
        users, positives, negatives = read_triplets(self, batch, view)
        return self._pairs(users, positives) - self._pairs(users, negatives)

    def loss(self, batch: Batch, view: View = CLEAN) -> Tensor:
        """Return the BPR loss summed over the batch."""
        return bpr(self.margins(batch, view))

    def penalty(self, batch: Batch) -> Tensor:
        """Return l2 times the squared norms of the embedding rows each triplet reads."""
        return self.config.l2 * squares(self, batch) if self.config.l2 else super().penalty(batch)

    def rows(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the users and items of the batch."""
        return triplet_rows(batch)

    def batches(self, data: Dataset, rng: Generator) -> Iterator[Batch]:
        """Yield every training row once, in random order, with a fresh negative each."""
        return triplet_batches(data, rng, self.config.batch)

    def fit(self, data: Dataset, objective: Objective, rng: Generator, epochs: int | None = None) -> None:
        """Train with Adam."""
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.lr, fused=True)
        train(self, data, objective, optimizer, rng, self.config.epochs if epochs is None else epochs)
