"""A saved run read for a report: its cells gathered over seeds and folds, its figures as values per user."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from recshield.core.errors import BadData
from recshield.core.registry import registry
from recshield.evaluation.metrics import written
from recshield.matrix.results import Results
from recshield.report.content import Estimate
from recshield.report.figures_of import Values, interval, relative_interval

#: The worst first.
VERDICTS = ("fail", "unproven", "not run", "warn", "pass", "")
#: Name of the attack that every other one is held against.
NOISE = "noise"


def badness(word: str) -> int:
    """Return the place of a verdict among `VERDICTS`, the worst at 0; an unknown word counts as the worst."""
    return VERDICTS.index(word) if word in VERDICTS else 0


def worst(words: Iterable[str]) -> str:
    """Return the worst of some verdicts, "" of none."""
    return min(words, key=badness, default="")


@dataclass(frozen=True)
class Asked:
    """One attacked cell as it was asked for, over every seed and fold.

    Attributes:
        system: model and defenses as typed.
        attack: as typed.
        surface: that is perturbed.
        goal: of the attacker.
        stage: when the attacker acts.
        norm: of the budget.
        eps: as asked for.
        cells: one row of facts per seed and fold.
    """

    system: str
    attack: str
    surface: str
    goal: str
    stage: str
    norm: str
    eps: str
    cells: tuple[Mapping[str, Any], ...] = field(compare=False, repr=False)

    @property
    def first(self) -> Mapping[str, Any]:
        """The facts of the first seed."""
        return self.cells[0]

    @property
    def size(self) -> float:
        """Eps in raw units, the mean over seeds."""
        return float(np.mean([facts["eps"] for facts in self.cells]))

    @property
    def relative_size(self) -> float:
        """Eps over the mean clean norm of the attacked rows, the mean over seeds."""
        return float(np.mean([facts.get("relative_eps", math.nan) for facts in self.cells]))

    @property
    def is_noise(self) -> bool:
        """Whether it is the reference without any aim."""
        return str(self.first.get("attack_name", self.attack)) == NOISE

    @property
    def is_ensemble(self) -> bool:
        """Whether it is each user's worst over several attacks."""
        return bool(self.first["members"])

    @property
    def overspends(self) -> float:
        """How many times its budget it spent, where it was not held to it; else 0."""
        if bool(self.first.get("is_projected", True)):
            return 0.0
        spent = max(float(facts["measured_norm"]) for facts in self.cells)
        return spent / self.size if self.size else 0.0

    @property
    def at(self) -> tuple[str, str, str, str, str]:
        """What cells must share to be compared: surface, goal, stage, norm and eps."""
        return (self.surface, self.goal, self.stage, self.norm, self.eps)

    @property
    def budget(self) -> str:
        """The budget as a person writes it."""
        return f"{self.norm} {self.eps}"


def _asked(key: tuple[str, ...], cells: tuple[Mapping[str, Any], ...]) -> Asked:
    system, attack, surface, goal, stage, norm, eps = key
    return Asked(system, attack, surface, goal, stage, norm, eps, cells)


