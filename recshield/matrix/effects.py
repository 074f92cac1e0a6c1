"""What an attack does, beyond the mean of one metric: who falls how far, who is hurt, what lists and groups lose."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recshield.evaluation.background import ACTIVITY
from recshield.evaluation.effect import relative_change
from recshield.evaluation.metrics import MetricAtK, written
from recshield.evaluation.stats import Interval, relative_intervals, seed_means, spread
from recshield.matrix.grouping import Pool, clean_of, is_within_budget, pools
from recshield.matrix.results import Results

Values = NDArray[np.float64]

#: Columns of `effects` with what they mean; one row per attacked figure, its seeds together.
EFFECT_COLUMNS = {
    "system": "as typed",
    "attack": "as typed",
    "surface": "that is perturbed",
    "goal": "of the attack",
    "norm": "of the budget",
    "eps_text": "eps as asked for",
    "fold": "of the split",
    "n_seeds": "seeds that are pooled",
    "n_users": "users",
    "metric": "main metric",
    "clean": "mean over users and seeds, clean",
    "attacked": "the same under attack",
    "relative_change": "attacked over clean, minus 1",
    "low": "lower end of its 95 % interval over users and seeds",
    "high": "upper end",
    "seed_std": "standard deviation of the relative change over seeds, NaN for one",
    "rank_q25": "first quartile of the places that the user's best test item loses (negative: gains)",
    "rank_median": "median of them",
    "rank_q75": "third quartile of them",
    "down_10": "share of users whose test item falls by more than 10 places",
    "down_100": "share whose test item falls by more than 100 places",
    "harmed": "share of users whose test item leaves the top K",
    "helped": "share whose test item enters it",
    "harmed_of_hits": "the harmed as a share of those who had it in the top K",
    "worst_case": "relative change of each user's worst over the attacks that were asked for and kept to this budget",
    "n_attacks": "how many those are",
    "score_shift": "prediction shift: mean change of the test items' scores, in units of the model",
    "score_shift_scaled": "the same over the standard deviation of their clean scores",
    "overlap": "mean share of the clean list that stays in the attacked one; NaN where no lists are kept",
    **{f"change_{group}": f"relative change of the {group} third of the users" for group in ACTIVITY},
    "activity_gap": "largest minus smallest of these three",
    "change_head": "relative change of users whose test items are of the short head",
    "change_tail": "relative change of users whose test items are of the long tail",
    "popularity_gap": "larger minus smaller of these two",
    "cells": "keys of the cells, a seed each (JSON)",
}

#: What a row of `worst_case` and its figure have in common.
_ROW = ("model", "defense", "surface", "goal", "stage", "norm", "eps_text", "fold")
_FAR = (10, 100)


def effects(results: Results) -> pd.DataFrame:
    """Return what every attack that was asked for does to the main metric, to ranks, lists, users and groups.

    Users and seeds are pooled: a share is one of all (user, seed). Where a user has several test items, the rank is
    that of the best one. What a run does not hold (lists, scores, groups in runs of earlier versions) is NaN.

    Returns:
        One row per attacked figure, columns `EFFECT_COLUMNS`.

    Source: prediction shift: O'Mahony et al. 2004, doi:10.1145/1031114.1031116.
    """
    if "effects" not in results.derived:
        attacked = [pool for pool in pools(results, is_control=False).values() if not pool.is_clean]
        pairs = [(clean_of(pool, results), pool) for pool in attacked]
        spans = relative_intervals([_both(clean, pool, results) for clean, pool in pairs])
        rows = [_row(clean, pool, attacked, span, results) for (clean, pool), span in zip(pairs, spans, strict=True)]
        results.derived["effects"] = pd.DataFrame(rows, columns=list(EFFECT_COLUMNS))
    return results.derived["effects"]


def _both(clean: Pool, pool: Pool, results: Results, metric: str = "") -> tuple[Values, Values]:
    seeds = [seed for seed in pool.cells if seed in clean.cells]
    return clean.values(results, metric, seeds), pool.values(results, metric, seeds)


def _row(clean: Pool, pool: Pool, attacked: Sequence[Pool], span: Interval, results: Results) -> dict[str, Any]:
    before, after = _both(clean, pool, results)
    told = ("system", "attack", "surface", "goal", "norm", "eps_text", "fold")
    by_seed = [relative_change(*pair) for pair in zip(seed_means(after), seed_means(before), strict=True)]
    return {
        **{key: pool.facts[key] for key in told},
        "n_seeds": span.n_seeds,
        "n_users": span.n_users,
        "metric": results.metrics[0],
        "clean": float(before.mean()),
        "attacked": float(after.mean()),
        "relative_change": span.mean,
        "low": span.low,
        "high": span.high,
        "seed_std": spread(by_seed).std,
        **_displacement(*_both(clean, pool, results, "rank"), _cut(results)),
        **_worst_case(before, pool, attacked, results),
        **_scores(clean, pool, results),
        "overlap": _overlap(pool, results),
        **_groups(before, after, pool, results),
        "cells": json.dumps(list(pool.cells.values())),
    }


def _cut(results: Results) -> int:
    """Return the K of the first metric that has one; 0 where none has."""
    return next((metric.k for metric in map(MetricAtK.parse, results.metrics) if metric.k), 0)


def _displacement(before: Values, after: Values, k: int) -> dict[str, float]:
    """Return how far the test items fall, and who loses or gains one in the top K."""
    fall = after - before
    quarters = np.quantile(fall, [0.25, 0.5, 0.75])
    held = dict(zip(("rank_q25", "rank_median", "rank_q75"), map(float, quarters), strict=True))
    held |= {f"down_{far}": float((fall > far).mean()) for far in _FAR}
    if not k:
        return held | dict.fromkeys(("harmed", "helped", "harmed_of_hits"), math.nan)
    was_in, is_in = before < k, after < k
    harmed = float((was_in & ~is_in).mean())
    of_hits = harmed / float(was_in.mean()) if was_in.any() else math.nan
    return held | {"harmed": harmed, "helped": float((~was_in & is_in).mean()), "harmed_of_hits": of_hits}


def _worst_case(before: Values, pool: Pool, attacked: Sequence[Pool], results: Results) -> dict[str, float]:
    """Return the relative change of each user's lowest value over the attacks at the same budget, seed by seed."""
    beside = [one for one in attacked if all(one.facts[key] == pool.facts[key] for key in _ROW)]
    beside = [one for one in beside if list(one.cells) == list(pool.cells)]
    beside = [one for one in beside if one is pool or is_within_budget(one.facts)]
    lowest = np.min([one.values(results) for one in beside], axis=0)
    return {"worst_case": relative_change(float(lowest.mean()), float(before.mean())), "n_attacks": len(beside)}


