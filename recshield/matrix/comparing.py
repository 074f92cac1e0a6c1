"""Two systems, or two attacks on one system, held against each other user by user."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recshield.core.errors import BadValue, UnknownName
from recshield.core.settings import CONFIDENCE, LEAST_USERS
from recshield.evaluation.metrics import MetricAtK
from recshield.evaluation.stats import holm, interval, paired, relative_interval
from recshield.matrix.grouping import Pool, clean_of, pools
from recshield.matrix.results import Results

#: What narrows a comparison down to one figure each: key of the facts -> what it is called in an error.
_NARROWING = {
    "attack": "--attack", "norm": "--norm", "eps_text": "--eps", "surface": "--surface", "goal": "--goal",
    "fold": "--fold",
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What to compare.

    Attributes:
        a: a system of the run, or an attack.
        b: another one of the same kind; figures are b - a.
        metric: "" = the main one.
        system: whom two attacks are compared on; "" where the run attacks one system only.
        attack: under which two systems are compared; "" = clean.
        norm: of the budget, "" where the attack has one only.
        eps: of the budget as asked for, `0.5` or `10%`; "" where the attack has one only.
        surface: "" where the attack has one only.
        goal: "" where the attack has one only.
        fold: None where the split has one only.
        is_change: compare what an attack changes (attacked minus clean), not what it leaves.
    """

    a: str
    b: str
    metric: str = ""
    system: str = ""
    attack: str = ""
    norm: str = ""
    eps: str = ""
    surface: str = ""
    goal: str = ""
    fold: int | None = None
    is_change: bool = False


@dataclass(frozen=True)
class Comparison:
    """What a comparison finds.

    Attributes:
        a: name of the first figure.
        b: name of the second.
        metric: as written.
        rows: one per seed, then `pooled` over the seeds where there are several.
        verdict: `higher`, `lower` or `no difference` of b against a, pooled.
        flips: whether the seeds alone, Holm over them, do not all say the same.
        is_change: whether the figures are what an attack changes.
    """

    a: str
    b: str
    metric: str
    rows: pd.DataFrame
    verdict: str
    flips: bool
    is_change: bool = False


def compare(results: Results, asked: Asked) -> Comparison:
    """Return the paired figures of two systems, or of two attacks on one system, per seed and pooled.

    Pooled, each user counts once with the mean over seeds, and the interval is over users and seeds.

    Raises:
        UnknownName: no such system, attack or metric in the run.
        BadValue: several figures fit, the two are the same, they share no seed, or a change is asked for where nothing
            attacks.
    """
    metric = _metric(results, asked.metric)
    one, other = _figures(results, asked)
    seeds = [seed for seed in one.cells if seed in other.cells]
    if not seeds:
        raise BadValue(f"'{one.name}' and '{other.name}' share no seed; compare figures of one run and its seeds")
    a, b = (_values(results, pool, asked, metric, seeds) for pool in (one, other))
    rows = [_row(str(seed), a[place : place + 1], b[place : place + 1]) for place, seed in enumerate(seeds)]
    corrected = holm([row["p_t"] for row in rows])
    words = [_word(row, p_value) for row, p_value in zip(rows, corrected, strict=True)]
    if len(seeds) > 1:
        rows.append(_row("pooled", a, b))
    verdict = _word(rows[-1], rows[-1]["p_t"])
    return Comparison(one.name, other.name, metric, pd.DataFrame(rows), verdict, len(set(words)) > 1, asked.is_change)


def _values(results: Results, pool: Pool, asked: Asked, metric: str, seeds: Sequence[int]) -> NDArray[np.float64]:
    held = pool.values(results, metric, seeds)
    if not asked.is_change:
        return held
    if pool.is_clean:
        raise BadValue(f"--change compares what an attack changes, and nothing attacks '{pool.name}'; give --attack")
    return held - clean_of(pool, results).values(results, metric, seeds)


def _metric(results: Results, text: str) -> str:
    if not text:
        return results.metrics[0]
    metric = str(MetricAtK.parse(text))
    if metric not in results.metrics or metric not in results.per_user.columns:
        held = [name for name in results.metrics if name in results.per_user.columns]
        raise _unknown("metric with values per user", metric, held)
    return metric


def _figures(results: Results, asked: Asked) -> tuple[Pool, Pool]:
    every = list(pools(results, is_control=False).values())
    systems = list(dict.fromkeys(pool.facts["system"] for pool in every))
    attacks = list(dict.fromkeys(pool.facts["attack"] for pool in every if not pool.is_clean))
    if asked.a == asked.b:
        raise BadValue(f"'{asked.a}' is given twice; name two systems, or two attacks")
    if asked.a in systems and asked.b in systems:
        return _two_systems(every, asked, attacks)
    if asked.a in (*attacks, "none") and asked.b in (*attacks, "none"):
        return _two_attacks(every, asked, systems)
    for name in (asked.a, asked.b):
        if name not in (*systems, *attacks, "none"):
            raise _unknown("system or attack", name, [*systems, *attacks])
    raise BadValue(f"'{asked.a}' and '{asked.b}' are a system and an attack; name two systems, or two attacks")


