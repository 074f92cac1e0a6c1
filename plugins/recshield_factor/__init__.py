"""Factor models and baselines: `popular`, `random`, `mf`."""

from __future__ import annotations

from recshield.core.hookspecs import hookimpl
from recshield.core.interfaces import Recommender
from recshield_factor.baselines import Popular, Random
from recshield_factor.mf import MF, MFConfig

__all__ = ["MF", "MFConfig", "Popular", "Random"]


@hookimpl
def recshield_recommenders() -> list[type[Recommender]]:
    """Return the models."""
    return [Popular, Random, MF]
