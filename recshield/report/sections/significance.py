"""Section: paired tests over users, corrected over the whole matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recshield.core.settings import CONFIDENCE
from recshield.report.content import Block, Name, Phrase, Prose, Section, Table
from recshield.report.figures_of import Paired, Values, holm, paired
from recshield.report.reading import Asked, Reading
from recshield.report.words import MINUS, number_word, p_value, plain_number

_LEVEL = 1 - CONFIDENCE
#: Most rows that stand open.
_OPEN = 24


@dataclass(frozen=True)
class Hypothesis:
    """One thing that was tested: two sets of values of the same users, and what they are."""

    kind: str
    about: Phrase
    at: Phrase
    one: Values
    other: Values


def build(reading: Reading) -> Section | None:
    """Return the section, None where the main metric has no value per user or nothing can be compared."""
    held = [one for one in hypotheses(reading) if one.one.shape[1] > 1] if reading.has_values(reading.main) else []
    if not held:
        return None
    results = [paired(one.one, one.other) for one in held]
    t_holm, rank_holm = (holm([getattr(one, name) for one in results]) for name in ("t_p", "wilcoxon_p"))
    rows = [_row(*each) for each in zip(held, results, t_holm, rank_holm, strict=True)]
    lost = sum(bool(one.t_p < _LEVEL <= corrected) for one, corrected in zip(results, t_holm, strict=True))
    holds = int(sum(corrected < _LEVEL for corrected in t_holm))
    said = f"{holds} of {number_word(len(rows), 'difference')} hold at {100 * _LEVEL:.0f} % after correction"
    said += f"; {lost} would have held without it." if lost else "; correction changes none of them."
    columns = ("question", "about", "at", "difference", "interval", "effect size", "t test", "Wilcoxon", "t, Holm",
               "Wilcoxon, Holm", "holds")  # fmt: skip
    numeric = (False, False, False, *(True,) * 7, False)
    caption = f"Paired tests of {reading.main} over users; p values after Holm over all {len(rows)} rows."
    table = Table("tests", caption, columns, numeric, tuple(rows), is_folded=len(rows) > _OPEN)
    lead = (
        "Differences are means over users, the value of each averaged over seeds; the effect size is the mean "
        "difference in standard deviations of the differences."
    )
    blocks: tuple[Block, ...] = (Prose((said,)), table)
    return Section("significance", "Significance", lead, blocks)


def hypotheses(reading: Reading) -> Iterator[Hypothesis]:
    """Yield what is asked of the whole matrix: what attacks take, whether more than noise, what defenses change."""
    noise = {(asked.system, asked.at): asked for asked in reading.asked if asked.is_noise}
    by_place = {(asked.system, asked.attack, asked.at): asked for asked in reading.asked}
    for system in reading.systems:
        base = reading.base(system)
        if base is not None:
            one, other = (_clean(reading, name) for name in (system, base))
            yield from _compared("defense, clean", (Name(system), " against ", Name(base)), ("no attack",), one, other)
    for asked in reading.asked:
        attacked = reading.values(asked.cells, reading.main)
        before = reading.values(asked.cells, reading.main, "clean_cell")
        at: Phrase = (Name(asked.budget),)
        yield from _compared(
            "attack against clean", (Name(asked.attack), " on ", Name(asked.system)), at, attacked, before
        )
        reference = noise.get((asked.system, asked.at))
        if reference is not None and not asked.is_noise:
            about: Phrase = (Name(asked.attack), " on ", Name(asked.system))
            other = reading.values(reference.cells, reading.main)
            yield from _compared("attack against noise", about, at, attacked, other)
        base = reading.base(asked.system)
        twin = by_place.get((base, asked.attack, asked.at)) if base else None
        if twin is not None:
            about = (Name(asked.system), " against ", Name(twin.system), " under ", Name(asked.attack))
            yield from _compared("defense, attacked", about, at, attacked, _attacked(reading, twin))


def _clean(reading: Reading, system: str) -> Values:
    return reading.values(reading.clean_cells(system), reading.main)


def _attacked(reading: Reading, asked: Asked) -> Values:
    return reading.values(asked.cells, reading.main)


def _compared(kind: str, about: Phrase, at: Phrase, one: Values, other: Values) -> Iterator[Hypothesis]:
    if one.shape == other.shape:
        counts = ~(np.isnan(one).any(axis=0) | np.isnan(other).any(axis=0))
        yield Hypothesis(kind, about, at, one[:, counts], other[:, counts])


def _row(one: Hypothesis, result: Paired, t_holm: float, rank_holm: float) -> tuple[Phrase, ...]:
    ends = f"[{result.low:+.4f}, {result.high:+.4f}]".replace("-", MINUS)
    return (
        (one.kind,),
        one.about,
        one.at,
        (plain_number(result.mean, 3),),
        (ends,),
        (plain_number(result.effect_size, 2),),
        (p_value(result.t_p),),
        (p_value(result.wilcoxon_p),),
        (p_value(float(t_holm)),),
        (p_value(float(rank_holm)),),
        ("yes" if t_holm < _LEVEL else "no",),
    )
