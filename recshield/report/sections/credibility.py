"""Section: every check with what it found, failed ones first, and the limits of the evaluation in plain words."""

from __future__ import annotations

from collections import Counter
from typing import Any

from recshield.core.registry import registry
from recshield.report.asked import Asked
from recshield.report.content import Block, Bullets, Name, Phrase, Prose, Section, Table, Verdict
from recshield.report.reading import Reading, badness
from recshield.report.sections.matrix import is_parameters
from recshield.report.standing import spot
from recshield.report.words import listed, number_word

#: Seeds below which a difference between two trained systems is no claim.
_CLAIM_SEEDS = 5
#: Most cells that a finding names, and most findings that stand open.
_NAMED, _OPEN = 3, 20


def build(reading: Reading) -> Section:
    """Return the section."""
    lead = "What each check of the audit found on the cells that were asked for, and what no check can see."
    blocks: list[Block] = [Prose(_counted(reading))]
    table = _checks(reading)
    if table.rows:
        blocks += [table, *_sentences(reading)]
    limits = (Prose(("What limits this evaluation:",)), _limits(reading))
    return Section("credibility", "Credibility", lead, (*blocks, *limits))


def _counted(reading: Reading) -> Phrase:
    words = Counter(reading.verdict(asked) for asked in reading.asked)
    if not words:
        return ("Nothing was attacked, so that nothing was judged.",)
    if set(words) == {""}:
        return ("The cells of this run carry no verdict: it was not audited.",)
    said: list[Any] = [f"Of {number_word(len(reading.asked), 'cell')}: "]
    held = sorted(words, key=badness)
    for place, word in enumerate(held):
        said += [f"{words[word]} ", Verdict(word) if word else "not judged", ", " if place < len(held) - 1 else ". "]
    flips = sum(reading.is_flipping(asked) for asked in reading.asked)
    if flips:
        said.append(f"The verdict differs between seeds in {number_word(flips, 'cell')}; the worst one counts.")
    return tuple(said)


def _descriptions() -> dict[str, str]:
    return {str(check.name): str(check.description) for check in registry().found["check"].values()}


def _checks(reading: Reading) -> Table:
    """Return one row per check: what must hold, and how often it did."""
    said = _descriptions()
    counts: dict[tuple[int, str, bool], Counter[str]] = {}
    for row in reading.verdicts.to_dict("records"):
        key = (int(row["number"]), str(row["check"]), bool(row["is_required"]))
        counts.setdefault(key, Counter())[str(row["verdict"])] += 1

    def order(key: tuple[int, str, bool]) -> tuple[int, int]:
        return (min(badness(word) for word in counts[key]), key[0])

    rows = []
    for key in sorted(counts, key=order):
        number, name, is_required = key
        of = counts[key]
        shown = tuple((str(of[word]) if of[word] else "\N{EN DASH}",) for word in ("fail", "not run", "warn", "pass"))
        head: tuple[Phrase, ...] = ((f"{number}",), (Name(name),), (said.get(name, "(this check is not installed)"),))
        rows.append((*head, ("yes" if is_required else "",), *shown))
    columns = ("No.", "check", "what must hold", "required", "fail", "not run", "warn", "pass")
    numeric = (True, False, False, False, True, True, True, True)
    return Table("checks", "Every check, and on how many cells it found what.", columns, numeric, tuple(rows))


def _sentences(reading: Reading) -> list[Table]:
    """Return what was found, equal sentences together: first what failed or is unproven, then all the rest."""
    names = {str(facts["cell"]): asked for asked in reading.asked for facts in asked.cells}
    grouped: dict[tuple[str, int, str, str], dict[Asked, None]] = {}
    required = {(int(row["number"]), str(row["check"])) for row in reading.verdicts.to_dict("records")
                if row["is_required"]}  # fmt: skip
    for row in reading.verdicts.to_dict("records"):
        asked = names.get(str(row["cell"]))
        if asked is not None:
            key = (str(row["verdict"]), int(row["number"]), str(row["check"]), str(row["sentence"]))
            grouped.setdefault(key, {})[asked] = None
    rows: dict[bool, list[tuple[Phrase, ...]]] = {True: [], False: []}
    for key in sorted(grouped, key=lambda one: (badness(one[0]), one[1], one[3])):
        verdict, number, check, sentence = key
        decides = verdict == "fail" or (verdict == "not run" and (number, check) in required)
        shown = ((Verdict(verdict),), (f"{number} ", Name(check)), (sentence,), _cells(reading, list(grouped[key])))
        rows[decides].append(shown)
    columns = ("verdict", "check", "what it found", "where")
    first = "What failed, and required checks that could not be run."
    rest = "Every other finding, the worst first; equal sentences stand together."
    tables = (("failed", first, rows[True], len(rows[True]) > _OPEN), ("findings", rest, rows[False], True))
    return [Table(key, said, columns, (False,) * 4, tuple(held), folded) for key, said, held, folded in tables if held]


def _cells(reading: Reading, held: list[Asked]) -> Phrase:
    if len(held) > _NAMED:
        return (number_word(len(held), "cell"),)
    said: list[Any] = []
    for asked in held:
        said += [*spot(reading, asked), "; "]
    return tuple(said[:-1])


def _limits(reading: Reading) -> Bullets:
    """Return what a reader must not conclude, from what was and was not done."""
    said: list[Phrase] = []
    n_seeds = len(reading.seeds)
    if n_seeds < _CLAIM_SEEDS:
        runs = "one seed" if n_seeds == 1 else f"{n_seeds} seeds"
        text = f"Each system was trained with {runs}; differences between systems may be chance of training. "
        said.append((f"{text}A claim needs {_CLAIM_SEEDS}.",))
    inside = [asked for asked in reading.asked if is_parameters(asked)]
    if inside:
        text = "Perturbed parameters have no counterpart outside: nobody can move embeddings without being inside the "
        rest = "model. These figures compare systems; they are no measure of what an intruder can do."
        said.append((f"{text}{rest}",))
    ensembles = [asked.attack for asked in reading.asked if asked.is_ensemble]
    if ensembles:
        text = " takes the worst of several attacks for each user: a bound, not one perturbation."
        said.append((*listed(ensembles), text))
    over = [asked.attack for asked in reading.asked if asked.overspends > 1]
    if over:
        said.append((*listed(over), " was not held to its budget; do not rank it against the others."))
    if reading.asked and not any(asked.goal.endswith(":oracle") for asked in reading.asked):
        text = "The attacks raise the loss on training rows; an attacker who knew the test rows could take more."
        said.append((text,))
    if reading.asked:
        text = "Every attack gives a lower bound of the loss: a stronger one may exist. What held here held against "
        said.append((text, *listed(reading.attacks, 12), "."))
    if reading.results.aggregates:
        said.append((*listed(reading.results.aggregates), " have no value per user, and so no interval here."))
    if reading.request.get("controls") == "none":
        said.append(("The cells that the audit needs were left out (--controls none).",))
    if reading.manifest.get("failed"):
        said.append((number_word(len(reading.manifest["failed"]), "step"), " failed; their cells are missing."))
    missing = reading.manifest.get("plugins_not_loaded", {})
    if missing:
        said.append(("Plugins that could not be loaded: ", *listed([str(one) for one in missing]), "."))
    said.append((f"One data set ({reading.dataset}), one split; other data may order the systems otherwise.",))
    return Bullets(tuple(said))
