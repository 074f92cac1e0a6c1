"""Checks on whether an attack is as strong as it should be: MONOTONE, ITER>=SINGLE, NOISE."""

from __future__ import annotations

from collections.abc import Mapping

from recshield.audit.check import FAIL, NOT_RUN, PASS, WARN, Check, Facts, Finding, missing, percent, relative
from recshield.core.settings import ITERATION_TOLERANCE
from recshield.evaluation.effect import difference
from recshield.matrix.cells import Cell
from recshield.matrix.results import Results
from recshield.matrix.systems import is_gradient, is_informed

#: A significant loss of effect above this share of the clean figure fails; below it, it warns.
_SLACK = 0.02


class Monotone(Check):
    """More budget, no less effect."""

    number, name = 5, "MONOTONE"
    description = "the effect does not shrink as eps grows, beyond the interval over users"

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Compare with the next smaller eps of the same attack on the same system."""
        same = ("system", "attack", "surface", "goal", "stage", "norm", "seed", "fold")
        smaller = [
            one
            for one in results.cells()
            if all(one[key] == facts[key] for key in same) and 0 < one["eps"] < facts["eps"]
        ]
        if not smaller:
            return Finding(NOT_RUN, "not run: no smaller eps of the same attack to compare with")
        below = max(smaller, key=lambda one: float(one["eps"]))
        shrinkage = difference(results.values(facts["cell"]), results.values(below["cell"]))
        clean = float(results.values(facts["clean_cell"]).mean())
        here, there = relative(facts, results), relative(below, results)
        sentence = f"{percent(here)} at eps {facts['eps']:.4g}, {percent(there)} at eps {below['eps']:.4g}"
        figures = {"here": here, "below": there}
        if shrinkage.is_above_zero:
            is_large = shrinkage.mean > _SLACK * clean
            return Finding(FAIL if is_large else WARN, f"the effect shrinks as eps grows: {sentence}", figures)
        return Finding(PASS, sentence, figures)


class IterationHelps(Check):
    """Many steps are no weaker than one."""

    number, name = 7, "ITER>=SINGLE"
    of_members = "best"
    description = "the multi-step attack reaches at least the single-step one's loss, and its effect on the metric"
    is_required = True

    def needs(self, cell: Cell) -> Mapping[str, Cell]:
        """Return the single-step attack for a multi-step one, and the other way round."""
        if cell.attack is None or not is_gradient(cell.attack) or cell.eps.value == 0:
            return {}
        is_multi = int(cell.attack.option("steps", 1)) > 1
        return {f"{self.name}.partner": cell.with_attack("fgm" if is_multi else "pgd")}

    def applies(self, facts: Facts) -> bool:
        """Gradient attacks of some size."""
        return "gradients" in facts["access"] and facts["eps"] > 0

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Compare the values of the attacked loss, then the effects on the metric."""
        partner = self.other(facts, results, "partner")
        if partner is None:
            return missing("a single-step and a multi-step attack at the same budget")
        multi, single = (facts, partner) if facts["attack_steps"] > 1 else (partner, facts)
        reached, wanted = multi["goal_value"], single["goal_value"]
        figures = {"multi_step_loss": reached, "single_step_loss": wanted}
        names = f"{multi['attack']} reaches a loss of {reached:.4f}, {single['attack']} {wanted:.4f}"
        if not reached >= wanted - ITERATION_TOLERANCE * abs(wanted):
            is_weaker = multi is facts
            said = "the multi-step attack is the weaker one" if is_weaker else "stronger than the multi-step attack"
            return Finding(FAIL if is_weaker else WARN, f"{names}: {said}", figures, is_broken=is_weaker)
        shortfall = difference(results.values(multi["cell"]), results.values(single["cell"]))
        if shortfall.is_above_zero:
            lost = f"{percent(relative(multi, results))} against {percent(relative(single, results))}"
            why = f"more steps fit {facts['other_systems']} closer" if facts.get("other_systems") else ""
            sentence = (
                f"{names}, yet takes less from the metric ({lost}): {why or 'the attacked loss is not the metric'}"
            )
            return Finding(WARN, sentence, figures)
        return Finding(PASS, names, figures)


class BeatsNoise(Check):
    """A gradient, or an answer, is worth more than chance."""

    number, name = 9, "NOISE"
    of_members = "best"
    description = "what the attack learns raises the loss it follows, and random noise of the same norm is weaker"
    is_required = True

    def needs(self, cell: Cell) -> Mapping[str, Cell]:
        """Return noise at the same budget."""
        if cell.attack is None or not is_informed(cell.attack) or cell.eps.value == 0:
            return {}
        return {f"{self.name}.noise": cell.with_attack("noise")}

    def applies(self, facts: Facts) -> bool:
        """Attacks of some size that see gradients, scores or ranked lists."""
        return any(seen in facts["access"] for seen in ("gradients", "scores", "rankings")) and bool(facts["eps"] > 0)

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Look at the attacked loss, then compare the two over users."""
        if "gradients" in facts["access"] and not facts["goal_value"] > facts["goal_clean"]:
            sentence = f"the attacked loss goes from {facts['goal_clean']:.4f} to {facts['goal_value']:.4f}, not up"
            wrong = "the sign, the gradient or the goal is wrong"
            partner = results.other(facts, "ITER>=SINGLE.partner")
            if facts["attack_steps"] <= 1 and partner is None:
                wrong = f"one step may overshoot at this eps (several steps or a smaller eps tell), or {wrong}"
            elif partner is not None and facts["attack_steps"] <= 1 and partner["goal_value"] > partner["goal_clean"]:
                reached = f"{partner['attack']} reaches {partner['goal_value']:.4f}"
                wrong = f"one step overshoots at this eps ({reached}), or {wrong}"
            return Finding(FAIL, f"{sentence}: {wrong}", is_broken=True)
        noise = self.other(facts, results, "noise")
        if noise is None:
            return missing("random noise at the same budget")
        lead = difference(results.values(facts["cell"]), results.values(noise["cell"]))
        here, there = relative(facts, results), relative(noise, results)
        figures = {"attack": here, "noise": there}
        both = f"{percent(here)} against {percent(there)} for noise of norm {noise['measured_norm']:.4g}"
        if lead.is_below_zero:
            return Finding(PASS, both, figures)
        if lead.is_above_zero:
            return Finding(FAIL, f"weaker than noise: {both}; {_why_weak(facts)}, no worst case", figures)
        return Finding(WARN, f"not distinguishable from noise over {lead.n_users} users: {both}", figures)


def _why_weak(facts: Facts) -> str:
    if facts.get("other_systems"):
        return f"it does not carry over from {facts['other_systems']}"
    if "gradients" not in facts["access"]:
        return "its answers are too few, or say too little"
    return "the attack or its loss is the wrong one"
