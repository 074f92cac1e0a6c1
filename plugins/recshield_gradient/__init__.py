"""Gradient attacks and their reference: `noise`, `fgm` (alias `fgsm`), `pgd`."""

from __future__ import annotations

from recshield.core.hookspecs import hookimpl
from recshield.core.interfaces import Attack
from recshield_gradient.ascent import FGM, PGD
from recshield_gradient.noise import Noise

__all__ = ["FGM", "PGD", "Noise"]


@hookimpl
def recshield_attacks() -> list[type[Attack]]:
    """Return the attacks."""
    return [Noise, FGM, PGD]
