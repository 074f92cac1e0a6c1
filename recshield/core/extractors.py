"""What an image feature extractor is: one pipeline from pixels of [0, 1] to features, normalisation inside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Generator, Tensor

from recshield.core.errors import BadValue
from recshield.core.interfaces import NoConfig

if TYPE_CHECKING:
    from recshield.data.categories import Categories
    from recshield.data.images import Images


class Extractor(torch.nn.Module, ABC):
    """A network from images to features; resize, crop and normalisation lie inside, so that eps is in pixels of [0, 1].

    A subclass takes `(size, n_categories, config, rng)`: `size` is (height, width) of the stored images; `config` is
    an instance of `config_type`. It is built with start values only; `fit` trains it or reads its weights, and its
    `state_dict` is stored and loaded again.

    Attributes:
        name: as written in a specification: `resnet18:weights=default`.
        width: number of features.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[Any]] = NoConfig
    width: int

    def __init__(self, size: tuple[int, int], n_categories: int, config: Any, rng: Generator) -> None:
        super().__init__()
        self.size = size
        self.n_categories = n_categories
        self.config = config

    @abstractmethod
    def fit(self, images: Images, categories: Categories | None, rng: Generator) -> Mapping[str, Any]:
        """Train on the images' categories, or read weights; return facts for people (JSON).

        Raises:
            BadValue: there is nothing to train on.
            BadData: weights that are missing or do not fit.
        """

    @abstractmethod
    def forward(self, pixels: Tensor) -> Tensor:
        """Return (B, width) features of (B, 3, height, width) pixels of [0, 1], differentiable."""

    def classes(self, pixels: Tensor) -> Tensor:
        """Return (B, n_categories) class scores of (B, 3, height, width) pixels of [0, 1]."""
        raise BadValue(f"extractor '{self.name}' has no class scores")

    @abstractmethod
    def pipeline(self) -> str:
        """Return one line that names layer, resize, crop, normalisation and where the weights come from."""

    @classmethod
    def fingerprint(cls, config: Any) -> str:  # noqa: ARG003
        """Return a hash of what the configuration names outside itself, such as a file of weights; "" for nothing."""
        return ""
