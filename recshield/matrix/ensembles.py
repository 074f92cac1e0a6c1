"""The cell of an ensemble: each user's worst over its members, and what can be said of all of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def worst(members: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return each user's largest rank and lowest value of every metric over the members.

    Args:
        members: per attack, `rank` and the metrics -> (n_evaluated,) values of the same users in the same order.
    """
    found: dict[str, NDArray[Any]] = {}
    for name in members[0]:
        stacked = np.stack([held[name] for held in members])
        found[name] = stacked.max(axis=0) if name == "rank" else stacked.min(axis=0)
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
    found["goal_clean"] = found["goal_value"] = math.nan
    found["goal_values"] = json.dumps([])
    found["unknown_surfaces"] = ",".join(sorted({held["unknown_surfaces"] for held in members} - {""}))
    found["access"] = "+".join(sorted({part for held in members for part in str(held["access"]).split("+")}))
    found["is_projected"] = all(bool(held["is_projected"]) for held in members)
    for name in ("state_before", "state_after"):
        found[name] = ";".join(str(held[name]) for held in members)
    found["score_hash"] = ""
    return found
