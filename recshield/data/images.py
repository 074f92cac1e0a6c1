"""Images of items: one memory-mapped array of one size, and which of them are there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Images:
    """The images of all items.

    Attributes:
        pixels: (n_items, height, width, 3) uint8 RGB, usually memory-mapped; where an item has no image, the fallback.
        is_there: (n_items,) whether the item has an image of its own.
    """

    pixels: NDArray[np.uint8]
    is_there: NDArray[np.bool_]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[1], self.pixels.shape[2]

    def __deepcopy__(self, memo: object) -> Images:
        """Return the same images: nothing changes them, and a copy would leave the memory map."""
        return self

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, items: Tensor) -> Tensor:
        """Return (len(items), 3, height, width) float32 of [0, 1] on the device of `items`, channels last in memory."""
        held = torch.from_numpy(np.ascontiguousarray(self.pixels[items.cpu().numpy()])).to(items.device)
        return held.permute(0, 3, 1, 2).to(torch.float32).div_(255)
