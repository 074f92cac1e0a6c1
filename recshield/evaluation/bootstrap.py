"""Intervals over users and seeds: a bootstrap of users that all seeds share, and of the seeds themselves."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from recshield.core.seeds import number
from recshield.core.settings import CONFIDENCE, RESAMPLES
from recshield.evaluation.effect import Interval

Values = NDArray[np.float64]

#: Counts of one block of resamples; bounds memory, whatever the number of users.
_BLOCK = 2**22


def interval(
    values: NDArray[np.floating], confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return the mean over users and seeds with its bootstrap interval.

    Users and seeds are crossed: every seed is measured on the same users, so one resample of the users serves all
    seeds (drawing users anew within each seed would take n_seeds times the evidence that there is). Seeds are
    resampled beside it, their spread beyond that of the users estimated by the two-way analysis of variance. Both
    parts are expanded percentile intervals: for a few seeds the plain percentile is far too narrow.

    Args:
        values: (n_seeds, n_users) or (n_users,); NaN = not counted.
        confidence: two-sided.
        resamples: of users, and of seeds.
        seed: of the resamples; equal numbers of users are resampled alike, so that figures stay paired.

    Returns:
        NaN bounds where no user counts, infinite ones where only one does.

    Source: Hesterberg 2015, doi:10.1080/00031305.2015.1089789 (expanded percentile); Searle et al. 1992 (crossed
    random effects).
    """
    return intervals([values], confidence, resamples, seed)[0]


