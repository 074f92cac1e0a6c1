"""Section: three to six sentences written from the figures, and one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from recshield.report import charts
from recshield.report.asked import Place
from recshield.report.content import Block, Bullets, Chart, Name, Panel, Phrase, Section
from recshield.report.doubts import unbelievable, weaker_than_noise
from recshield.report.ranking import defenses, ranks
from recshield.report.reading import Reading
from recshield.report.standing import Standing, largest, place_text, standings, unattacked
from recshield.report.words import figure, number_word

#: Most sentences of a summary, and most of them that say who stands where.
_MOST, _RANKS = 6, 3
#: What the picture shows of a system.
_KINDS = ("clean", "random noise", "worst single attack", "each user\N{RIGHT SINGLE QUOTATION MARK}s worst")


def build(reading: Reading) -> Section:
    """Return the section."""
    blocks: list[Block] = [Bullets(tuple(sentences(reading)))]
    picture = _picture(reading)
    if picture is not None:
        blocks.append(picture)
    lead = "Written from the figures below."
    if len(largest(reading)) > 1:
        lead += " What was attacked on different surfaces, in different norms or for different goals is not comparable."
    return Section("summary", "Summary", lead, tuple(blocks))


def sentences(reading: Reading) -> list[Phrase]:
    """Return the summary, the most important sentence first."""
    head = ranks(reading, _RANKS)
    if not head:
        return [*_clean_only(reading), *unbelievable(reading)][:_MOST]
    last = [*weaker_than_noise(reading), *unbelievable(reading)][: _MOST - len(head)]
    about = defenses(reading)[: max(_MOST - len(head) - len(last), 0)]
    said = [*head, *about, *last]
    return said if len(said) > 2 else [*said, _size(reading)]


def _size(reading: Reading) -> Phrase:
    systems, seeds = (
        number_word(len(held), name) for held, name in ((reading.systems, "system"), (reading.seeds, "seed"))
    )
    return (f"{systems} on {reading.dataset}, {seeds}.",)


def _title(reading: Reading) -> str:
    return reading.main.upper()


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
    """Return what every system has without an attack and what is left of it, a panel for every place."""
    held = {at: standings(reading, at) for at in largest(reading)}
    if not held:
        return None
    clean = {system: reading.estimate(reading.clean_cells(system)).clean for system in reading.systems}
    idle = unattacked(reading)
    drawn = {at: _rows(reading, standing, clean) for at, standing in held.items()}
    if len(held) == 1:  # where there is one panel, it has room for those that nobody attacked
        for rows in drawn.values():
            rows += [{"system": system, "kind": _KINDS[0], "value": clean[system]} for system in idle]
    top = (
        max((row["value"] for rows in drawn.values() for row in rows if math.isfinite(row["value"])), default=0.0)
        or 1.0
    )
    panels = []
    for at, rows in drawn.items():
        alt = "; ".join(f"{row['system']}, {row['kind']}: {row['value']:.4f}" for row in rows)
        title = place_text(reading, at) if len(held) > 1 else ""
        panels.append(
            Panel(title, f"{title}: {alt}" if title else alt, charts.standing(rows, _KINDS, _title(reading), top))
        )
    where = f"at {place_text(reading, next(iter(held)))}" if len(held) == 1 else "at the largest budget of each kind"
    caption = f"{_title(reading)} without an attack and under attack {where}."
    return Chart("standing", f"{caption}{_missing(held, idle, len(held) == 1)}", tuple(panels))


def _rows(reading: Reading, standing: list[Standing], clean: dict[str, float]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for one in standing:
        rows.append({"system": one.system, "kind": _KINDS[0], "value": clean[one.system]})
        ensemble = one.overall if one.overall and one.overall.is_ensemble else None
        for kind, asked in zip(_KINDS[1:], (one.noise, one.single, ensemble), strict=True):
            if asked:
                rows.append({"system": one.system, "kind": kind, "value": reading.estimate(asked.cells).attacked})
    return rows


def _missing(held: dict[Place, list[Standing]], idle: Sequence[str], is_drawn: bool) -> str:
    """Return whom the picture shows no attack of, and why."""
    said = ""
    lost = [one.system for standing in held.values() for one in standing if not (one.overall or one.noise)]
    if lost:
        said += f" No figure counts of attacked systems: {', '.join(dict.fromkeys(lost))}."
    if idle:
        said += f" Not attacked{'' if is_drawn else ', and not drawn'}: {', '.join(idle)}."
    return said
