"""A small convolutional network that is trained here, in seconds to minutes, on the categories of the items."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import BatchNorm2d, Conv2d, Linear, ReLU, Sequential

from recshield.core.errors import BadValue
from recshield.core.extractors import Extractor
from recshield.core.seeds import child
from recshield.core.settings import IMAGE_CHUNK
from recshield.data.categories import Categories
from recshield.data.images import Images
from recshield_visual.folded import folded
from recshield_visual.labels import Recipe, train_on_categories
from recshield_visual.starting import started

#: Channels and strides of the five convolutions.
LAYERS = ((24, 2), (48, 2), (96, 2), (160, 2), (256, 1))


@dataclass(frozen=True)
class SmallCNNConfig:
    """Settings of `smallcnn`.

    Attributes:
        width: multiplies the channels of every convolution; 1 gives 256 features.
        epochs: passes over the images.
        lr: largest learning rate of AdamW's one cycle.
        decay: weight decay.
        batch: images per update.
        dropout: share of the features that the head does not see in training.
        held: share of the images held out for the AUC.
        shift: each batch is moved by up to this many pixels, and each image mirrored by chance; -1 = neither.
        least: a category with fewer positive images among those trained on is left out.
    """

    width: float = 1.0
    epochs: int = 30
    lr: float = 0.003
    decay: float = 0.02
    batch: int = 64
    dropout: float = 0.2
    held: float = 0.15
    shift: int = 2
    least: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.width <= 16:
            raise BadValue(f"extractor 'smallcnn': width is {self.width}; it is above 0 and at most 16")
        self.recipe().check("smallcnn")

    def recipe(self) -> Recipe:
        """Return how it is trained."""
        return Recipe(**{spot.name: getattr(self, spot.name) for spot in dataclasses.fields(Recipe)})


class SmallCNN(Extractor):
    """Five 3 x 3 convolutions with batch norm and ReLU, the mean over the image; trained here on the categories.

    Images are read as they are stored; the mean and deviation of each channel over the training images lie inside.
    """

    name = "smallcnn"
    config_type = SmallCNNConfig
    config: SmallCNNConfig
    mean: Tensor
    deviation: Tensor

    def __init__(self, size: tuple[int, int], n_categories: int, config: SmallCNNConfig, rng: Generator) -> None:
        super().__init__(size, n_categories, config, rng)
        channels = [3, *(max(1, round(wide * config.width)) for wide, _ in LAYERS)]
        self.width = channels[-1]
        self.layers = started(lambda: _layers(channels), child(rng, "layers"))
        self.head = started(lambda: Linear(self.width, n_categories), child(rng, "head"))
        self.register_buffer("mean", torch.full((3, 1, 1), 0.5))
        self.register_buffer("deviation", torch.full((3, 1, 1), 0.25))

    def fit(self, images: Images, categories: Categories | None, rng: Generator) -> Mapping[str, Any]:
        """Train on the categories; see `labels.train_on_categories`."""
        self._normalise(images)
        return train_on_categories(self, self.head, images, categories, self.config.recipe(), rng)

    def _normalise(self, images: Images) -> None:
        """Fit mean and deviation of each channel over the images that are there, in whole numbers."""
        there = np.flatnonzero(images.is_there)
        total, square = np.zeros(3, np.int64), np.zeros(3, np.int64)
        for start in range(0, len(there), IMAGE_CHUNK):
            held = images.pixels[there[start : start + IMAGE_CHUNK]].reshape(-1, 3).astype(np.int64)
            total += held.sum(axis=0)
            square += (held * held).sum(axis=0)
        count = max(1, len(there) * images.size[0] * images.size[1])
        mean = total / count / 255
        deviation = np.sqrt(np.maximum(square / count / 255**2 - mean**2, 1e-4))
        self.mean.copy_(torch.from_numpy(mean).view(3, 1, 1))
        self.deviation.copy_(torch.from_numpy(deviation).view(3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (B, width) features, none below 0, of (B, 3, height, width) pixels of [0, 1]."""
        held = (pixels - self.mean) / self.deviation
        is_frozen = not self.training and not any(weight.requires_grad for weight in self.layers.parameters())
        maps = folded(self.layers, held) if is_frozen or not torch.is_grad_enabled() else self.layers(held)
        return maps.mean(dim=(2, 3))

    def classes(self, pixels: Tensor) -> Tensor:
        """Return (B, n_categories) log odds of each category."""
        odds: Tensor = self.head(self(pixels))
        return odds

    def pipeline(self) -> str:
        """Return one line that says what happens to pixels, and where the weights come from."""
        height, width = self.size
        return (
            f"smallcnn: {height} x {width} as stored, no crop; each channel minus its mean over its deviation, both of "
            f"the images trained on; {len(LAYERS)} convolutions, mean over the image, {self.width} features; trained "
            f"here on the categories, {self.config.epochs} epochs"
        )


def _layers(channels: list[int]) -> Sequential:
    made: list[tuple[str, torch.nn.Module]] = []
    for place, (_, stride) in enumerate(LAYERS, start=1):
        made += [
            (f"conv{place}", Conv2d(channels[place - 1], channels[place], 3, stride, padding=1, bias=False)),
            (f"norm{place}", BatchNorm2d(channels[place])),
            (f"relu{place}", ReLU(inplace=True)),
        ]
    return Sequential(OrderedDict(made))
