"""Section: who is hurt: how far test items fall, how many users lose theirs, and which users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recshield.report import charts
from recshield.report.asked import Asked, Place
from recshield.report.content import Block, Chart, Name, Panel, Phrase, Section, Table
from recshield.report.reading import Reading, Values
from recshield.report.standing import largest, place_text, placed
from recshield.report.words import change, count, plain_number, share

_SHARES = (5, 25, 50, 75, 95)
#: Upper ends of the bands of clean ranks that users are told apart by.
_BANDS = (10, 50, 100, 500)
#: Length of the list where no metric has one.
_LENGTH = 10


def build(reading: Reading) -> Section | None:
    """Return the section, None where nothing was attacked."""
    chosen = largest(reading)
    if not chosen:
        return None
    held = [asked for at in chosen for asked in reading.asked if asked.at == at]
    k = next((int(name.partition("@")[2].partition("/")[0]) for name in reading.metrics if "@" in name), _LENGTH)
    blocks: list[Block] = [_moves(reading, held), _table(reading, held, k), _bands(reading, held)]
    groups = _groups(reading, held)
    if groups is not None:
        blocks.append(groups)
    where = place_text(reading, chosen[0]) if len(chosen) == 1 else "of each kind, which are not comparable"
    lead = (
        "Ranks of the first test item of each user before and after the attack, at the largest budget "
        f"({where}); a user is harmed whose test item leaves the first {k}."
    )
    return Section("harm", "Who is hurt", lead, tuple(blocks))


def _parts(held: Sequence[Asked]) -> list[tuple[str, Place]]:
    """Return systems and where they were attacked, in order."""
    return list(dict.fromkeys((asked.system, asked.at) for asked in held))


def _at(reading: Reading, held: Sequence[Asked], at: Place) -> tuple[Phrase, ...]:
    """Return a cell that says where, no cell where all of them were attacked at one place."""
    return (placed(reading, at),) if len({asked.at for asked in held}) > 1 else ()


def _ranks(reading: Reading, asked: Asked) -> tuple[Values, Values]:
    """Return (n_seeds x n_users,) ranks before and after, the first place being 1 (tables of a run count from 0)."""
    before = reading.values(asked.cells, "rank", "clean_cell")
    return before.ravel() + 1, reading.values(asked.cells, "rank").ravel() + 1


def _moves(reading: Reading, held: Sequence[Asked]) -> Chart:
    panels = []
    for system, at in _parts(held):
        rows: list[dict[str, Any]] = []
        for asked in (one for one in held if (one.system, one.at) == (system, at)):
            before, after = _ranks(reading, asked)
            ends = np.percentile(after / before, _SHARES)
            rows.append({"attack": asked.attack} | {f"p{p}": float(end) for p, end in zip(_SHARES, ends, strict=True)})
        said = "; ".join(f"{row['attack']}: median {row['p50']:.2f}, 95 % below {row['p95']:.2f}" for row in rows)
        title = system if not _at(reading, held, at) else f"{system} at {place_text(reading, at)}"
        panels.append(Panel(title, f"rank after over rank before: {said}", charts.spread(rows, "rank after / before")))
    caption = (
        "How the rank of the test item is multiplied: the tick is the median user, the bar the middle half, the line "
        "the middle 90 %. To the right is worse."
    )
    return Chart("moves", caption, tuple(panels))


def _table(reading: Reading, held: Sequence[Asked], k: int) -> Table:
    rows: list[tuple[Phrase, ...]] = []
    for system, at in _parts(held):
        own = [asked for asked in held if (asked.system, asked.at) == (system, at)]
        head: tuple[Phrase, ...] = ((Name(system),), *_at(reading, held, at))
        rows += [(*head, (Name(asked.attack),), *_row(*_ranks(reading, asked), k)) for asked in own]
        aimed = [one for one in own if not one.is_noise and not one.is_ensemble and one.overspends <= 1]
        if len(aimed) > 1:
            before = _ranks(reading, aimed[0])[0]
            alike = [ranks[1] for ranks in (_ranks(reading, one) for one in aimed) if ranks[1].shape == before.shape]
            rows.append((*head, ("worst of single attacks, per user",), *_row(before, np.max(alike, axis=0), k)))
    where = ("at",) if len({asked.at for asked in held}) > 1 else ()
    columns = ("system", *where, "attack", f"in the first {k} before", "harmed", "of those", "came in",
               "median rank before", "median after", "99 % fall at most")  # fmt: skip
    caption = f"Users whose test item leaves or enters the first {k}, and how ranks move; shares are of all users."
    return Table("harmed", caption, columns, (*(False,) * (2 + len(where)), *(True,) * 7), tuple(rows))


def _row(before: Values, after: Values, k: int) -> tuple[Phrase, ...]:
    was, is_in = before <= k, after <= k
    harmed = float((was & ~is_in).mean())
    falls = float(np.percentile(after - before, 99))
    return (
        (share(float(was.mean())),),
        (share(harmed),),
        (share(harmed / float(was.mean()) if was.any() else float("nan")),),
        (share(float((~was & is_in).mean())),),
        (plain_number(float(np.median(before)), 6),),
        (plain_number(float(np.median(after)), 6),),
        (count(round(falls)),),
    )


def _bands(reading: Reading, held: Sequence[Asked]) -> Table:
    """Return how often users move down, by how well the clean system served them."""
    lower = (0, *_BANDS)
    titles = [f"{low + 1}\N{EN DASH}{high}" for low, high in zip(lower, _BANDS, strict=False)] + [f"> {_BANDS[-1]}"]
    rows: list[tuple[Phrase, ...]] = []
    for asked in held:
        before, after = _ranks(reading, asked)
        place = np.searchsorted(np.asarray(_BANDS), before)
        shown: list[Phrase] = []
        for band in range(len(titles)):
            chosen = place == band
            ratio = after[chosen] / before[chosen]
            shown.append((plain_number(float(np.median(ratio)), 3),) if chosen.any() else ("\N{EN DASH}",))
        rows.append(((Name(asked.system),), *_at(reading, held, asked.at), (Name(asked.attack),), *shown))
    where = ("at",) if len({asked.at for asked in held}) > 1 else ()
    columns = ("system", *where, "attack", *(f"clean rank {title}" for title in titles))
    caption = "Median of rank after over rank before, by how well the clean system served the user: 1 is no change."
    return Table("bands", caption, columns, (*(False,) * (2 + len(where)), *(True,) * len(titles)), tuple(rows))


def _groups(reading: Reading, held: Sequence[Asked]) -> Table | None:
    """Return the loss by user activity and item popularity, where metrics of such groups were measured."""
    names = [name for name in reading.metrics if "/users:" in name or "/items:" in name]
    if not names:
        return None
    rows: list[tuple[Phrase, ...]] = []
    for asked in held:
        changes = tuple((change(reading.estimate(asked.cells, name).change),) for name in names)
        rows.append(((Name(asked.system),), *_at(reading, held, asked.at), (Name(asked.attack),), *changes))
    where = ("at",) if len({asked.at for asked in held}) > 1 else ()
    caption = "Relative change by user activity and item popularity."
    columns = ("system", *where, "attack", *names)
    return Table("groups", caption, columns, (*(False,) * (2 + len(where)), *(True,) * len(names)), tuple(rows))
