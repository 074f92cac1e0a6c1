"""A saved run read for a report: its cells gathered over seeds and folds, its figures as values per user."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recshield.core.errors import BadData
from recshield.core.registry import registry
from recshield.evaluation.metrics import written
from recshield.evaluation.stats import interval, relative_intervals
from recshield.matrix.results import Results
from recshield.report.asked import Asked, Place, gathered
from recshield.report.content import Estimate

Values = NDArray[np.float64]
#: Cells whose intervals are made at once; bounds memory.
_BATCH = 64

#: The worst first.
VERDICTS = ("fail", "unproven", "not run", "warn", "pass", "")


def badness(word: str) -> int:
    """Return the place of a verdict among `VERDICTS`, the worst at 0; an unknown word counts as the worst."""
    return VERDICTS.index(word) if word in VERDICTS else 0


def worst(words: Iterable[str]) -> str:
    """Return the worst of some verdicts, "" of none."""
    return min(words, key=badness, default="")


def _key(cells: tuple[Mapping[str, Any], ...], metric: str) -> tuple[Any, ...]:
    return (tuple(str(facts["cell"]) for facts in cells), metric)


def _means(before: Values, after: Values) -> tuple[float, float]:
    """Return the means over the users that count, NaN where none does."""
    counts = ~np.isnan(before).any(axis=0)
    return (float(before[:, counts].mean()), float(after[:, counts].mean())) if counts.any() else (math.nan, math.nan)


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
        return [facts for facts in self._all if not facts["is_control"]]

    @cached_property
    def _controls(self) -> list[dict[str, Any]]:
        return [facts for facts in self._all if facts["is_control"]]

    @cached_property
    def _all(self) -> list[dict[str, Any]]:
        held = (self.results.facts(str(cell)) for cell in self.results.steps["cell"])
        return [facts for facts in held if facts is not None]

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
        return gathered(self.facts)

    @cached_property
    def beside(self) -> tuple[Asked, ...]:
        """The attacked cells that stand in the run for the audit alone."""
        return gathered(self._controls)

    @cached_property
    def attacks(self) -> tuple[str, ...]:
        """Attacks that were asked for, in order."""
        return tuple(dict.fromkeys(one.attack for one in self.asked))

    @cached_property
    def differing(self) -> frozenset[str]:
        """Which of `surface`, `goal` and `stage` the attacked cells have several of."""
        kinds = ("surface", "goal", "stage")
        return frozenset(kind for kind in kinds if len({getattr(asked, kind) for asked in self.asked}) > 1)

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
        """Return the system without the defenses of this one, where the run has it, be it for the audit alone."""
        own = next(facts for facts in self._all if facts["system"] == system)
        if own["defense"] == "none":
            return None
        alike = (f for f in (*self.facts, *self._controls) if f["defense"] == "none" and f["model"] == own["model"])
        return next((str(facts["system"]) for facts in alike if facts["attack"] == "none"), None)

    def twin(self, asked: Asked) -> Asked | None:
        """Return the same attack at the same place on the system without its defenses, controls included."""
        base = self.base(asked.system)
        alike = (one for one in (*self.asked, *self.beside) if one.system == base and one.at == asked.at)
        return next((one for one in alike if base and one.attack == asked.attack), None)

    def noise(self, system: str, at: Place) -> Asked | None:
        """Return random noise on a system at a place, controls included."""
        alike = (one for one in (*self.asked, *self.beside) if one.system == system and one.at == at)
        return next((one for one in alike if one.is_noise), None)

    def clean_cells(self, system: str) -> tuple[Mapping[str, Any], ...]:
        """Return the facts of a system's clean cells; controls where it was not asked for."""
        clean = [facts for facts in self._all if facts["attack"] == "none" and facts["system"] == system]
        return tuple([facts for facts in clean if not facts["is_control"]] or clean)

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
        wanted = _key(cells, metric)
        if wanted not in self._estimates:
            if cells[0]["attack"] == "none":
                self._estimates[wanted] = self._clean(cells, metric)
            else:
                self._fill([cells, *(asked.cells for asked in self.asked)], metric)
        return self._estimates[wanted]

    def _fill(self, many: Sequence[tuple[Mapping[str, Any], ...]], metric: str) -> None:
        """Estimate several attacked cells at once: they share the resamples of the users."""
        new = {_key(cells, metric): cells for cells in many if _key(cells, metric) not in self._estimates}
        held = list(new.items())
        for start in range(0, len(held), _BATCH):
            part = held[start : start + _BATCH]
            pairs = [self._pair(cells, metric) for _, cells in part] if self.has_values(metric) else []
            spans = relative_intervals(pairs)
            for place, (key, cells) in enumerate(part):
                ends = (spans[place].low, spans[place].high) if spans else (math.nan, math.nan)
                means = _means(*pairs[place]) if pairs else self._shown(cells, metric)
                change = means[1] / means[0] - 1 if means[0] else math.nan
                n_users = spans[place].n_users if spans else self._n_users(cells, metric)
                n_seeds = len(pairs[place][0]) if pairs else len({facts["seed"] for facts in cells})
                self._estimates[key] = Estimate(metric, *means, change, *ends, n_users, n_seeds)

    def _pair(self, cells: tuple[Mapping[str, Any], ...], metric: str) -> tuple[Values, Values]:
        """Return clean and attacked values; a user who does not count in one of them counts in neither."""
        before, after = self.values(cells, metric, "clean_cell"), self.values(cells, metric)
        counts = ~(np.isnan(after).any(axis=0) | np.isnan(before).any(axis=0))
        return np.where(counts, before, np.nan), np.where(counts, after, np.nan)

    def _clean(self, cells: tuple[Mapping[str, Any], ...], metric: str) -> Estimate:
        if self.has_values(metric):
            own = interval(self.values(cells, metric))
            return Estimate(metric, own.mean, math.nan, math.nan, own.low, own.high, own.n_users, own.n_seeds)
        clean, n_users = self._shown(cells, metric)[0], self._n_users(cells, metric)
        n_seeds = len({facts["seed"] for facts in cells})
        return Estimate(metric, clean, math.nan, math.nan, math.nan, math.nan, n_users, n_seeds)

    def _n_users(self, cells: tuple[Mapping[str, Any], ...], metric: str) -> int:
        return int(self._by_metric[metric].loc[[str(facts["cell"]) for facts in cells], "n_users"].iloc[0])

    def loss(self, asked: Asked) -> float:
        """Return the share of the main metric that an attack takes; NaN where there was nothing to take."""
        change = self.estimate(asked.cells).change
        return change if self.main in self.lower_is_better else -change
