"""Section: what is different from another run."""

from __future__ import annotations

from recshield.report.asked import Asked, Place
from recshield.report.content import Block, Bullets, Name, Phrase, Prose, Section, Table
from recshield.report.reading import Reading
from recshield.report.sections.matrix import verdict_phrase
from recshield.report.standing import placed
from recshield.report.words import change, figure, listed, number_word

Key = tuple[str, str, Place]


def build(reading: Reading, other: Reading) -> Section:
    """Return what changed from `other` to `reading`: what was asked for, clean figures, cells."""
    lead = f"What is different in {reading.name} from {other.name}; cells are matched by system, attack and budget."
    blocks: list[Block] = [Bullets(_asked(reading, other)), _clean(reading, other)]
    here, there = _by_key(reading), _by_key(other)
    both = [key for key in here if key in there]
    if both:
        blocks.append(_cells(reading, other, here, there, both))
    else:
        blocks.append(Prose(("No cell stands in both runs.",)))
    return Section("changes", "What changed", lead, tuple(blocks))


def _by_key(reading: Reading) -> dict[Key, Asked]:
    return {(asked.system, asked.attack, asked.at): asked for asked in reading.asked}


def _asked(reading: Reading, other: Reading) -> tuple[Phrase, ...]:
    said: list[Phrase] = []
    fingerprints = [str(one.manifest.get("data", {}).get("fingerprint", "")) for one in (reading, other)]
    populations = [{str(facts["population"]) for facts in one.facts} for one in (reading, other)]
    if fingerprints[0] != fingerprints[1] or populations[0] != populations[1]:
        said.append(("The data or the evaluated users differ: figures of the two runs are not comparable.",))
    if reading.main != other.main:
        said.append(("The main metric was ", Name(other.main), " and is ", Name(reading.main), "."))
    for kind, new, old in (("systems", reading.systems, other.systems), ("attacks", reading.attacks, other.attacks)):
        added, gone = ([one for one in a if one not in b] for a, b in ((new, old), (old, new)))
        said += [(f"New {kind}: ", *listed(added, 8), ".")] if added else []
        said += [(f"No longer there, {kind}: ", *listed(gone, 8), ".")] if gone else []
    for title, key in (("Asked for", "request"), ("Version", "versions")):
        new_, old_ = reading.manifest.get(key, {}), other.manifest.get(key, {})
        for name in sorted(set(new_) | set(old_)):
            if new_.get(name) != old_.get(name):
                before, after = (str(held.get(name, "(none)")) for held in (old_, new_))
                said.append((f"{title}: {name} was ", Name(before), ", is ", Name(after), "."))
    return tuple(said) or (("Both runs asked for the same, of the same versions.",),)


def _clean(reading: Reading, other: Reading) -> Table:
    rows: list[tuple[Phrase, ...]] = []
    for system in reading.systems:
        if system in other.systems and reading.main in other.metrics:
            after = reading.estimate(reading.clean_cells(system)).clean
            before = other.estimate(other.clean_cells(system), reading.main).clean
            moved = after / before - 1 if before else float("nan")
            rows.append(((Name(system),), (figure(before),), (figure(after),), (change(moved),)))
    columns = ("system", "before", "now", "change")
    caption = f"Clean {reading.main} of systems that stand in both runs."
    return Table("clean", caption, columns, (False, True, True, True), tuple(rows))


def _cells(reading: Reading, other: Reading, here: dict[Key, Asked], there: dict[Key, Asked], both: list[Key]) -> Table:
    rows: list[tuple[Phrase, ...]] = []
    for key in both:
        after = reading.estimate(here[key].cells).change
        before = other.estimate(there[key].cells, reading.main if reading.main in other.metrics else "").change
        points = change(after - before)
        words = verdict_phrase(other, there[key]), verdict_phrase(reading, here[key])
        head: tuple[Phrase, ...] = ((Name(key[0]),), (Name(key[1]),), placed(reading, here[key].at))
        is_moved = reading.verdict(here[key]) != other.verdict(there[key])
        rows.append((*head, (change(before),), (change(after),), (points,), *words, ("yes" if is_moved else "",)))
    columns = ("system", "attack", "budget", "change before", "now", "difference", "verdict before", "now",
               "verdict moved")  # fmt: skip
    numeric = (False, False, False, True, True, True, False, False, False)
    caption = f"Relative change under attack in {number_word(len(both), 'cell')} of both runs; differences in points."
    return Table("cells", caption, columns, numeric, tuple(rows))