def _scores(clean: Pool, pool: Pool, results: Results) -> dict[str, float]:
    shifts, scaled = [], []
    for seed, cell in pool.cells.items():
        after, before = results.facts(cell), results.facts(clean.cells.get(seed, ""))
        if after is None or before is None:
            continue
        shift = float(after.get("mean_score", math.nan)) - float(before.get("mean_score", math.nan))
        width = float(before.get("score_spread", math.nan))
        shifts.append(shift)
        scaled.append(shift / width if width else math.nan)
    return {"score_shift": _mean(shifts), "score_shift_scaled": _mean(scaled)}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _overlap(pool: Pool, results: Results) -> float:
    if "overlap" not in results.per_user.columns:
        return math.nan
    held = pool.values(results, "overlap")
    return float(np.nanmean(held)) if not np.isnan(held).all() else math.nan


def _groups(before: Values, after: Values, pool: Pool, results: Results) -> dict[str, float]:
    """Return the relative change of groups of users, and how far apart they are."""
    names = [f"change_{group}" for group in ACTIVITY]
    held = dict.fromkeys([*names, "change_head", "change_tail"], math.nan)
    if {"activity", "head_share"} <= set(results.per_user.columns):
        cell = results.per_user[results.per_user["cell"] == next(iter(pool.cells.values()))]
        activity, share = cell["activity"].astype(str).to_numpy(), cell["head_share"].to_numpy()
        masks = {f"change_{group}": activity == group for group in ACTIVITY}
        masks |= {"change_head": share >= 1.0, "change_tail": share <= 0.0}
        held = {name: _change(before[:, mask], after[:, mask]) for name, mask in masks.items()}
    return held | {
        "activity_gap": _gap([held[name] for name in names]),
        "popularity_gap": _gap([held["change_head"], held["change_tail"]]),
    }


def _change(before: Values, after: Values) -> float:
    return relative_change(float(after.mean()), float(before.mean())) if before.size else math.nan


def _gap(values: Sequence[float]) -> float:
    return float(np.max(values) - np.min(values))


def metric_changes(results: Results) -> pd.DataFrame:
    """Return clean and attacked figures of every metric, means over seeds: what lists and fairness lose or gain.

    Returns:
        One row per attacked figure and metric: system, attack, surface, goal, norm, eps_text, fold, metric as written,
        is_accuracy, is_higher_better, n_seeds, clean, attacked, change, relative_change, seed_std (of the change).
    """
    table = results.table
    held = table[(table["attack"] != "none") & ~table["is_control"]]
    keys = ["system", "attack", "surface", "goal", "norm", "eps_text", "fold", "metric", "k"]
    rows = []
    for key, found in held.groupby(keys, sort=False):
        told: dict[str, Any] = dict(zip(keys, key, strict=True))
        metric = MetricAtK.parse(written(str(told["metric"]), told.pop("k")))
        clean, attacked = float(found["clean"].mean()), float(found["attacked"].mean())
        rows.append(
            told
            | {"metric": str(metric), "is_accuracy": metric.plugin.is_accuracy}
            | {"is_higher_better": metric.plugin.is_higher_better, "n_seeds": len(found)}
            | {"clean": clean, "attacked": attacked, "change": attacked - clean}
            | {"relative_change": relative_change(attacked, clean)}
            | {"seed_std": spread(found["change"].to_numpy(np.float64)).std}
        )
    return pd.DataFrame(rows)
