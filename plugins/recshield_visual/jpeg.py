"""JPEG compression of the images before the extractor sees them: a filter that the attack sees through."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from recshield.core.errors import BadValue
from recshield.core.interfaces import Defense, Recommender
from recshield_visual.filtering import Filtered

#: How colour is sampled, by the name that JPEG has for it.
CHROMA = ("4:2:0", "4:2:2", "4:4:4")


class _Compressed(torch.autograd.Function):
    """Compression and decompression; the gradient is that of the identity."""

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, quality: int, chroma: str) -> Tensor:  # noqa: ARG004 (torch calls it with a context)
        """Return the pixels after a round trip through JPEG."""
        whole = (pixels.detach() * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        found = np.stack([_round_trip(one, quality, chroma) for one in whole]) if len(whole) else whole
        return torch.from_numpy(found).to(pixels.device).permute(0, 3, 1, 2).to(pixels.dtype).div(255)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # noqa: ARG004 (torch calls it with a context)
        """Return the gradient as it is (straight-through, Athalye et al. 2018, section 4.1.1)."""
        return gradients[0], None, None


def _round_trip(pixels: np.ndarray[Any, np.dtype[np.uint8]], quality: int, chroma: str) -> np.ndarray[Any, Any]:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "JPEG", quality=quality, subsampling=chroma)
    held.seek(0)
    with Image.open(held, formats=("JPEG",)) as image:
        return np.asarray(image.convert("RGB"))


@dataclass(frozen=True)
class JPEG(Defense):
    """Compress every image as JPEG when serving, clean and attacked ones alike; no training.

    Pixels are rounded to 8 bits, encoded and decoded with Pillow. The gradient passes straight through, so that an
    attack on the defended system sees through it (backward pass differentiable approximation).

    Attributes:
        quality: of the encoder, 1 to 95.
        chroma: how colour is sampled: `4:2:0` (a quarter of it, what most encoders do), `4:2:2` or `4:4:4` (all of it).

    Source: Das et al. 2017, arXiv:1705.02900; Athalye et al. 2018, arXiv:1802.00420, for the gradient.
    """

    quality: int = 75
    chroma: str = "4:2:0"

    name = "jpeg"
    default_target = "item_images"

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 95:
            raise BadValue(f"defense 'jpeg': quality is {self.quality}; it is at least 1 and at most 95")
        if self.chroma not in CHROMA:
            raise BadValue(f"defense 'jpeg': chroma '{self.chroma}' is not known; allowed: {', '.join(CHROMA)}")

    def filter(self, pixels: Tensor) -> Tensor:
        """Return (B, 3, height, width) pixels of [0, 1] after compression; the gradient is that of the identity."""
        compressed: Tensor = _Compressed.apply(pixels, self.quality, self.chroma)
        return compressed

    def serve(self, model: Recommender) -> Recommender:
        """Return the model behind the filter."""
        return Filtered(model, self.name, self.filter)
