"""Stored tables against those measured again: which figures are the same to the last digit, and which are not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recshield.evaluation.metrics import written
from recshield.run import MatrixRun

#: What a cell's facts hold that is computed again here, whether or not its attack was replayed.
_MEASURED = (
    "population",
    "score_hash",
    "n_users",
    "selection",
    "selected",
    "measured_norm",
    "mean_norm",
    "n_touched_rows",
)
#: What is computed again only where the attack was replayed; else it stands as recorded.
_REPLAYED = ("eps", "relative_eps", "raw_norm", "mean_clean_norm", "goal_clean", "goal_value", "goal_values")
_FREE = ("dataset", "verdict")


@dataclass(frozen=True)
class Finding:
    """One sentence about a bundle."""

    is_sound: bool
    sentence: str


def apart(one: pd.Series, other: pd.Series) -> float:
    """Return the largest relative difference of two columns; NaN equals NaN."""
    try:
        a, b = one.to_numpy(np.float64), other.to_numpy(np.float64)
    except (TypeError, ValueError):  # a stranger's column may hold anything
        return math.inf
    if len(a) != len(b):
        return math.inf
    is_same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))
    off = np.where(is_same, 0.0, np.where(np.isnan(off), math.inf, off))
    return float(off.max(initial=0.0))


def compare(held: MatrixRun, again: MatrixRun, replayed: set[str], tolerance: float) -> list[Finding]:
    """Return what differs between a stored run and the same run measured again."""
    found = _figures(held, again, tolerance)
    found += _per_user(held, again, tolerance)
    found += _facts(held, again, replayed, tolerance)
    return found + _verdicts(held, again)


def _figures(held: MatrixRun, again: MatrixRun, tolerance: float) -> list[Finding]:
    """Compare results.parquet, figure by figure."""
    keys = ["cell", "metric", "k"]
    one, other = (table.table.sort_values(keys).reset_index(drop=True) for table in (held, again))
    if not one[keys].astype(str).equals(other[keys].astype(str)):
        return [Finding(False, "results: its rows are not those of the request")]
    found, worst = [], 0.0
    for name in [name for name in other.columns if name not in (*keys, *_FREE)]:
        if name not in one.columns:
            return [Finding(False, f"results: column {name} is missing")]
        if not all(pd.api.types.is_numeric_dtype(table[name]) for table in (one, other)):
            for place in np.flatnonzero((one[name].astype(str) != other[name].astype(str)).to_numpy())[:3]:
                said = f"{name} is '{one[name][place]}' in the bundle and '{other[name][place]}' here"
                found.append(Finding(False, f"results: {_row(other, place)}: {said}"))
            continue
        for place in range(len(other)):
            off = apart(one[name][place : place + 1], other[name][place : place + 1])
            worst = max(worst, off)
            if off > tolerance:
                said = (
                    f"{name} is {one[name][place]:.17g} in the bundle, measured again it is {other[name][place]:.17g}"
                )
                found.append(Finding(False, f"results: {_row(other, place)}: {said}"))
    if not found:
        exact = "to the last digit" if worst == 0 else f"up to a relative difference of {worst:.2g}"
        found.append(Finding(True, f"figures: all {len(other)} rows of the results measured again, equal {exact}"))
    return found


def _row(table: pd.DataFrame, place: int) -> str:
    row = table.iloc[place]
    under = "" if row["attack"] == "none" else f" under {row['attack']} at {row['norm']} {row['eps_text']}"
    return f"{written(str(row['metric']), row['k'])} of {row['system']}{under}, seed {row['seed']}"


def _per_user(held: MatrixRun, again: MatrixRun, tolerance: float) -> list[Finding]:
    one, other = (made.per_user.sort_values(["cell", "user"]).reset_index(drop=True) for made in (held, again))
    is_same = len(one) == len(other) and (one["cell"].astype(str) == other["cell"].astype(str)).all()
    if not is_same or not (one["user"].astype(str) == other["user"].astype(str)).all():
        return [Finding(False, "per user: its rows are not those of the request")]
    found = []
    for name in [name for name in other.columns if name not in ("cell", "user")]:
        off = _distance(one[name], other[name]) if name in one.columns else math.inf
        if off > tolerance:
            n_off = int((one[name].astype(str) != other[name].astype(str)).sum()) if name in one.columns else len(other)
            found.append(Finding(False, f"per user: {name} differs in {n_off} of {len(other)} rows"))
    return found or [Finding(True, f"per user: {len(other)} ranks and their metrics are the same")]


def _distance(one: pd.Series, other: pd.Series) -> float:
    """Return how far two columns lie apart; those of words are the same or infinitely far."""
    if pd.api.types.is_numeric_dtype(other) and pd.api.types.is_numeric_dtype(one):
        return apart(one, other)
    return 0.0 if (one.astype(str) == other.astype(str)).all() else math.inf


def _facts(held: MatrixRun, again: MatrixRun, replayed: set[str], tolerance: float) -> list[Finding]:
    """Compare what the audit reads, as far as it was computed again."""
    found = []
    for cell in again.results.steps["cell"]:
        stored, here = held.results.facts(cell) or {}, again.results.facts(cell) or {}
        names = (*_MEASURED, *(_REPLAYED if cell in replayed else ()))
        for name in names:
            if not _is_equal(name, stored.get(name), here.get(name), tolerance):
                said = f"{name} is {stored.get(name)} in the bundle and {here.get(name)} here"
                found.append(Finding(False, f"steps: {here['system']} under {here['attack']}: {said}"))
    return found


def _is_equal(name: str, one: object, other: object, tolerance: float) -> bool:
    if isinstance(other, str):
        return one == other or (name == "score_hash" and tolerance > 0)
    # The stubs of pandas have no overload for an array of which nothing is known.
    return apart(pd.Series(np.atleast_1d(one)), pd.Series(np.atleast_1d(other))) <= tolerance  # type: ignore[call-overload]


def _verdicts(held: MatrixRun, again: MatrixRun) -> list[Finding]:
    one, other = (dict(zip(made.table["cell"], made.table["verdict"], strict=True)) for made in (held, again))
    wrong = [cell for cell in other if one.get(cell) != other[cell]]
    found = []
    for cell in wrong[:5]:
        facts = again.results.facts(cell) or {}
        named = f"{facts['system']} under {facts['attack']} at {facts['eps_text']}"
        found.append(Finding(False, f"verdict of {named} is '{one.get(cell)}' in the bundle and '{other[cell]}' here"))
    return found or [Finding(True, f"verdicts: the same in all {len(other)} cells")]