def _unknown(kind: str, name: str, known: Sequence[str]) -> UnknownName:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    guess = f" did you mean '{close[0]}'?" if close else ""
    return UnknownName(f"the run has no {kind} '{name}';{guess} it has: {', '.join(known) or 'none'}")


def _two_systems(every: Sequence[Pool], asked: Asked, attacks: Sequence[str]) -> tuple[Pool, Pool]:
    if asked.system:
        raise BadValue("--system says whom two attacks are compared on; here two systems are compared: leave it out")
    if asked.attack and asked.attack not in (*attacks, "none"):
        raise _unknown("attack", asked.attack, attacks)
    wanted = asked.attack or "none"
    found = [
        [pool for pool in every if pool.facts["system"] == name and pool.facts["attack"] == wanted]
        for name in (asked.a, asked.b)
    ]
    for name, held in zip((asked.a, asked.b), found, strict=True):
        if not held:
            raise BadValue(f"the run has no '{wanted}' on '{name}'; see `recshield show`")
    return _one(found[0], asked, wanted == "none"), _one(found[1], asked, wanted == "none")


def _two_attacks(every: Sequence[Pool], asked: Asked, systems: Sequence[str]) -> tuple[Pool, Pool]:
    if asked.attack:
        raise BadValue("--attack says under what two systems are compared; here two attacks are compared: leave it out")
    attacked = [pool.facts["system"] for pool in every if pool.facts["attack"] in (asked.a, asked.b)]
    choices = [name for name in systems if name in attacked]
    if asked.system and asked.system not in systems:
        raise _unknown("system", asked.system, systems)
    if not asked.system and len(choices) > 1:
        raise BadValue(f"the run attacks several systems: {', '.join(choices)}; choose one with --system")
    system = asked.system or choices[0]
    found = [
        [pool for pool in every if pool.facts["system"] == system and pool.facts["attack"] == name]
        for name in (asked.a, asked.b)
    ]
    for name, held in zip((asked.a, asked.b), found, strict=True):
        if not held:
            raise BadValue(f"the run has no '{name}' on '{system}'; see `recshield show`")
    return _one(found[0], asked, asked.a == "none"), _one(found[1], asked, asked.b == "none")


def _one(found: Sequence[Pool], asked: Asked, is_clean: bool) -> Pool:
    """Return the one figure that fits, or raise BadValue with what to choose by."""
    wanted = {"norm": asked.norm, "eps_text": asked.eps, "surface": asked.surface, "goal": asked.goal}
    kept = list(found)
    for key, value in wanted.items() if not is_clean else ():
        there = [pool for pool in kept if not value or pool.facts[key] == value]
        if not there:
            allowed = ", ".join(dict.fromkeys(str(pool.facts[key]) for pool in kept))
            raise BadValue(f"{_NARROWING[key]} '{value}': the run has it not for {kept[0].name}; it has: {allowed}")
        kept = there
    if asked.fold is not None:
        kept = [pool for pool in kept if pool.facts["fold"] == asked.fold] or kept
    for key, option in _NARROWING.items():
        values = list(dict.fromkeys(str(pool.facts[key]) for pool in kept))
        if len(values) > 1:
            raise BadValue(
                f"several figures of {kept[0].facts['system']} fit: {', '.join(values)}; choose with {option}"
            )
    return kept[0]


def _row(seed: str, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> dict[str, Any]:
    tested = paired(a.mean(axis=0), b.mean(axis=0))
    span, share = interval(b - a), relative_interval(a, b)
    return {
        "seed": seed, "a": float(np.nanmean(a)), "b": float(np.nanmean(b)), "difference": tested.difference,
        "low": span.low, "high": span.high, "relative": share.mean, "relative_low": share.low,
        "relative_high": share.high, "t": tested.t, "p_t": tested.p_t, "w": tested.w, "p_w": tested.p_w,
        "d_z": tested.d_z, "rank_biserial": tested.rank_biserial, "n_users": tested.n,
    }  # fmt: skip


def _word(row: dict[str, Any], p_value: float) -> str:
    if not p_value < 1 - CONFIDENCE or row["n_users"] < LEAST_USERS:
        return "no difference"
    if row["low"] > 0:
        return "higher"
    return "lower" if row["high"] < 0 else "no difference"