class Reading:
    """One run, as sections read it.

    Args:
        name: where it lies, as typed.
        results: its tables.
        verdicts: one row per cell and check.
        manifest: what was asked for.

    Raises:
        BadData: it holds no figure.
    """

    def __init__(self, name: str, results: Results, verdicts: pd.DataFrame, manifest: Mapping[str, Any]) -> None:
        if results.table.empty or results.steps.empty:
            raise BadData.at(name, None, "the run holds no figure", "run the matrix again")
        self.name, self.results, self.verdicts, self.manifest = name, results, verdicts, manifest
        self.request: Mapping[str, Any] = manifest.get("request", {})
        self._estimates: dict[tuple[Any, ...], Estimate] = {}
        self._values: dict[tuple[Any, ...], Values] = {}

    @cached_property
    def facts(self) -> list[dict[str, Any]]:
        """Facts of every cell that was asked for, clean ones included."""
        held = [self.results.facts(cell) for cell in self.results.steps["cell"]]
        return [facts for facts in held if facts is not None and not facts["is_control"]]

    @cached_property
    def dataset(self) -> str:
        """Name of the data."""
        return str(self.results.table["dataset"].iloc[0])

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Metrics as a person writes them, the main one first."""
        return tuple(str(metric) for metric in self.results.metrics)

    @property
    def main(self) -> str:
        """The main metric."""
        return self.metrics[0]

    @cached_property
    def lower_is_better(self) -> tuple[str, ...]:
        """Metrics whose rise is a loss."""
        held = registry().found["metric"]
        names = {metric: metric.partition("/")[0].partition("@")[0] for metric in self.metrics}
        return tuple(one for one, name in names.items() if not getattr(held.get(name), "is_higher_better", True))

    @cached_property
    def systems(self) -> tuple[str, ...]:
        """Systems that were asked for, in order."""
        return tuple(dict.fromkeys(str(facts["system"]) for facts in self.facts if facts["attack"] == "none"))

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of training and attack draws."""
        return tuple(sorted({int(facts["seed"]) for facts in self.facts}))

    @cached_property
    def asked(self) -> tuple[Asked, ...]:
        """The attacked cells that were asked for, over seeds and folds."""
        grouped: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for facts in self.facts:
            if facts["attack"] != "none":
                keys = ("system", "attack", "surface", "goal", "stage", "norm", "eps_text")
                grouped.setdefault(tuple(str(facts[key]) for key in keys), []).append(facts)
        return tuple(_asked(key, tuple(held)) for key, held in grouped.items())

    @cached_property
    def attacks(self) -> tuple[str, ...]:
        """Attacks that were asked for, in order."""
        return tuple(dict.fromkeys(one.attack for one in self.asked))

    @cached_property
    def found(self) -> dict[str, list[dict[str, Any]]]:
        """Cell -> what the checks found."""
        held: dict[str, list[dict[str, Any]]] = {}
        for row in self.verdicts.to_dict("records"):
            held.setdefault(str(row["cell"]), []).append({str(key): value for key, value in row.items()})
        return held

    @cached_property
    def words(self) -> dict[str, str]:
        """Cell -> its verdict."""
        table = self.results.table
        return {str(cell): str(word) for cell, word in zip(table["cell"], table["verdict"], strict=True)}

    def verdict(self, asked: Asked) -> str:
        """Return the worst verdict over its seeds."""
        return worst(self.words.get(str(facts["cell"]), "") for facts in asked.cells)

    def is_flipping(self, asked: Asked) -> bool:
        """Return whether seeds disagree on its verdict."""
        return len({self.words.get(str(facts["cell"]), "") for facts in asked.cells}) > 1

    def base(self, system: str) -> str | None:
        """Return the system without the defenses of this one, where it was asked for."""
        own = next(facts for facts in self.facts if facts["system"] == system)
        if own["defense"] == "none":
            return None
        alike = (f for f in self.facts if f["defense"] == "none" and f["model"] == own["model"])
        return next((str(facts["system"]) for facts in alike), None)

    def clean_cells(self, system: str) -> tuple[Mapping[str, Any], ...]:
        """Return the facts of a system's clean cells."""
        return tuple(facts for facts in self.facts if facts["attack"] == "none" and facts["system"] == system)

    def has_values(self, metric: str) -> bool:
        """Return whether the run keeps a metric's value of every user."""
        return metric == "rank" or (metric not in self.results.aggregates and metric in self.results.per_user.columns)

    def values(self, cells: tuple[Mapping[str, Any], ...], metric: str, key: str = "cell") -> Values:
        """Return (n_seeds, n_users) values, folds one after the other; `key` "clean_cell" = the same without attack.

        Seeds that lack a fold are left out; users that the metric does not count are NaN.
        """
        wanted = (tuple(str(facts[key]) for facts in cells), metric)
        if wanted not in self._values:
            by_seed: dict[int, list[Values]] = {}
            for facts in sorted(cells, key=lambda one: (one["seed"], one["fold"])):
                by_seed.setdefault(int(facts["seed"]), []).append(self.results.values(str(facts[key]), metric))
            rows = [np.concatenate(held) for held in by_seed.values()]
            longest = max(len(row) for row in rows)
            self._values[wanted] = np.stack([row for row in rows if len(row) == longest])
        return self._values[wanted]

    def _shown(self, cells: tuple[Mapping[str, Any], ...], metric: str) -> tuple[float, float]:
        """Return the clean and the attacked figure of the results table, means over seeds and folds."""
        table = self._by_metric[metric]
        rows = table.loc[[str(facts["cell"]) for facts in cells]]
        return float(rows["clean"].mean()), float(rows["attacked"].mean())

    @cached_property
    def _by_metric(self) -> dict[str, pd.DataFrame]:
        table = self.results.table
        names = [written(str(name), int(k)) for name, k in zip(table["metric"], table["k"], strict=True)]
        return {str(name): held.set_index("cell") for name, held in table.groupby(pd.Series(names, table.index))}

    def estimate(self, cells: tuple[Mapping[str, Any], ...], metric: str = "") -> Estimate:
        """Return what an attack does to a metric, or a clean system's figure, with an interval where values allow."""
        metric = metric or self.main
        wanted = (tuple(str(facts["cell"]) for facts in cells), metric)
        if wanted not in self._estimates:
            self._estimates[wanted] = self._estimate(cells, metric)
        return self._estimates[wanted]

    def _estimate(self, cells: tuple[Mapping[str, Any], ...], metric: str) -> Estimate:
        is_clean = cells[0]["attack"] == "none"
        n_seeds = len({facts["seed"] for facts in cells})
        clean, attacked = self._shown(cells, metric)
        n_users = int(self._by_metric[metric].loc[[str(facts["cell"]) for facts in cells], "n_users"].iloc[0])
        if not self.has_values(metric):
            change = attacked / clean - 1 if clean else math.nan
            return Estimate(metric, clean, attacked, change, math.nan, math.nan, n_users, n_seeds)
        after, before = self.values(cells, metric), self.values(cells, metric, "clean_cell")
        counts = ~(np.isnan(after).any(axis=0) | np.isnan(before).any(axis=0))
        if not counts.any():
            return Estimate(metric, clean, attacked, math.nan, math.nan, math.nan, 0, n_seeds)
        after, before = after[:, counts], before[:, counts]
        if is_clean:
            own = interval(before)
            return Estimate(metric, own.mean, math.nan, math.nan, own.low, own.high, own.n_users, own.n_seeds)
        held = relative_interval(before, after)
        means = float(before.mean()), float(after.mean())
        return Estimate(metric, *means, held.mean, held.low, held.high, held.n_users, held.n_seeds)

    def loss(self, asked: Asked) -> float:
        """Return the share of the main metric that an attack takes; NaN where there was nothing to take."""
        change = self.estimate(asked.cells).change
        return change if self.main in self.lower_is_better else -change
