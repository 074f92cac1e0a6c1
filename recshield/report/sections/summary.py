"""Section: three to six sentences written from the figures, and one picture."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from recshield.report import charts
from recshield.report.content import Block, Bullets, Chart, Name, Panel, Phrase, Section, Verdict
from recshield.report.figures_of import Interval, relative_interval
from recshield.report.reading import Asked, Reading
from recshield.report.standing import Standing, counts, places, standings
from recshield.report.words import between, change, figure, listed, moved, number_word, share

#: Most sentences of a summary, and most systems whose figures one of them gives.
_MOST, _NAMED = 6, 3


def build(reading: Reading) -> Section:
    """Return the section."""
    blocks: list[Block] = [Bullets(tuple(sentences(reading)))]
    picture = _picture(reading)
    if picture is not None:
        blocks.append(picture)
    return Section("summary", "Summary", "Written from the figures below.", tuple(blocks))


def sentences(reading: Reading) -> list[Phrase]:
    """Return the summary, the most important sentence first."""
    at = next(iter(places(reading)), None)
    held = standings(reading, at) if at else []
    ranked = [one for one in held if one.overall]
    if not ranked:
        return [*_clean_only(reading), *_unbelievable(reading)][:_MOST]
    last = [*_weaker_than_noise(reading), *_unbelievable(reading)]
    head = [_systems(reading, ranked), _attack(reading, ranked)]
    defenses = _defenses(reading, {one.system: one for one in ranked})
    said = [*head, *defenses[: max(_MOST - len(head) - len(last), 1)], *last]
    return said[:_MOST]


def _title(reading: Reading) -> str:
    return reading.main.upper()


def _left(reading: Reading, asked: Asked) -> Phrase:
    """Return `from 0.0698 to 0.0283`."""
    held = reading.estimate(asked.cells)
    return ("from ", figure(held.clean), " to ", figure(held.attacked))


def _systems(reading: Reading, ranked: list[Standing]) -> Phrase:
    best, last = ranked[0], ranked[-1]
    assert best.overall
    assert last.overall
    budget = (Name(best.overall.budget),)
    best_said = (*moved(reading.estimate(best.overall.cells)), " of ", _title(reading), " under ",
                 Name(best.overall.attack), ", ", *_left(reading, best.overall))  # fmt: skip
    if best is last:
        return ("At ", *budget, ", the largest budget, ", Name(best.system), " changes by ", *best_said, ".")
    last_said = (*moved(reading.estimate(last.overall.cells)), " under ", Name(last.overall.attack), ", ",
                 *_left(reading, last.overall))  # fmt: skip
    alike = " (of systems attacked alike)" if {one.system for one in ranked} != set(reading.systems) else ""
    return (
        "At ", *budget, f", the largest budget{alike}, ", Name(best.system), " holds best, with a change of ",
        *best_said, "; ", Name(last.system), " holds worst, with ", *last_said, ".",
    )  # fmt: skip


def _attack(reading: Reading, ranked: list[Standing]) -> Phrase:
    """Return the worst single attack, what an ensemble adds, and what noise does."""
    at = next(one.overall.at for one in ranked if one.overall)
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
    said: list[Any] = ["The worst single attack is " if single else "The worst attack is ", Name(name), ": it takes "]
    said += _takes(reading, full[name])
    for other in full:
        if full[other][0].is_ensemble and single:
            said += ["; ", Name(other), ", each user\N{RIGHT SINGLE QUOTATION MARK}s worst over several, takes "]
            said += _takes(reading, full[other])
            break
    noise = [one.noise for one in ranked if one.noise]
    if noise:
        said += ["; random noise of the same size takes ", *_takes(reading, noise)]
    return (*said, ".")


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


def _defenses(reading: Reading, at: dict[str, Standing]) -> list[Phrase]:
    """Return what each defense costs on clean data and gains under attack; reversals first."""
    said: list[tuple[int, Phrase]] = []
    for system in reading.systems:
        base = reading.base(system)
        if base is None or not reading.has_values(reading.main):
            continue
        one, other = reading.clean_cells(system), reading.clean_cells(base)
        before, after = reading.values(other, reading.main), reading.values(one, reading.main)
        if before.shape != after.shape:
            continue
        said.append(_defense(reading, system, base, relative_interval(before, after), at))
    return [phrase for _, phrase in sorted(said, key=lambda pair: pair[0])]


def _defense(reading: Reading, system: str, base: str, cost: Interval, at: dict[str, Standing]) -> tuple[int, Phrase]:
    """Return the sentence about one defense, and 0 where it wins clean and loses under attack."""
    sign = -1 if reading.main in reading.lower_is_better else 1
    is_within = cost.low <= 0 <= cost.high
    verb = "neither gains nor costs beyond chance" if is_within else "gains" if sign * cost.mean > 0 else "costs"
    clean: Phrase = (
        "Without an attack ", Name(system), f" {verb} against ", Name(base), " in ", _title(reading), " (",
        change(cost.mean), f" {between(cost.low, cost.high)})",
    )  # fmt: skip
    shared = _shared_attack(reading, system, base, at)
    if shared is None:
        return 1, (*clean, ".")
    own, bare = shared
    mine, its = reading.estimate(own.cells), reading.estimate(bare.cells)
    left: Phrase = (figure(mine.attacked), " against ", figure(its.attacked), " under ", Name(own.attack), " at ",
                    Name(own.budget))  # fmt: skip
    if sign * (mine.attacked - its.attacked) < 0:
        if verb == "gains":
            return 0, (*clean, ", but it loses under attack: it is left with ", *left, ".")
        return 1, (*clean, ", and it is worse under attack: it is left with ", *left, ".")
    return 1, (*clean, "; under attack it is left with ", *left, ".")


def _shared_attack(reading: Reading, system: str, base: str, at: dict[str, Standing]) -> tuple[Asked, Asked] | None:
    """Return the cells of both systems under the single attack that is worst on the defended one."""
    own = at.get(system)
    worst = own and (own.single or own.overall)
    if not worst:
        return None
    alike = (one for one in reading.asked if one.system == base and (one.attack, one.at) == (worst.attack, worst.at))
    other = next(alike, None)
    return (worst, other) if other else None


def _weaker_than_noise(reading: Reading) -> list[Phrase]:
    noise = {(asked.system, asked.at): asked for asked in reading.asked if asked.is_noise}
    weak = []
    for asked in reading.asked:
        reference = noise.get((asked.system, asked.at))
        is_aimed = reference is not None and not asked.is_noise
        if reference is not None and is_aimed and reading.loss(asked) <= reading.loss(reference):
            weak.append((asked, reference))
    if not weak:
        return []
    if len(weak) == 1:
        asked, reference = weak[0]
        both: Phrase = (change(reading.estimate(asked.cells).change), " against ",
                        change(reading.estimate(reference.cells).change))  # fmt: skip
        where: Phrase = (" on ", Name(asked.system), " at ", Name(asked.budget), " (", *both, ")")
    else:
        where = (f" in {len(weak)} cells, on ", *listed([asked.system for asked, _ in weak]))
    names = listed([asked.attack for asked, _ in weak])
    verb = "takes" if len({asked.attack for asked, _ in weak}) == 1 else "take"
    return [(*names, f" {verb} no more than random noise of the same size", *where, ": no worst case, and no proof "
             "of robustness.")]  # fmt: skip


def _unbelievable(reading: Reading) -> list[Phrase]:
    """Return what the audit does not let a reader believe."""
    failed: dict[str, list[Asked]] = {}
    unproven: list[Asked] = []
    why: Counter[str] = Counter()
    for asked in reading.asked:
        rows = [row for facts in asked.cells for row in reading.found.get(str(facts["cell"]), [])]
        for check in dict.fromkeys(str(row["check"]) for row in rows if row["verdict"] == "fail"):
            failed.setdefault(check, []).append(asked)
        if reading.verdict(asked) == "unproven":
            unproven.append(asked)
            why.update({str(row["check"]) for row in rows if row["verdict"] == "not run" and row["is_required"]})
    said: list[Phrase] = []
    scale = failed.pop("SCALE", [])
    if scale:
        systems = listed([asked.system for asked in scale])
        cells = number_word(len(scale), "cell")
        said.append(("Do not believe the robustness of ", *systems, f" in {cells}: the whole gain at equal eps is "
                     "larger embeddings (check ", Name("SCALE"), " fails)."))  # fmt: skip
    if failed:
        n_cells = len({asked for held in failed.values() for asked in held})
        cells = number_word(n_cells, "cell")
        said.append(("Do not believe ", cells, " that the audit fails: ", *_by_check(failed), "."))
    if unproven:
        first = unproven[0]
        text: Phrase = (Name(first.system), " under ", Name(first.attack), " at ", Name(first.budget))
        where = text if len(unproven) == 1 else (number_word(len(unproven), "cell"), ", such as ", *text, ",")
        verb = "is" if len(unproven) == 1 else "are"
        said.append((*where, f" {verb} ", Verdict("unproven"), ": a check that decides (", *listed(list(why)),
                     ") could not be run."))  # fmt: skip
    if not said and reading.asked:
        runs = number_word(len(reading.seeds), "seed")
        judged = any(reading.verdict(asked) for asked in reading.asked)
        text_ = "The audit fails no cell" if judged else "The audit has not judged this run"
        said.append((f"{text_}; differences between systems rest on {runs}.",))
    return said


def _by_check(failed: dict[str, list[Asked]]) -> Phrase:
    said: list[Any] = []
    for check, held in failed.items():
        said += [", " if said else "", Name(check), " on ", *listed([asked.system for asked in held], 2)]
        said += [" under ", *listed([asked.attack for asked in held], 2)]
    return tuple(said)


def _clean_only(reading: Reading) -> list[Phrase]:
    """Return what can be said where nothing was attacked with an aim."""
    held = {system: reading.estimate(reading.clean_cells(system)).clean for system in reading.systems}
    sign = -1 if reading.main in reading.lower_is_better else 1
    known = {system: value for system, value in held.items() if not math.isnan(value)}
    said: list[Phrase] = [("No attack with an aim was run: this report says nothing about robustness.",)]
    if known:
        best = max(known, key=lambda system: sign * known[system])
        head: Phrase = ("Without an attack ", Name(best), " is best, with ", _title(reading))
        said.append((*head, " of ", figure(known[best]), "."))
    said.append((f"{number_word(len(reading.systems), 'system')} on {reading.dataset}, "
                 f"{number_word(len(reading.seeds), 'seed')}.",))  # fmt: skip
    return said


def _picture(reading: Reading) -> Chart | None:
    """Return what every system has without an attack and what is left of it under the worst one."""
    at = next(iter(places(reading)), None)
    if at is None:
        return None
    kinds = ("clean", "random noise", "worst single attack", "each user\N{RIGHT SINGLE QUOTATION MARK}s worst")
    held = {one.system: one for one in standings(reading, at)}
    rows: list[dict[str, Any]] = []
    for system in [*held, *(one for one in reading.systems if one not in held)]:
        own = held.get(system)
        rows.append({"system": system, "kind": kinds[0], "value": reading.estimate(reading.clean_cells(system)).clean})
        ensemble = own.overall if own and own.overall and own.overall.is_ensemble else None
        worst = (own.noise, own.single, ensemble) if own else ()
        for kind, asked in zip(kinds[1:], worst, strict=False):
            if asked:
                rows.append({"system": system, "kind": kind, "value": reading.estimate(asked.cells).attacked})
    used = [kind for kind in kinds if any(row["kind"] == kind for row in rows)]
    spec = charts.standing(rows, used, _title(reading))
    under = f"{_title(reading)} without an attack and under attack at {at[3]} {at[4]}"
    caption = f"{under}; systems without a line were not attacked."
    alt = "; ".join(f"{row['system']}, {row['kind']}: {row['value']:.4f}" for row in rows)
    return Chart("standing", caption, (Panel("", alt, spec),))
