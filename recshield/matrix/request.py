"""What to cross, with every name resolved; how something is selected, and weights that are taken over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recshield.core import settings
from recshield.core.errors import BadValue
from recshield.data.catalogue import DataSource
from recshield.evaluation.ranking import NOTHING, Extras
from recshield.matrix.budgets import BudgetRequest
from recshield.matrix.systems import Overrides, Part, ResolvedSystem


@dataclass(frozen=True)
class Selection:
    """How epochs and choices are selected.

    Attributes:
        metric: the highest value wins, for example `ndcg@100`.
        rows: `validation` (a row cut from each user's training rows), or `test` (for reproductions; flagged).
        every: epochs between two looks.
        patience: looks without a better value after which training stops.
    """

    metric: str
    rows: str = "validation"
    every: int = settings.SELECT_EVERY
    patience: int = settings.SELECT_PATIENCE

    def __post_init__(self) -> None:
        if self.every < 1 or self.patience < 1:
            raise BadValue(f"every {self.every} and patience {self.patience} are whole numbers of at least 1")


@dataclass(frozen=True)
class Import:
    """Weights that were trained before and saved.

    Attributes:
        file: safetensors.
        digest: SHA-256 of the file.
        facts: what the train step noted.
    """

    file: str
    digest: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """What to cross, with every name resolved."""

    systems: tuple[ResolvedSystem, ...]
    attacks: tuple[Part, ...]
    source: DataSource
    budgets: tuple[BudgetRequest, ...]
    goals: tuple[str, ...] = (settings.GOAL,)
    seeds: tuple[int, ...] = settings.SEEDS
    data_seed: int = settings.DATA_SEED
    device: str = "cpu"
    threads: int = settings.THREADS
    overrides: Overrides = field(default_factory=dict)
    has_controls: bool = True
    selection: Selection | None = None
    curve: int = 0  # epochs between two looks at the test rows, 0 = none
    curve_metrics: tuple[str, ...] = ()
    imports: Mapping[str, Import] = field(default_factory=dict)  # identity of a training -> its weights
    extras: Extras = NOTHING
    stages: tuple[str, ...] = (settings.STAGE,)
    is_full: bool = False  # plan the cells of a full audit
