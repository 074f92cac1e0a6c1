"""Sentences about figures that must not be believed: what the audit fails or cannot prove, what noise does too."""

from __future__ import annotations

from collections import Counter
from typing import Any

from recshield.core.surfaces import family
from recshield.report.asked import Asked
from recshield.report.content import Name, Phrase, Verdict
from recshield.report.reading import Reading
from recshield.report.standing import placed, spot
from recshield.report.words import change, listed, number_word


def weaker_than_noise(reading: Reading) -> list[Phrase]:
    """Return which attacks take no more than random noise of their size, as one sentence or none."""
    weak = []
    for asked in reading.asked:
        reference = reading.noise(asked.system, asked.at)
        is_aimed = reference is not None and not asked.is_noise
        if reference is not None and is_aimed and reading.loss(asked) <= reading.loss(reference):
            weak.append((asked, reference))
    if not weak:
        return []
    if len(weak) == 1:
        asked, reference = weak[0]
        both: Phrase = (change(reading.estimate(asked.cells).change), " against ",
                        change(reading.estimate(reference.cells).change))  # fmt: skip
        where: Phrase = (" on ", Name(asked.system), " at ", *placed(reading, asked.at), " (", *both, ")")
    else:
        where = (f" in {len(weak)} cells, on ", *listed([asked.system for asked, _ in weak]))
    names = listed([asked.attack for asked, _ in weak])
    verb = "takes" if len({asked.attack for asked, _ in weak}) == 1 else "take"
    return [(*names, f" {verb} no more than random noise of the same size", *where, ": no worst case, and no proof "
             "of robustness.")]  # fmt: skip


def unbelievable(reading: Reading) -> list[Phrase]:
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
        what = (
            "larger embeddings" if all(family(asked.surface) == "factors" for asked in scale) else "a matter of scale"
        )
        attacks = listed([asked.attack for asked in scale])
        said.append(("Do not believe the robustness of ", *systems, " under ", *attacks, f" in {cells}: the whole gain "
                     f"at equal eps is {what} (check ", Name("SCALE"), " fails)."))  # fmt: skip
    if failed:
        n_cells = len({asked for held in failed.values() for asked in held})
        cells = number_word(n_cells, "cell")
        said.append(("Do not believe ", cells, " that the audit fails: ", *_by_check(failed), "."))
    if unproven:
        text = spot(reading, unproven[0])
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
