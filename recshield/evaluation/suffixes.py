"""What stands behind the slash of a metric's name: groups of users or items, cold or warm ones alone, sampling."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recshield.core.errors import BadSpec
from recshield.evaluation.background import ACTIVITY
from recshield.evaluation.ranking import Ranks

Values = NDArray[np.float64]
PerUser = Callable[[Ranks], Values]

_USERS = tuple(f"users:{group}" for group in reversed(ACTIVITY))
_ITEMS = ("items:head", "items:tail")
_AMONG = ("among:cold", "among:warm")
SUFFIXES = (*_USERS, *_ITEMS, *_AMONG, "sampled:N")
_SAMPLED = re.compile(r"sampled:([1-9]\d{0,8})")


def read(text: str, suffix: str) -> str:
    """Return a suffix that is one of `SUFFIXES`, or raise BadSpec with the nearest one; `text` is the whole name."""
    if suffix in (*_USERS, *_ITEMS, *_AMONG) or _SAMPLED.fullmatch(suffix):
        return suffix
    if suffix.startswith("sampled"):
        raise BadSpec(f"metric '{text}': sampled needs the number of candidates, at least 1; write sampled:999")
    close = difflib.get_close_matches(suffix, SUFFIXES, n=1, cutoff=0.4)
    guess = f" did you mean '{close[0]}'?" if close else ""
    raise BadSpec(f"metric '{text}': no suffix '{suffix}';{guess} allowed behind the slash: {', '.join(SUFFIXES)}")


def kind(suffix: str) -> str:
    """Return `users`, `items`, `among`, `sampled` or ""."""
    return suffix.partition(":")[0]


def sample_size(suffix: str) -> int:
    """Return N of `sampled:N`, else 0."""
    found = _SAMPLED.fullmatch(suffix)
    return int(found[1]) if found else 0


def label(suffix: str) -> str:
    """Return what a reader must know before comparing such a figure, or ""."""
    size = sample_size(suffix)
    return f"sampled: each test row among {size} drawn candidates, not comparable with full ranking" if size else ""


def per_user(measure: PerUser, ranks: Ranks, suffix: str) -> Values:
    """Return (n_evaluated,) values; NaN for users outside the group, who are not counted.

    Args:
        measure: ranks -> one value per user of those ranks.
        ranks: of all evaluated users.
        suffix: as `read` returned it; "" = everything.
    """
    if kind(suffix) == "users":
        group = ACTIVITY.index(suffix.removeprefix("users:"))
        return np.where(ranks.known().activity == group, measure(ranks), np.nan)
    if kind(suffix) == "items":
        is_kept = ranks.known().is_head[ranks.items] == (suffix == "items:head")
        return _of_rows(measure, ranks, is_kept)
    if kind(suffix) == "among":
        is_kept = (ranks.known().popularity[ranks.items] == 0) == (suffix == "among:cold")
        assert ranks.within is not None, "whoever asks for the metric asks for these ranks"
        own, candidates = ranks.within.T
        return _of_rows(measure, dataclasses.replace(ranks, ranks=own, candidates=candidates), is_kept)
    if kind(suffix) == "sampled":
        return _sampled(measure, ranks, sample_size(suffix))
    return measure(ranks)


def _of_rows(measure: PerUser, ranks: Ranks, is_kept: NDArray[np.bool_]) -> Values:
    """Measure on some of the test rows; users without one get NaN."""
    counts = np.add.reduceat(is_kept.astype(np.int64), ranks.indptr[:-1])
    is_counted = counts > 0
    values = np.full(len(ranks.users), np.nan)
    if is_counted.any():
        part = dataclasses.replace(
            ranks,
            users=ranks.users[is_counted],
            indptr=np.concatenate([[0], np.cumsum(counts[is_counted])]).astype(np.int64),
            items=ranks.items[is_kept],
            ranks=ranks.ranks[is_kept],
            candidates=ranks.candidates[is_kept],
            lists=None,
        )
        values[is_counted] = measure(part)
    return values


def _sampled(measure: PerUser, ranks: Ranks, size: int) -> Values:
    """Measure each test row as the only one of its user, among its drawn candidates; the mean over a user's rows."""
    n_relevant = np.diff(ranks.indptr)
    users = np.repeat(np.arange(len(n_relevant)), n_relevant)
    n_others = ranks.candidates - n_relevant[users]
    rows = dataclasses.replace(
        ranks,
        users=ranks.users[users],
        indptr=np.arange(len(ranks.items) + 1),
        ranks=ranks.sampled[size],
        candidates=(np.minimum(n_others, size) + 1).astype(np.int32),
        lists=None,
    )
    totals: Values = np.add.reduceat(measure(rows), ranks.indptr[:-1])
    return totals / n_relevant
