"""Visual recommenders `vbpr`, `vbpr-amr` and `duif`, the extractors behind them, and the defense `jpeg`."""

from __future__ import annotations

from recshield.core.extractors import Extractor
from recshield.core.hookspecs import hookimpl
from recshield.core.interfaces import Defense, Recommender
from recshield_visual.duif import DUIF
from recshield_visual.jpeg import JPEG
from recshield_visual.resnet import ResNet18, ResNet18Config, ResNet50, ResNet50Config
from recshield_visual.settings import DUIFConfig, VBPRAMRConfig, VBPRConfig
from recshield_visual.smallcnn import SmallCNN, SmallCNNConfig
from recshield_visual.vbpr import VBPR
from recshield_visual.vbpr_amr import VBPRAMR

__all__ = [
    "DUIF",
    "JPEG",
    "VBPR",
    "VBPRAMR",
    "DUIFConfig",
    "ResNet18",
    "ResNet18Config",
    "ResNet50",
    "ResNet50Config",
    "SmallCNN",
    "SmallCNNConfig",
    "VBPRAMRConfig",
    "VBPRConfig",
]


@hookimpl
def recshield_recommenders() -> list[type[Recommender]]:
    """Return the models."""
    return [VBPR, VBPRAMR, DUIF]


@hookimpl
def recshield_extractors() -> list[type[Extractor]]:
    """Return the extractors."""
    return [SmallCNN, ResNet18, ResNet50]


@hookimpl
def recshield_defenses() -> list[type[Defense]]:
    """Return the defenses."""
    return [JPEG]


@hookimpl
def recshield_presets() -> dict[str, str]:
    """Return the systems of the papers by the names they have there."""
    return {"amr": "vbpr-amr+advreg@item_features:eps=0.05,weight=1,epochs=20"}