def relative_interval(
    clean: NDArray[np.floating],
    attacked: NDArray[np.floating],
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return mean(attacked) / mean(clean) - 1 with its interval; users and seeds are resampled in pairs.

    Args:
        clean: (n_seeds, n_users) or (n_users,); a user who is NaN in either does not count.
        attacked: like `clean`.
        confidence: as for `interval`.
        resamples: as for `interval`.
        seed: as for `interval`.

    Raises:
        ValueError: the two differ in shape.
    """
    return relative_intervals([(clean, attacked)], confidence, resamples, seed)[0]


def intervals(
    many: Sequence[NDArray[np.floating]],
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Interval]:
    """Return `interval` of each of several arrays; those over the same users share the work."""
    tables = [_table(values) for values in many]
    found = []
    for table, moved in zip(tables, _moved(tables, confidence, resamples, seed), strict=True):
        mean = _mean(table)
        drawn = mean + moved + _seed_draws([table], [1.0], confidence, resamples, seed)[:, 0]
        found.append(_interval(mean, drawn, table, confidence))
    return found


def relative_intervals(
    pairs: Sequence[tuple[NDArray[np.floating], NDArray[np.floating]]],
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Interval]:
    """Return `relative_interval` of each of several (clean, attacked); those over the same users share the work."""
    tables: list[Values] = []
    for clean, attacked in pairs:
        before, after = _table(clean), _table(attacked)
        if before.shape != after.shape:
            raise ValueError(f"paired values differ in shape: {before.shape} and {after.shape}")
        is_counted = ~(np.isnan(before) | np.isnan(after))
        tables += [np.where(is_counted, before, np.nan), np.where(is_counted, after, np.nan)]
    moved = list(_moved(tables, confidence, resamples, seed))
    found = []
    for place in range(0, len(tables), 2):
        before, after = tables[place : place + 2]
        clean_mean, attacked_mean = _mean(before), _mean(after)
        change = attacked_mean / clean_mean - 1 if clean_mean else math.nan
        by_seed = _seed_draws([before, after], [-1 - change, 1.0], confidence, resamples, seed)
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = (attacked_mean + moved[place + 1] + by_seed[:, 1]) / (clean_mean + moved[place] + by_seed[:, 0]) - 1
        found.append(_interval(change, drawn, before, confidence))
    return found


def _table(values: NDArray[np.floating]) -> Values:
    """Return (n_seeds, n_users) values."""
    return np.atleast_2d(np.asarray(values, np.float64))


def _users(table: Values) -> Values:
    """Return (n_users,) means over seeds; NaN for a user who counts in none."""
    is_counted = ~np.isnan(table)
    with np.errstate(invalid="ignore"):
        means: Values = np.where(is_counted, table, 0.0).sum(axis=0) / is_counted.sum(axis=0)
    return means


def _mean(table: Values) -> float:
    means = _users(table)
    counted = means[~np.isnan(means)]
    return float(counted.mean()) if len(counted) else math.nan


def _interval(mean: float, drawn: Values, table: Values, confidence: float) -> Interval:
    n_users = int((~np.isnan(table)).any(axis=0).sum())
    if math.isnan(mean):
        return Interval(mean, math.nan, math.nan, n_users, len(table))
    if n_users < 2:  # one user says nothing of others
        return Interval(mean, -math.inf, math.inf, n_users, len(table))
    low, high = np.quantile(drawn, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(mean, float(low), float(high), n_users, len(table))


def _expansion(size: int, confidence: float) -> float:
    """Return by how much deviations of `size` draws are widened: their t quantile, and n - 1 for n."""
    if size < 2:
        return 0.0
    quantile = float(stats.t.ppf(0.5 + confidence / 2, size - 1))
    return quantile / float(special.ndtri(0.5 + confidence / 2)) * math.sqrt(size / (size - 1))


def _moved(tables: Sequence[Values], confidence: float, resamples: int, seed: int) -> Iterator[Values]:
    """Yield per table (resamples,) deviations of the mean over resampled users."""
    means = [_users(table) for table in tables]
    groups: dict[bytes, list[int]] = {}
    for place, held in enumerate(means):
        groups.setdefault(np.isnan(held).tobytes(), []).append(place)
    found: dict[int, Values] = {}
    for places in groups.values():
        held = np.stack([means[place][~np.isnan(means[place])] for place in places], axis=1)
        centred = held - held.mean(axis=0) if len(held) else held
        moved = _resampled(centred, resamples, seed) * _expansion(len(held), confidence)
        found.update({place: moved[:, column] for column, place in enumerate(places)})
    for place in range(len(tables)):
        yield found[place]


def _resampled(centred: Values, resamples: int, seed: int) -> Values:
    """Return (resamples, columns) means of (n_users, columns) values over users drawn with replacement."""
    n_users = len(centred)
    if not n_users:
        return np.full((resamples, centred.shape[1]), np.nan)
    size = max(_BLOCK // n_users, 1)
    starts = range(0, resamples, size)
    counts = (_counts(n_users, min(size, resamples - start), seed, start) for start in starts)
    means: Values = np.concatenate([held.astype(np.float64) @ centred for held in counts]) / n_users
    return means


@functools.lru_cache(maxsize=16)
def _counts(n_users: int, size: int, seed: int, start: int) -> NDArray[np.uint8]:
    """Return (size, n_users) how often each resample draws each user; the same for every figure over as many users."""
    rng = np.random.default_rng(number(seed, "bootstrap users", n_users, start))
    drawn = rng.integers(0, n_users, (size, n_users), dtype=np.int64)
    drawn += np.arange(size)[:, None] * n_users
    counts = np.bincount(drawn.ravel(), minlength=size * n_users)
    # Of n users one is drawn 1 time on average, and more than 255 times with a probability below 1e-500: bytes do.
    return np.minimum(counts, 255).astype(np.uint8).reshape(size, n_users)


def _seed_draws(
    tables: Sequence[Values], weights: Sequence[float], confidence: float, resamples: int, seed: int
) -> Values:
    """Return (resamples, tables) deviations of the means over resampled seeds, the same seeds for all tables.

    Their spread is the seeds' own: what users alone would make the seeds' means differ is taken off. `weights` say
    which combination of the tables it is estimated on.
    """
    n_seeds = len(tables[0])
    if n_seeds < 2:
        return np.zeros((resamples, len(tables)))
    own = _own_share(sum(weight * table for weight, table in zip(weights, tables, strict=True)))
    factor = own * _expansion(n_seeds, confidence)
    if not factor > 0:
        return np.zeros((resamples, len(tables)))
    with np.errstate(invalid="ignore"):
        by_seed = np.stack([np.nanmean(table, axis=1) for table in tables], axis=1)
    rng = np.random.default_rng(number(seed, "bootstrap seeds", n_seeds))
    drawn = rng.integers(0, n_seeds, (resamples, n_seeds))
    deviations: Values = (by_seed - by_seed.mean(axis=0))[drawn].mean(axis=1)
    return factor * deviations


def _own_share(table: Values | float) -> float:
    """Return by what the seeds' means deviate on their own account, over what they deviate by: 0 to 1."""
    held = np.asarray(table)
    held = held[:, ~np.isnan(held).any(axis=0)]
    n_seeds, n_users = held.shape
    if n_users < 1:
        return 0.0
    by_seed = held.mean(axis=1)
    spread = float(by_seed.var(ddof=1))
    rest = held - held.mean(axis=0) - (by_seed - by_seed.mean())[:, None]
    noise = float((rest**2).sum()) / ((n_seeds - 1) * max(n_users - 1, 1)) / n_users
    return math.sqrt(max(spread - noise, 0.0) / spread) if spread > 0 else 0.0
