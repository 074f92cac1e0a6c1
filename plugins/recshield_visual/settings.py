"""Settings that the visual models share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from recshield.training.triplets import check_settings


@dataclass(frozen=True)
class VBPRConfig:
    """Settings of `vbpr`.

    Attributes:
        extractor: of the image features, as `smallcnn:epochs=10`; "" = the default of the data set or the request.
        dims: width of the id vectors, and of what features are projected to.
        std: standard deviation of the truncated normal (cut at two) that start values come from.
        batch: triplets per update.
        lr: Adagrad learning rate of the tables of users and items.
        lr_visual: Adagrad learning rate of what is multiplied with features.
        accumulator: start value of Adagrad's sums of squares.
        l2: weight of the squared norms of the rows each triplet reads, and of what is multiplied with features.
        epochs: passes over the training rows.
        warm: epochs of plain matrix factorisation on the ids before (AMR, section 4.1.3); 0 = from scratch.
    """

    extractor: str = ""
    dims: int = 64
    std: float = 0.01
    batch: int = 512
    lr: float = 0.1
    lr_visual: float = 0.02
    accumulator: float = 0.1
    l2: float = 1e-4
    epochs: int = 30
    warm: int = 0

    owner: ClassVar[str] = "vbpr"

    def __post_init__(self) -> None:
        least = {"dims": 1, "batch": 1, "epochs": 0, "warm": 0}
        check_settings(self.owner, self, least, ("std", "lr", "lr_visual", "accumulator"), self.l2)


@dataclass(frozen=True)
class VBPRAMRConfig(VBPRConfig):
    """Settings of `vbpr-amr`; those of `vbpr`."""

    owner: ClassVar[str] = "vbpr-amr"


@dataclass(frozen=True)
class DUIFConfig(VBPRConfig):
    """Settings of `duif`; those of `vbpr`, but for half the epochs, as it learns nothing about single items."""

    epochs: int = 15

    owner: ClassVar[str] = "duif"
