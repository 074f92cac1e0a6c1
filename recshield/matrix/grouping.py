"""The cells of a run with their seeds together: what is one figure to a reader is several cells in the files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recshield.core.settings import EQUAL_NORM_TOLERANCE, GOAL
from recshield.matrix.results import Results

#: What cells that differ in nothing but their seed have in common; a control may spell its system otherwise.
SAME = ("fold", "model", "defense", "attack", "surface", "goal", "stage", "norm", "eps_text")
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Pool:
    """The cells of one figure, a cell per seed.

    Attributes:
        key: values of `SAME`.
        cells: seed -> key of the cell.
        facts: of the first seed; what `SAME` names is the same in all.
    """

    key: Key
    cells: Mapping[int, str]
    facts: Mapping[str, Any]

    @property
    def is_clean(self) -> bool:
        """Whether nothing attacks."""
        return bool(self.facts["attack"] == "none")

    @property
    def name(self) -> str:
        """What a person calls it."""
        return described(self.facts)

    def values(self, results: Results, metric: str = "", seeds: Iterable[int] = ()) -> NDArray[np.float64]:
        """Return (n_seeds, n_users) values, of all seeds or of the given ones."""
        return np.stack([results.values(self.cells[seed], metric) for seed in seeds or self.cells])

    def ranks(self, results: Results, seeds: Iterable[int] = ()) -> NDArray[np.float64]:
        """Return (n_seeds, n_users) ranks of each user's first test item, 0 = first."""
        return self.values(results, "rank", seeds)


def described(facts: Mapping[str, Any]) -> str:
    """Return what a person calls a cell, but for its seed."""
    fold = f", fold {facts['fold']}" if facts["fold"] else ""
    if facts["attack"] == "none":
        return f"{facts['system']} clean{fold}"
    goal = "" if facts["goal"] == GOAL else f", {facts['goal']},"
    return f"{facts['system']} under {facts['attack']}{goal} at {facts['norm']} {facts['eps_text']}{fold}"


def is_within_budget(facts: Mapping[str, Any]) -> bool:
    """Return whether an attack spent what its row says; published variants that are not projected may not."""
    spent = float(facts.get("measured_norm", 0.0))
    return not spent > float(facts["eps"]) * (1 + EQUAL_NORM_TOLERANCE)


def pools(results: Results, is_control: bool | None = None) -> dict[Key, Pool]:
    """Return the cells of a run by figure, clean ones included.

    Args:
        results: of a run.
        is_control: only controls, or only what was asked for; None = all.
    """
    results.facts("")
    held: dict[Key, dict[int, str]] = {}
    first: dict[Key, Mapping[str, Any]] = {}
    for cell in results.steps["cell"]:
        facts = results.facts(str(cell))
        assert facts is not None
        if is_control is not None and bool(facts["is_control"]) != is_control:
            continue
        key = tuple(facts[name] for name in SAME)
        held.setdefault(key, {})[int(facts["seed"])] = str(cell)
        first.setdefault(key, facts)
    return {key: Pool(key, dict(sorted(cells.items())), first[key]) for key, cells in held.items()}


def clean_of(pool: Pool, results: Results) -> Pool:
    """Return the clean figure of the same system."""
    cells, first = {}, None
    for seed, cell in pool.cells.items():
        facts = results.facts(cell)
        clean = results.facts(facts["clean_cell"]) if facts else None
        if clean is not None:
            cells[seed] = str(clean["cell"])
            first = first or clean
    assert first is not None, "a run holds the clean cell of every attacked one"
    return Pool(tuple(first[name] for name in SAME), cells, first)
