"""From published figures to requests: what is asked for, and which of it one matrix can answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recshield.config import MatrixConfig
from recshield.core.errors import RecshieldError
from recshield.core.settings import QUICK_PERCENT
from recshield.evaluation.metrics import MetricAtK
from recshield.matrix.budgets import BudgetRequest
from recshield.matrix.cells import Cell
from recshield.matrix.systems import Overrides, read_overrides, resolve_attack, resolve_system
from recshield.papers.tables import Paper, Row, Side


@dataclass(frozen=True)
class Ask:
    """One figure to be measured, on one data set of recshield.

    Attributes:
        dataset: a name of `recshield datasets`, or a path.
        selection: `fixed`, `validation` or `test`.
        seeds: of training and attack draws; the figure is their mean.
        system: as recshield writes it.
        attack: "" = clean.
        budget: one norm and size, "" = clean.
        goal: of the attack.
        metric: for example `ndcg@100`.
        is_change: the relative change under the attack.
    """

    dataset: str
    selection: str
    seeds: tuple[int, ...]
    system: str
    attack: str
    budget: str
    goal: str
    metric: str
    is_change: bool

    @classmethod
    def of(cls, side: Row | Side, metric: str, dataset: str, selection: str, seeds: Sequence[int]) -> Ask:
        """Return what a row or one side of a claim asks for."""
        named = str(MetricAtK.parse(metric))
        about = (side.system, side.attack, side.budget, side.goal, named, side.change)
        return cls(dataset, selection, tuple(seeds), *about)

    def cell(self, seed: int, overrides: Overrides) -> Cell:
        """Return the cell of the matrix that holds the figure.

        Raises:
            RecshieldError: a name or option that is not installed.
        """
        system = resolve_system(self.system, overrides)
        if not self.attack:
            return Cell(system, seed)
        attack, budget = resolve_attack(self.attack, overrides), BudgetRequest.parse(self.budget)
        target = attack.target or system.default_target()
        return Cell(system, seed, attack, target, budget.norm, budget.sizes[0], self.goal)


@dataclass(frozen=True)
class Batch:
    """Figures that one matrix answers, and its request."""

    asks: tuple[Ask, ...]
    request: MatrixConfig

    @property
    def name(self) -> str:
        """Data set and selection, for people and folders."""
        return f"{self.asks[0].dataset}-{self.asks[0].selection}"


def why_not(ask: Ask, overrides: Overrides) -> str:
    """Return why a figure cannot be asked for (a model is not installed), or ""."""
    try:
        ask.cell(0, overrides)
    except RecshieldError as error:
        return str(error).split("; installed:")[0].split(" installed:")[0].rstrip(";")
    return ""


def batches(asks: Iterable[Ask], paper: Paper, common: Mapping[str, Any], *, is_quick: bool = False) -> list[Batch]:
    """Return the requests that answer all figures; what is attacked at the same sizes shares one.

    Args:
        asks: figures that can be asked for.
        paper: its options go into every request.
        common: options of `recshield matrix` for every request: data_dir, device, threads.
        is_quick: with `QUICK_PERCENT` of the epochs.
    """
    held = list(dict.fromkeys(asks))
    sizes: dict[tuple[Any, ...], set[tuple[str, str]]] = {}
    for ask in held:
        sizes.setdefault(_under(ask), set()).update([(ask.budget, ask.goal)] if ask.attack else [])
    alike: dict[tuple[Any, ...], list[Ask]] = {}
    for ask in held:
        key = (ask.dataset, ask.selection, ask.seeds, tuple(sorted(sizes[_under(ask)])))
        alike.setdefault(key, []).append(ask)
    return [Batch(tuple(one), _request(one, paper, common, is_quick)) for one in alike.values()]


def _under(ask: Ask) -> tuple[Any, ...]:
    return ask.dataset, ask.selection, ask.seeds, ask.system, ask.attack


def _request(asks: Sequence[Ask], paper: Paper, common: Mapping[str, Any], is_quick: bool) -> MatrixConfig:
    first = asks[0]
    systems = list(dict.fromkeys(ask.system for ask in asks))
    # The audit judges the first metric: one that is measured under attack where there is any.
    metrics = [ask.metric for ask in sorted(asks, key=lambda ask: not ask.attack)]
    select = {"fixed": "", "validation": paper.select, "test": f"test:{paper.select}"}[first.selection]
    options = dict(paper.options)
    if is_quick:
        options["controls"] = "none"  # nothing is comparable, so nothing needs a proof
        options["set"] = [*options.get("set", []), *fewer_epochs(systems, read_overrides(options.get("set", [])))]
    asked = {
        "models": systems,
        "attacks": list(dict.fromkeys(ask.attack for ask in asks if ask.attack)),
        "budget": list(dict.fromkeys(ask.budget for ask in asks if ask.budget)),
        "goal": list(dict.fromkeys(ask.goal for ask in asks if ask.attack)),
        "metrics": list(dict.fromkeys(metrics)),
        "dataset": first.dataset,
        "seeds": list(first.seeds),
        "select": select,
    }
    return MatrixConfig.model_validate({**options, **common, **{key: value for key, value in asked.items() if value}})


def fewer_epochs(systems: Iterable[str], overrides: Overrides) -> list[str]:
    """Return `--set` texts that leave every part `QUICK_PERCENT` of its epochs, at least one; typed epochs stay."""
    found: dict[str, int] = {}
    for text in systems:
        system = resolve_system(text, overrides)
        for part in (system.model, *system.defenses):
            if part.option("epochs") is not None:
                fewer = max(1, math.ceil(int(part.option("epochs")) * QUICK_PERCENT / 100))
                found[part.name] = max(found.get(part.name, 0), fewer)
    return [f"{name}.epochs={epochs}" for name, epochs in found.items()]
