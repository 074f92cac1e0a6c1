"""Sentences about who holds and who breaks: the best and the worst system, the worst attack, and what defenses cost."""

from __future__ import annotations

from typing import Any

from recshield.evaluation.stats import Interval, relative_interval
from recshield.report.asked import Asked, Place
from recshield.report.content import Name, Phrase
from recshield.report.reading import Reading
from recshield.report.standing import Standing, counts, largest, placed, standings
from recshield.report.words import between, change, figure, moved, share

#: Most systems whose figures one sentence gives, and most places that it names.
_NAMED, _JOINED = 3, 4


def ranks(reading: Reading, most: int) -> list[Phrase]:
    """Return who holds best and worst and what the worst attack takes, at every place that stands for the run.

    Args:
        reading: the run.
        most: sentences; where there are more places, several share one.

    Returns:
        Nothing where no figure of an attack with an aim counts.
    """
    held = {at: [one for one in standings(reading, at) if one.overall] for at in largest(reading)}
    held = {at: ranked for at, ranked in held.items() if ranked}
    if len(held) == 1:
        (at, ranked), *_ = held.items()
        first, *rest = _attacks(reading, at, ranked)
        return [_systems(reading, at, ranked), (f"{str(first).capitalize()}", *rest, ".")]
    said = [_place(reading, at, ranked) for at, ranked in held.items()]
    if len(said) <= most:
        return [("At ", *one, ".") for one in said]
    # One sentence for each place that ranks several systems, as far as they go; the others share the last.
    alone = [len(ranked) == 1 for ranked in held.values()]
    own = min(most - 1, alone.count(False) if any(alone) else most - 1)
    return [*(("At ", *one, ".") for one in said[:own]), *_joined(said[own:], most - own)]


