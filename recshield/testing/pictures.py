"""Small seeded images and an extractor of a few weights, so that the checks can look at visual models."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from recshield.core.extractors import Extractor
from recshield.core.interfaces import NoConfig, Recommender
from recshield.core.seeds import child, generator
from recshield.data.categories import Categories
from recshield.data.images import Images
from recshield.data.visual import IMAGES, Visual

_SIDE, _WIDTH, _CATEGORIES = 8, 6, 3


class TinyExtractor(Extractor):
    """One seeded convolution, tanh and the mean of each quarter of the image; it learns nothing."""

    name = "tiny"

    def __init__(self, size: tuple[int, int], n_categories: int, config: Any, rng: Generator) -> None:
        super().__init__(size, n_categories, config, rng)
        self.width = 4 * _WIDTH
        self.register_buffer("kernel", torch.randn((_WIDTH, 3, 3, 3), generator=child(rng, "kernel")))
        self.register_buffer("head", torch.randn((n_categories, self.width), generator=child(rng, "head")))

    def fit(self, images: Images, categories: Categories | None, rng: Generator) -> Mapping[str, Any]:
        """Learn nothing."""
        return {}

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (B, width) features; the normalisation, 0.5 and 0.25, lies inside."""
        maps = torch.nn.functional.conv2d((pixels - 0.5) / 0.25, self.get_buffer("kernel"), padding=1)
        return torch.nn.functional.adaptive_avg_pool2d(maps.tanh(), 2).flatten(1)

    def classes(self, pixels: Tensor) -> Tensor:
        """Return (B, n_categories) class scores."""
        scores: Tensor = self(pixels) @ self.get_buffer("head").T
        return scores

    def pipeline(self) -> str:
        """Return one line about it."""
        return "tiny: as stored, minus 0.5 over 0.25, one seeded convolution"


@functools.cache
def tiny_visual(n_items: int) -> Visual:
    """Return seeded 8 x 8 images of items and their features; the first images do not depend on `n_items`."""
    pixels = np.random.default_rng(0).integers(1, 255, (n_items, _SIDE, _SIDE, 3), dtype=np.uint8)
    images = Images(pixels, np.ones(n_items, bool))
    extractor = TinyExtractor(images.size, _CATEGORIES, NoConfig(), generator(0, "tiny")).eval()
    raw = extractor(images.read(torch.arange(n_items)))
    scale = float(raw.abs().max())
    return Visual(images, extractor, raw / scale, scale)


def clean_values(model: Recommender, surface: str) -> Tensor:
    """Return the clean values of a surface, all rows; images are read from the data, as a model holds no table of them.

    Only for the small data of the checks.
    """
    visual = model.data.visual
    if surface == IMAGES and visual is not None:
        return visual.images.read(torch.arange(len(visual.images)))
    return model.values(surface)
