"""Factor models and baselines: `popular`, `random`, `mf`, `puresvd`, `neumf`, `lightgcn`."""

from __future__ import annotations

from recshield.core.hookspecs import hookimpl
from recshield.core.interfaces import Recommender
from recshield_factor.baselines import Popular, Random
from recshield_factor.lightgcn import LightGCN, LightGCNConfig
from recshield_factor.mf import MF, MFConfig
from recshield_factor.neumf import NeuMF, NeuMFConfig
from recshield_factor.puresvd import PureSVD, PureSVDConfig

__all__ = [
    "MF",
    "LightGCN",
    "LightGCNConfig",
    "MFConfig",
    "NeuMF",
    "NeuMFConfig",
    "Popular",
    "PureSVD",
    "PureSVDConfig",
    "Random",
]


@hookimpl
def recshield_recommenders() -> list[type[Recommender]]:
    """Return the models."""
    return [Popular, Random, MF, PureSVD, NeuMF, LightGCN]
