"""Gradient attacks and their reference: `noise`, `fgm` (alias `fgsm`), `bim`, `mim`, `pgd`, `apgd`, `auto`, `msap`."""

from __future__ import annotations

from recshield.core.hookspecs import hookimpl
from recshield.core.interfaces import Attack
from recshield_gradient.ascent import BIM, FGM, MIM, PGD
from recshield_gradient.auto import APGD, Auto
from recshield_gradient.msap import MSAP
from recshield_gradient.noise import Noise

__all__ = ["APGD", "BIM", "FGM", "MIM", "MSAP", "PGD", "Auto", "Noise"]


@hookimpl
def recshield_attacks() -> list[type[Attack]]:
    """Return the attacks."""
    return [Noise, FGM, BIM, MIM, PGD, APGD, Auto, MSAP]
