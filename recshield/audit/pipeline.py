"""Checks on what was attacked and what was scored: DETERMINISM, ADAPTIVE, REALISABLE."""

from __future__ import annotations

import math
from collections.abc import Mapping

from recshield.audit.check import FAIL, NOT_RUN, PASS, WARN, Check, Facts, Finding, percent
from recshield.core.surfaces import family
from recshield.evaluation.effect import relative_change
from recshield.matrix.cells import Cell
from recshield.matrix.results import INSIDE, Results
from recshield.matrix.systems import is_gradient

#: Relative difference of the attacked loss along the gradient's path and from the scores that counts as none.
_ONE_PATH = 1e-3
#: Shares of the float effect that must be left in the saved 8-bit image: below the first it warns, below the second
#: it fails.
_KEPT, _LOST = 0.9, 0.5


class Deterministic(Check):
    """Scores are a function of the model and the perturbation."""

    number, name = 12, "DETERMINISM"
    of_members = "worst"
    description = "scoring twice gives the same scores bit for bit, clean and under attack"

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Read whether the measure step got the same scores twice."""
        clean = results.facts(facts["clean_cell"]) or {}
        held = [one.get("is_repeatable") for one in (facts, clean)]
        if any(one is None or one != one for one in held):
            return Finding(NOT_RUN, "not run: the run does not say whether its scores repeat; measure it again")
        if not all(held):
            where = "under attack" if not held[0] else "clean"
            sentence = f"scoring twice gives different scores ({where}): one draw is no figure"
            return Finding(FAIL, f"{sentence}; fix the randomness, or let the attack average over it")
        return Finding(PASS, "scoring twice gives the same scores, clean and under attack")


class Adaptive(Check):
    """The attack went through the defense, not around it."""

    number, name = 13, "ADAPTIVE"
    of_members = "worst"
    description = "the loss that the attack follows is that of the scores which the defended system serves"

    def needs(self, cell: Cell) -> Mapping[str, Cell]:
        """Return the undefended twin, whose loss may not be one of its scores either."""
        if cell.attack is None or not is_gradient(cell.attack) or cell.eps.value == 0 or not cell.system.defenses:
            return {}
        return {f"{self.name}.twin": cell.with_system(cell.system.undefended())}

    def applies(self, facts: Facts) -> bool:
        """Gradient attacks on systems with a defense."""
        return "gradients" in facts["access"] and bool(facts["defense"] != "none") and bool(facts["eps"] > 0)

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Compare the loss along the gradient's path with the one from the scores, beside the undefended twin's."""
        if facts.get("other_systems"):
            return Finding(WARN, f"transfer only: the gradient is that of {facts['other_systems']}")
        gap = _path_gap(facts)
        if math.isnan(gap):
            return Finding(NOT_RUN, "not run: the attack step noted no loss from the scores")
        figures = {"path_loss": facts["path_loss"], "path_score": facts["path_score"]}
        if gap <= _ONE_PATH:
            return Finding(PASS, "the attacked loss is that of the scores which are served", figures)
        twin = self.other(facts, results, "twin")
        both = f"{facts['path_loss']:.4f} where the gradient is taken, {facts['path_score']:.4f} from the scores"
        if twin is None or not _path_gap(twin) <= _ONE_PATH:
            return Finding(NOT_RUN, f"not run: the model's loss is not one of its scores without a defense ({both})")
        return Finding(WARN, f"transfer only: the gradient goes around the defense, the loss is {both}", figures)


def _path_gap(facts: Facts) -> float:
    """Return the relative difference of the two losses, NaN where they were not noted."""
    one, other = float(facts.get("path_loss", math.nan)), float(facts.get("path_score", math.nan))
    return abs(one - other) / max(abs(other), 1e-6)


class Realisable(Check):
    """What is scored could exist outside the program."""

    number, name = 19, "REALISABLE"
    description = "pixel attacks are scored again from the saved 8-bit image; what acts inside the model is labelled"

    def applies(self, facts: Facts) -> bool:
        """Attacks of some size on a surface inside the model, or on pixels."""
        held = family(facts["surface"])
        return bool(facts["eps"] > 0) and (held in INSIDE or held == "item_images")

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Read the label, or compare the effects of the float and the saved image."""
        held = family(facts["surface"])
        if held in INSIDE:
            table = results.table
            labels = table[table["cell"] == facts["cell"]]["labels"]
            if not labels.str.contains(INSIDE[held], regex=False).all():
                return Finding(FAIL, f"the cell is not labelled '{INSIDE[held]}'")
            return Finding(PASS, f"labelled: {INSIDE[held]}")
        return self._judge_pixels(facts, results)

    def _judge_pixels(self, facts: Facts, results: Results) -> Finding:
        """Compare `float_value` with `bits_value`, the main metric from the float and from the saved 8-bit image."""
        if facts["stage"] == "fit":
            return Finding(PASS, "the system was trained on images that were saved with 8 bits")
        floats, bits = facts.get("float_value", math.nan), facts.get("bits_value", math.nan)
        if math.isnan(floats) or math.isnan(bits):
            return Finding(NOT_RUN, "not run: the attacked images were not scored again from 8 bits")
        clean = float(results.values(facts["clean_cell"]).mean())
        figures = {"float": relative_change(floats, clean), "bits": relative_change(bits, clean)}
        both = f"{percent(figures['float'])} from float images, {percent(figures['bits'])} from the saved 8 bits"
        if not floats < clean:
            return Finding(PASS, f"no effect that rounding could take away: {both}", figures)
        kept = (bits - clean) / (floats - clean)
        if kept < _KEPT:
            lost = f"{100 * (1 - kept):.0f} % of the effect is lost when the image is saved"
            return Finding(FAIL if kept < _LOST else WARN, f"{lost}: {both}", figures)
        return Finding(PASS, both, figures)
