"""Every comparison that a run is read for, tested over users and corrected for their number."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recshield.core.settings import CONFIDENCE, LEAST_USERS
from recshield.evaluation.stats import Interval, benjamini_hochberg, holm, intervals, paired
from recshield.matrix.grouping import SAME, Pool, clean_of, pools
from recshield.matrix.results import Results

#: Kinds of comparison. attack: under attack against clean. defense: the defended system against the undefended one
#: under the same attack. systems: two systems, clean.
KINDS = ("attack", "defense", "systems")
HIGHER, LOWER, ALIKE = "higher", "lower", "no difference"

#: Columns of `matrix_tests`.
TEST_COLUMNS = (
    "kind", "fold", "a", "b", "system_a", "system_b", "attack", "surface", "goal", "stage", "norm", "eps_text",
    "n_seeds", "n_users", "mean_a", "mean_b", "difference", "low", "high", "t", "p_t", "w", "p_w", "d_z",
    "rank_biserial", "p_holm", "p_bh", "verdict", "verdict_uncorrected", "verdict_bh", "seed_verdicts", "flips",
    "cells_a", "cells_b",
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """Two figures to compare: b against a."""

    kind: str
    a: Pool
    b: Pool

    @property
    def seeds(self) -> list[int]:
        """Seeds that both have."""
        return [seed for seed in self.a.cells if seed in self.b.cells]


def matrix_tests(results: Results, metric: str = "", alpha: float = 1 - CONFIDENCE) -> pd.DataFrame:
    """Return the tests of every pair of interest, b against a, corrected over the whole table.

    Pooled over seeds, each user counts once, with the mean over seeds: users are what is sampled. `verdict` is
    `higher` or `lower` (b is) where the t-test survives Holm's correction and the interval over users and seeds leaves
    out zero, else `no difference`. `seed_verdicts` are those of each seed alone, corrected alike; `flips` where they
    are not all the same.

    Args:
        results: of a run; controls stand in only as undefended twins.
        metric: "" = the main one.
        alpha: chance of any false finding in the table.

    Returns:
        One row per pair, columns `TEST_COLUMNS`; p-values are two-sided.
    """
    name = f"tests {metric or results.metrics[0]} {alpha}"
    if name not in results.derived:
        results.derived[name] = _tested(list(_pairs(results)), results, metric, alpha)
    return results.derived[name]


def _pairs(results: Results) -> Iterator[Pair]:
    """Yield what a reader compares."""
    main, every = pools(results, is_control=False), pools(results)
    attacked = [pool for pool in main.values() if not pool.is_clean]
    for pool in attacked:
        yield Pair("attack", clean_of(pool, results), pool)
    for pool in attacked:
        twin = _twin(pool, every)
        if twin is not None:
            yield Pair("defense", twin, pool)
    clean = [pool for pool in main.values() if pool.is_clean]
    for one, other in itertools.combinations(clean, 2):
        if one.facts["fold"] == other.facts["fold"]:
            yield Pair("systems", one, other)


def _twin(pool: Pool, every: dict[Any, Pool]) -> Pool | None:
    """Return the same attack on the undefended system, or None."""
    if pool.facts["defense"] == "none":
        return None
    same = [place for place, name in enumerate(SAME) if name != "defense"]
    for other in every.values():
        if other.facts["defense"] == "none" and all(other.key[place] == pool.key[place] for place in same):
            return other
    return None


def _tested(pairs: list[Pair], results: Results, metric: str, alpha: float) -> pd.DataFrame:
    pairs = [pair for pair in pairs if pair.seeds]
    tables = [
        (pair.a.values(results, metric, pair.seeds), pair.b.values(results, metric, pair.seeds)) for pair in pairs
    ]
    spans = intervals([b - a for a, b in tables], 1 - alpha)
    rows = [_row(pair, *table, span) for pair, table, span in zip(pairs, tables, spans, strict=True)]
    found = pd.DataFrame(rows, columns=list(TEST_COLUMNS))
    found["p_holm"], found["p_bh"] = holm(found["p_t"].to_numpy()), benjamini_hochberg(found["p_t"].to_numpy())
    for column, p_value in (("verdict_uncorrected", "p_t"), ("verdict", "p_holm"), ("verdict_bh", "p_bh")):
        found[column] = [
            _word(row["difference"], row[p_value], row["n_users"], alpha, row["low"], row["high"])
            for row in found.to_dict("records")
        ]
    by_seed = _by_seed(pairs, tables, alpha)
    found["seed_verdicts"] = [json.dumps(held) for held in by_seed]
    found["flips"] = [len(set(held.values())) > 1 for held in by_seed]
    return found


def _row(pair: Pair, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], span: Interval) -> dict[str, Any]:
    tested = paired(_over_seeds(a), _over_seeds(b))
    told = pair.b.facts
    return {
        "kind": pair.kind, "fold": told["fold"], "a": pair.a.name, "b": pair.b.name,
        "system_a": pair.a.facts["system"], "system_b": told["system"], "attack": told["attack"],
        "surface": told["surface"], "goal": told["goal"], "stage": told["stage"], "norm": told["norm"],
        "eps_text": told["eps_text"], "n_seeds": len(a), "n_users": tested.n,
        "mean_a": float(np.nanmean(a)), "mean_b": float(np.nanmean(b)), "difference": tested.difference,
        "low": span.low, "high": span.high, "t": tested.t, "p_t": tested.p_t, "w": tested.w, "p_w": tested.p_w,
        "d_z": tested.d_z, "rank_biserial": tested.rank_biserial,
        "cells_a": json.dumps([pair.a.cells[seed] for seed in pair.seeds]),
        "cells_b": json.dumps([pair.b.cells[seed] for seed in pair.seeds]),
    }  # fmt: skip


def _over_seeds(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return each user's mean over seeds; a user counts in all seeds or in none."""
    means: np.ndarray[Any, Any] = values.mean(axis=0)
    return means


def _word(difference: float, p_value: float, n_users: int, alpha: float, low: float, high: float) -> str:
    if not p_value < alpha or n_users < LEAST_USERS:
        return ALIKE
    if difference > 0:
        return HIGHER if low > 0 else ALIKE
    return LOWER if high < 0 else ALIKE


def _by_seed(
    pairs: list[Pair], tables: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]], alpha: float
) -> list[dict[int, str]]:
    """Return per pair seed -> verdict of that seed alone, corrected over the pairs that have it."""
    seeds = sorted({seed for pair in pairs for seed in pair.seeds})
    found: list[dict[int, str]] = [{} for _ in pairs]
    if len(seeds) < 2:
        return found
    for seed in seeds:
        having = [place for place, pair in enumerate(pairs) if seed in pair.seeds]
        tested = []
        for place in having:
            row = pairs[place].seeds.index(seed)
            a, b = tables[place]
            tested.append(paired(a[row], b[row]))
        for place, one, p_value in zip(having, tested, holm([one.p_t for one in tested]), strict=True):
            found[place][seed] = _word(one.difference, p_value, one.n, alpha, one.difference, one.difference)
    return found


def flipping(results: Results) -> list[dict[str, Any]]:
    """Return the rows of `matrix_tests` on the main metric whose verdict differs between seeds."""
    found = matrix_tests(results)
    return [{str(key): value for key, value in row.items()} for row in found[found["flips"]].to_dict("records")]
