"""ResNet-18 and ResNet-50 of torchvision as extractors; resize, crop and normalisation lie inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import Identity, Linear

from recshield.core.errors import BadValue
from recshield.core.extractors import Extractor
from recshield.core.seeds import child
from recshield.data.categories import Categories
from recshield.data.images import Images
from recshield_visual import weights as files
from recshield_visual.labels import Recipe, train_on_categories
from recshield_visual.starting import started

#: Layers whose mean over the image can be the features, with their channels in units of the last one's.
LAYERS = {"layer1": 8, "layer2": 4, "layer3": 2, "avgpool": 1}
#: Mean and deviation of the channels of ImageNet, which torchvision's weights were trained with.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ResNet18Config:
    """Settings of `resnet18`.

    Attributes:
        weights: `default` (torchvision's, fetched into the cache folder), `(file:PATH)` or `train` (on the categories).
        layer: whose mean over the image is the features: layer1, layer2, layer3 or avgpool (the last one's).
        resize: shorter side in pixels before the crop; 0 = as stored.
        crop: side of the square cut from the middle; 0 = none.
        epochs: with `train`: passes over the images.
        lr: with `train`: largest learning rate of AdamW's one cycle.
        decay: with `train`: weight decay.
        batch: with `train`: images per update.
        dropout: with `train`: share of the features that the head does not see.
        held: with `train`: share of the images held out for the AUC.
        shift: with `train`: each batch is moved by up to this many pixels, and each image mirrored; -1 = neither.
        least: with `train`: a category with fewer positive images among those trained on is left out.
    """

    weights: str = "default"
    layer: str = "avgpool"
    resize: int = 256
    crop: int = 224
    epochs: int = 30
    lr: float = 0.003
    decay: float = 0.02
    batch: int = 64
    dropout: float = 0.2
    held: float = 0.15
    shift: int = 2
    least: int = 10

    owner: ClassVar[str] = "resnet18"

    def __post_init__(self) -> None:
        files.file_of(self.owner, self.weights)
        if self.layer not in LAYERS:
            raise BadValue(f"extractor '{self.owner}': layer '{self.layer}' is not known; allowed: {', '.join(LAYERS)}")
        for name in ("resize", "crop"):
            if getattr(self, name) < 0:
                raise BadValue(f"extractor '{self.owner}': {name} is {getattr(self, name)}; it is at least 0")
        self.recipe().check(self.owner)

    def recipe(self) -> Recipe:
        """Return how it is trained, where it is."""
        return Recipe(**{spot.name: getattr(self, spot.name) for spot in dataclasses.fields(Recipe)})


@dataclass(frozen=True)
class ResNet50Config(ResNet18Config):
    """Settings of `resnet50`; those of `resnet18`, but for the size that its weights were made for."""

    resize: int = 232

    owner: ClassVar[str] = "resnet50"


def _models() -> Any:
    """Return torchvision's models; they take seconds to load, and most commands need none."""
    from torchvision import models

    return models


def _network(name: str, layer: str) -> torch.nn.Module:
    """Return torchvision's network up to a layer, its mean over the image as output."""
    made: torch.nn.Module = _models().get_model(name, weights=None)
    names = ["layer1", "layer2", "layer3", "layer4"]
    for after in names[names.index("layer4" if layer == "avgpool" else layer) + 1 :]:
        setattr(made, after, Identity())
    made.fc = Identity()
    return made


def _whole(name: str) -> Mapping[str, Tensor]:
    with torch.device("meta"):
        state: Mapping[str, Tensor] = _models().get_model(name, weights=None).state_dict()
        return state


def _address(name: str) -> str:
    held: str = _models().get_model_weights(name).DEFAULT.url
    return held


class ResNet18(Extractor):
    """torchvision's ResNet-18: 512 features; `weights=default` fetches those trained on ImageNet.

    Source: He et al. 2016, arXiv:1512.03385.
    """

    name = "resnet18"
    config_type = ResNet18Config
    channels: ClassVar[int] = 512
    config: ResNet18Config
    mean: Tensor
    deviation: Tensor

    def __init__(self, size: tuple[int, int], n_categories: int, config: ResNet18Config, rng: Generator) -> None:
        super().__init__(size, n_categories, config, rng)
        self.width = self.channels // LAYERS[config.layer]
        self.network = started(lambda: _network(self.name, config.layer), child(rng, "network"))
        self.head: Linear | None = None
        if config.weights == "train":
            self.head = started(lambda: Linear(self.width, n_categories), child(rng, "head"))
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(3, 1, 1), persistent=False)

    def fit(self, images: Images, categories: Categories | None, rng: Generator) -> Mapping[str, Any]:
        """Read the weights, or train on the categories; never leave start values in their place.

        Raises:
            BadData: a file of weights that is missing or does not fit.
            BadValue: there are no categories to train on.
            FetchFailed: the default weights are not here and cannot be fetched.
        """
        if self.head is not None:
            return train_on_categories(self, self.head, images, categories, self.config.recipe(), rng)
        named = files.file_of(self.name, self.config.weights)
        path = files.fetched(self.name, _address(self.name)) if named is None else named
        files.fit_into(self.network, _whole(self.name), files.read(path), path, "fc.")
        return {"weights": files.digest_of(path)}

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (B, width) features of (B, 3, height, width) pixels of [0, 1]."""
        from torchvision.transforms.v2 import functional  # takes seconds to load

        if self.config.resize:
            pixels = functional.resize(pixels, [self.config.resize], antialias=True)
        if self.config.crop:
            pixels = functional.center_crop(pixels, [self.config.crop])
        features: Tensor = self.network((pixels - self.mean) / self.deviation)
        return features

    def classes(self, pixels: Tensor) -> Tensor:
        """Return (B, n_categories) log odds of each category; only where it was trained on them."""
        if self.head is None:
            raise BadValue(
                f"extractor '{self.name}' with weights={self.config.weights} has no class scores of the items' "
                "categories; use weights=train, or smallcnn"
            )
        odds: Tensor = self.head(self(pixels))
        return odds

    def pipeline(self) -> str:
        """Return one line that says what happens to pixels, and where the weights come from."""
        config = self.config
        steps = [f"shorter side to {config.resize}, antialiased" if config.resize else "no resize"]
        steps.append(f"middle {config.crop} x {config.crop}" if config.crop else "no crop")
        source = {"default": "torchvision's weights", "train": "trained here on the categories"}.get(config.weights)
        steps += ["ImageNet's mean and deviation", f"mean of {config.layer}", source or f"weights of {config.weights}"]
        return f"{self.name}: " + "; ".join(steps)

    @classmethod
    def fingerprint(cls, config: ResNet18Config) -> str:
        """Return the hash of the file of weights, or the address that names it; "" where it is trained here."""
        path = files.file_of(cls.name, config.weights)
        if path is not None:
            return files.digest_of(path)
        return _address(cls.name) if config.weights == "default" else ""


class ResNet50(ResNet18):
    """torchvision's ResNet-50: 2048 features; all else as in `resnet18`.

    Source: He et al. 2016, arXiv:1512.03385.
    """

    name = "resnet50"
    config_type = ResNet50Config
    channels = 2048
    config: ResNet50Config