def _joined(said: list[Phrase], most: int) -> list[Phrase]:
    """Return several places in few sentences, all of them up to a limit, and how many more there are."""
    kept, rest = said[: _JOINED * most], len(said) - _JOINED * most
    size = -(-len(kept) // most)
    found: list[Phrase] = []
    for start in range(0, len(kept), size):
        parts: list[Any] = []
        for one in kept[start : start + size]:
            parts += ["; at " if parts else "At ", *one]
        found.append((*parts, "."))
    if rest > 0:
        found[-1] = (*found[-1][:-1], f"; the matrix has {rest} more such comparisons.")
    return found


def _title(reading: Reading) -> str:
    return reading.main.upper()


def _left(reading: Reading, asked: Asked) -> Phrase:
    """Return `from 0.0698 to 0.0283`."""
    held = reading.estimate(asked.cells)
    return ("from ", figure(held.clean), " to ", figure(held.attacked))


def _fall(reading: Reading, asked: Asked, of: str = "") -> Phrase:
    """Return `-50.0 % [...] under pgd, from 0.0698 to 0.0283`."""
    moves = moved(reading.estimate(asked.cells))
    return (*moves, of, " under ", Name(asked.attack), ", ", *_left(reading, asked))


def _systems(reading: Reading, at: Place, ranked: list[Standing]) -> Phrase:
    """Return the best and the worst system of a run that has one place."""
    return ("At ", *placed(reading, at), _size(reading, at, ranked), *_order(reading, ranked), ".")


def _size(reading: Reading, at: Place, ranked: list[Standing]) -> str:
    """Return what is said of a budget: that none is larger, or why a larger one does not stand here."""
    size = max(asked.size for asked in reading.asked if asked.at == at)
    if any(asked.size > size for asked in reading.asked if asked.at[:4] == at[:4]):
        return ", the largest budget at which so many systems can be ranked, "
    is_part = len(ranked) > 1 and {one.system for one in ranked} != set(reading.systems)
    return f", the largest budget{' (of systems attacked alike)' if is_part else ''}, "


def _order(reading: Reading, ranked: list[Standing]) -> Phrase:
    """Return `a holds best, with a change of ...; b holds worst, with ...`, or how the only one changes."""
    best, last = ranked[0].overall, ranked[-1].overall
    assert best
    assert last
    first = _fall(reading, best, f" of {_title(reading)}")
    if best is last:
        return (Name(best.system), " changes by ", *first)
    held: Phrase = (Name(best.system), " holds best, with a change of ", *first)
    return (*held, "; ", Name(last.system), " holds worst, with ", *_fall(reading, last))


def _place(reading: Reading, at: Place, ranked: list[Standing]) -> Phrase:
    """Return what there is to say about one of several places: systems, attack, ensemble, noise."""
    said: list[Any] = [*placed(reading, at), ", "]
    if len(ranked) > 1:
        return (*said, *_order(reading, ranked), "; ", *_attacks(reading, at, ranked))
    (one,) = ranked
    assert one.overall
    is_alone = len({asked.system for asked in reading.asked if asked.at == at}) == 1
    said += ["where only ", Name(one.system), " was attacked" if is_alone else " has a figure that counts", ", it "]
    said += ["changes by ", *_fall(reading, one.overall, f" of {_title(reading)}")]
    if one.overall.is_ensemble:
        return (*said, "; ", *_attacks(reading, at, ranked))
    noise = ("; random noise of the same size takes ", share(reading.loss(one.noise))) if one.noise else ()
    return (*said, ", the worst attack", *noise)


def _worst(reading: Reading, at: Place) -> tuple[str, bool, list[Asked], dict[str, list[Asked]]]:
    """Return the worst attack, whether it is a single one, its cells, and all attacks on as many systems.

    Attacks that reached fewer systems than others are left out: their mean is over something else.
    """
    totals: dict[str, list[Asked]] = {}
    for asked in reading.asked:
        if asked.at == at and not asked.is_noise and counts(reading, asked):
            totals.setdefault(asked.attack, []).append(asked)
    most = max(len(held) for held in totals.values())
    full = {name: held for name, held in totals.items() if len(held) == most}

    def mean(name: str) -> float:
        return sum(reading.loss(asked) for asked in full[name]) / most

    single = [name for name in full if not full[name][0].is_ensemble]
    name = max(single or full, key=mean)
    return name, bool(single), full[name], full


def _attacks(reading: Reading, at: Place, ranked: list[Standing]) -> Phrase:
    """Return the worst single attack, what an ensemble adds, and what noise does."""
    name, is_single, held, full = _worst(reading, at)
    said: list[Any] = [
        "the worst single attack is " if is_single else "the worst attack is ",
        Name(name),
        ": it takes ",
    ]
    said += _takes(reading, held)
    for other in full:
        if full[other][0].is_ensemble and is_single:
            said += ["; ", Name(other), ", each user\N{RIGHT SINGLE QUOTATION MARK}s worst over several, takes "]
            said += _takes(reading, full[other])
            break
    noise = [one.noise for one in ranked if one.noise]
    return (*said, *(("; random noise of the same size takes ", *_takes(reading, noise)) if noise else ()))


def _takes(reading: Reading, held: list[Asked]) -> list[Any]:
    """Return `12.1 % from a and 54.0 % from b`; beyond a few systems the range."""
    losses = {asked.system: reading.loss(asked) for asked in held}
    if len(losses) > _NAMED:
        ends = (min(losses.values()), max(losses.values()))
        return [share(ends[0]), " to ", share(ends[1]), f" from {len(losses)} systems"]
    said: list[Any] = []
    for place, (system, lost) in enumerate(losses.items()):
        join = "" if not place else " and " if place == len(losses) - 1 else ", "
        said += [join, share(lost), " from ", Name(system)]
    return said


def defenses(reading: Reading) -> list[Phrase]:
    """Return what each defense costs on clean data and leaves under attack; reversals first."""
    at = [(place, {one.system: one for one in standings(reading, place)}) for place in largest(reading)]
    said: list[tuple[int, Phrase]] = []
    for system in reading.systems:
        base = reading.base(system)
        if base is None or not reading.has_values(reading.main):
            continue
        one, other = reading.clean_cells(system), reading.clean_cells(base)
        before, after = reading.values(other, reading.main), reading.values(one, reading.main)
        if before.shape != after.shape:
            continue
        shared = [pair for _, held in at if (pair := _shared(reading, held.get(system))) is not None]
        said.append(_defense(reading, system, base, relative_interval(before, after), shared))
    return [phrase for _, phrase in sorted(said, key=lambda pair: pair[0])]


def _shared(reading: Reading, own: Standing | None) -> tuple[Asked, Asked] | None:
    """Return the cells of a defended system and of its base under the single attack that is worst on the former."""
    worst = own and (own.single or own.overall)
    twin = reading.twin(worst) if worst else None
    return (worst, twin) if worst and twin else None


def _defense(
    reading: Reading, system: str, base: str, cost: Interval, shared: list[tuple[Asked, Asked]]
) -> tuple[int, Phrase]:
    """Return the sentence about one defense, and 0 where it wins clean and loses under attack."""
    sign = -1 if reading.main in reading.lower_is_better else 1
    is_within = cost.low <= 0 <= cost.high
    verb = "neither gains nor costs beyond chance" if is_within else "gains" if sign * cost.mean > 0 else "costs"
    clean: Phrase = (
        "Without an attack ", Name(system), f" {verb} against ", Name(base), " in ", _title(reading), " (",
        change(cost.mean), f" {between(cost.low, cost.high)})",
    )  # fmt: skip

    def gap(pair: tuple[Asked, Asked]) -> float:
        mine, its = (reading.estimate(one.cells).attacked for one in pair)
        return sign * (mine - its)

    losing = [pair for pair in shared if gap(pair) < 0]
    if not shared:
        return 1, (*clean, ".")
    if not losing:
        return 1, (*clean, "; under attack it is left with ", *_leaves(reading, shared), ".")
    is_reversed = verb == "gains"
    said = ", but it loses under attack" if is_reversed else ", and it is worse under attack"
    return int(not is_reversed), (*clean, f"{said}: it is left with ", *_leaves(reading, losing), ".")


def _leaves(reading: Reading, pairs: list[tuple[Asked, Asked]]) -> list[Any]:
    """Return `0.0312 against 0.0283 under pgd at l2 1` of every pair, up to a limit."""
    said: list[Any] = []
    for place, (own, bare) in enumerate(pairs[:_NAMED]):
        mine, its = reading.estimate(own.cells), reading.estimate(bare.cells)
        said += [", " if place else "", figure(mine.attacked), " against ", figure(its.attacked), " under "]
        said += [Name(own.attack), " at ", *placed(reading, own.at)]
    return said
