"""What a plugin author sees; every name loads when it is first used, so that importing costs nothing."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recshield.core.errors import BadData, BadSpec, BadValue, RecshieldError, UnknownName, UnknownOption
    from recshield.core.factored import Factored, InnerProducts
    from recshield.core.hookspecs import hookimpl
    from recshield.core.interfaces import (
        Access,
        Attack,
        Batch,
        Defense,
        Goal,
        Objective,
        Recommender,
        System,
        Victim,
    )
    from recshield.core.surfaces import CLEAN, Budget, Delta, Stage, Surface, View

_HOMES = {
    "errors": ("BadData", "BadSpec", "BadValue", "RecshieldError", "UnknownName", "UnknownOption"),
    "factored": ("Factored", "InnerProducts"),
    "hookspecs": ("hookimpl",),
    "interfaces": ("Access", "Attack", "Batch", "Defense", "Goal", "Objective", "Recommender", "System", "Victim"),
    "surfaces": ("CLEAN", "Budget", "Delta", "Stage", "Surface", "View"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "CLEAN",
    "Access",
    "Attack",
    "BadData",
    "BadSpec",
    "BadValue",
    "Batch",
    "Budget",
    "Defense",
    "Delta",
    "Factored",
    "Goal",
    "InnerProducts",
    "Objective",
    "Recommender",
    "RecshieldError",
    "Stage",
    "Surface",
    "System",
    "UnknownName",
    "UnknownOption",
    "Victim",
    "View",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'recshield.core' has no attribute '{name}'")
    return getattr(importlib.import_module(f"recshield.core.{_HOME_OF[name]}"), name)
