"""The cell of an ensemble: each user's worst over its members, and what can be said of all of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recshield.evaluation.metrics import Figure, MetricAtK, mean_of_counted


def worst(members: Sequence[Mapping[str, Figure]], metrics: Sequence[MetricAtK]) -> dict[str, Figure]:
    """Return each user's lowest value of every accuracy metric over the members.

    A metric that is no accuracy, or no mean over users, has no worst case per user: its figure is NaN.

    Args:
        members: per attack, metric -> figure over the same users in the same order.
        metrics: as asked for.
    """
    found = {}
    for metric in metrics:
        held = [figures[str(metric)] for figures in members]
        values = [one.per_user for one in held if one.per_user is not None]
        if not values:
            found[str(metric)] = Figure(math.nan, held[0].n_users, None)
            continue
        plugin = metric.plugin
        lowest = np.min(values, axis=0)
        if not (plugin.is_accuracy and plugin.is_higher_better and plugin.is_mean()):
            lowest = np.full_like(lowest, np.nan)
        found[str(metric)] = Figure(mean_of_counted(lowest), int((~np.isnan(lowest)).sum()), lowest)
    return found


def joined(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the facts of an ensemble: the largest norms, the sum of what is counted; no loss of its own.

    What only one perturbation has (hashes of scores, values of the goal) stays empty.
    """
    found = dict(members[0])
    for name in ("raw_norm", "measured_norm", "mean_norm"):
        found[name] = max(float(held[name]) for held in members)
    gradients = [float(held["zero_gradients"]) for held in members if not math.isnan(held["zero_gradients"])]
    found["zero_gradients"] = max(gradients, default=math.nan)
    for name in ("n_bad_values", "n_queries"):
        found[name] = sum(int(held[name]) for held in members)
    found["n_touched_rows"] = max(int(held["n_touched_rows"]) for held in members)
    found["goal_clean"] = found["goal_value"] = found["path_loss"] = found["path_score"] = math.nan
    found["is_repeatable"] = all(bool(held.get("is_repeatable", False)) for held in members)
    found["mean_score"] = found["score_spread"] = math.nan
    found["goal_values"] = json.dumps([])
    found["unknown_surfaces"] = ",".join(sorted({held["unknown_surfaces"] for held in members} - {""}))
    found["access"] = "+".join(sorted({part for held in members for part in str(held["access"]).split("+")}))
    found["is_projected"] = all(bool(held["is_projected"]) for held in members)
    for name in ("state_before", "state_after"):
        found[name] = ";".join(str(held[name]) for held in members)
    found["score_hash"] = ""
    return found
