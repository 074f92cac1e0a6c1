"""Checks on whether the gradient led as far as it could: SATURATE, CONVERGED, ZERO-GRAD."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from recshield.audit.check import FAIL, PASS, WARN, Check, Facts, Finding, not_planned, percent, relative
from recshield.core.settings import EFFECT_LIMIT, EFFECT_TOLERANCE, SATURATE_PERCENT, ZERO_GRADIENT_SHARE
from recshield.evaluation.effect import Interval, difference
from recshield.matrix.budgets import Eps
from recshield.matrix.cells import Cell
from recshield.matrix.results import Results
from recshield.matrix.systems import is_gradient

#: What may be left above the level of chance at a very large budget, as a share of what the clean figure has above it.
_LEFT = 0.1
#: Losses whose gradient does not vanish where a score is large.
_SCALE_FREE = ("linear", "margin")


def _is_attack_of_some_size(cell: Cell) -> bool:
    return cell.attack is not None and is_gradient(cell.attack) and cell.eps.value > 0


def _uses_gradients(facts: Facts) -> bool:
    return "gradients" in facts["access"] and bool(facts["eps"] > 0)


def lead(stronger: Facts, facts: Facts, results: Results) -> Interval:
    """Return what another attack leaves of the main metric, less what this one leaves; below zero: it takes more."""
    return difference(results.values(stronger["cell"]), results.values(facts["cell"]))


def badness(gap: Interval, facts: Facts, results: Results) -> str:
    """Return how bad it is that another attack takes more: pass within the tolerance or within chance."""
    share = -gap.mean / max(float(results.values(facts["clean_cell"]).mean()), np.finfo(np.float64).tiny)
    if not gap.is_below_zero or share <= EFFECT_TOLERANCE:
        return PASS
    return FAIL if share > EFFECT_LIMIT else WARN


class Saturates(Check):
    """With budget enough, nothing is left to defend."""

    number, name = 6, "SATURATE"
    of_members = "best"
    description = "at a very large budget accuracy falls to the level of random ranking"

    def further_needs(self, cell: Cell) -> Mapping[str, Cell]:
        """Return the same attack at ten times the mean norm of the rows; for one step, which overshoots there, pgd."""
        if not _is_attack_of_some_size(cell) or cell.attack is None:
            return {}
        is_multi = int(cell.attack.option("steps", 1)) > 1
        there = cell if is_multi else cell.with_attack("pgd")
        return {f"{self.name}.large": there.with_eps(Eps(SATURATE_PERCENT, "percent"))}

    def applies(self, facts: Facts) -> bool:
        """Gradient attacks of some size."""
        return _uses_gradients(facts)

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Compare what is left with the mean of random rankings."""
        large = self.other(facts, results, "large")
        chance = facts.get("chance", math.nan)
        if large is None or math.isnan(chance):
            return not_planned(f"the attack at {SATURATE_PERCENT:g} % of the mean norm")
        clean = float(results.values(facts["clean_cell"]).mean())
        held = results.values(large["cell"])
        above = difference(held, np.full_like(held, chance))
        figures = {"left": float(held.mean()), "chance": chance, "clean": clean}
        by = "" if large["attack_name"] == facts["attack_name"] else f" by {large['attack']}"
        sentence = f"{held.mean():.4f} left at eps {large['eps']:.4g}{by}, {chance:.4f} by chance, {clean:.4f} clean"
        if above.is_above_zero and above.mean > _LEFT * (clean - chance):
            return Finding(FAIL, f"the attack stays weak whatever it may spend: {sentence}", figures)
        return Finding(PASS, sentence, figures)


class Converged(Check):
    """More steps or starts would not change the figure."""

    number, name = 8, "CONVERGED"
    of_members = "best"
    description = "doubling steps or restarts takes at most 1 % of the clean figure more"

    def further_needs(self, cell: Cell) -> Mapping[str, Cell]:
        """Return the attack with twice its steps, and with twice its restarts where it has any."""
        if not _is_attack_of_some_size(cell) or cell.attack is None:
            return {}
        counts = {key: int(cell.attack.option(key, 0)) for key in ("steps", "restarts")}
        if counts["steps"] < 2:
            return {}
        return {f"{self.name}.{key}": cell.with_option(key, 2 * count) for key, count in counts.items() if count}

    def applies(self, facts: Facts) -> bool:
        """Gradient attacks of several steps and some size."""
        return _uses_gradients(facts) and bool(facts["attack_steps"] > 1)

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Compare the effects on the metric."""
        others = {key: self.other(facts, results, key) for key in ("steps", "restarts")}
        held = {key: other for key, other in others.items() if other is not None}
        if not held:
            return not_planned("the attack with twice its steps")
        here = relative(facts, results)
        shown = ", ".join(f"{percent(relative(one, results))} with twice the {key}" for key, one in held.items())
        figures = {"here": here} | {key: relative(one, results) for key, one in held.items()}
        gaps = [lead(one, facts, results) for one in held.values()]
        verdict = badness(min(gaps, key=lambda gap: gap.mean), facts, results)
        said = "" if verdict == PASS else "not converged: "
        return Finding(verdict, f"{said}{percent(here)}, {shown}", figures)


class GradientsAlive(Check):
    """The gradient is there, and not starved where the loss is flat."""

    number, name = 11, "ZERO-GRAD"
    of_members = "best"
    description = "fewer than 1 % of the rows have no gradient, and no attack with a scale-free loss is stronger"

    def further_needs(self, cell: Cell) -> Mapping[str, Cell]:
        """Return the same attack on losses that do not flatten: linear and margin."""
        if not _is_attack_of_some_size(cell) or cell.attack is None:
            return {}
        if cell.attack.option("loss") not in ("", "bpr"):
            return {}
        return {f"{self.name}.{loss}": cell.with_option("loss", loss) for loss in _SCALE_FREE}

    def applies(self, facts: Facts) -> bool:
        """Gradient attacks of some size."""
        return _uses_gradients(facts)

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Look at the share of dead rows, then compare with the scale-free losses."""
        dead = facts["zero_gradients"]
        figures: dict[str, Any] = {"zero_gradients": dead}
        if math.isnan(dead):
            return Finding(FAIL, "the attack never asked for a gradient, although it says that it uses them", figures)
        share = f"{100 * dead:.2g} % of the rows that the goal reads have no gradient"
        if dead >= ZERO_GRADIENT_SHARE:
            return Finding(FAIL, f"{share}: nothing can be said of them", figures)
        if facts["attack_loss"] not in ("", "bpr"):
            return Finding(PASS, f"{share}; the loss '{facts['attack_loss']}' is free of scale", figures)
        others = {loss: self.other(facts, results, loss) for loss in _SCALE_FREE}
        held = {loss: other for loss, other in others.items() if other is not None}
        if not held:
            return Finding(PASS, f"{share}; whether saturation starves it was not looked at (--audit full)", figures)
        figures |= {loss: relative(one, results) for loss, one in held.items()}
        leads = {loss: lead(one, facts, results) for loss, one in held.items()}
        shown = ", ".join(f"{percent(relative(one, results))} on the loss {loss}" for loss, one in held.items())
        sentence = f"{share}; {percent(relative(facts, results))} here, {shown}"
        verdict = badness(min(leads.values(), key=lambda one: one.mean), facts, results)
        said = "" if verdict == PASS else "the gradient is starved: "
        return Finding(verdict, f"{said}{sentence}", figures)
