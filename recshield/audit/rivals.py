"""Checks that hold an attack beside the others of the run: BLACK<=WHITE, WORST-CASE, HELD-OUT."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from recshield.audit.check import FAIL, NOT_RUN, PASS, WARN, Check, Facts, Finding, percent, relative
from recshield.audit.gradients import badness, lead
from recshield.evaluation.effect import relative_change
from recshield.matrix.grouping import is_within_budget
from recshield.matrix.results import Results

#: What attacks that stand beside each other have in common; a control's system may be spelled otherwise.
_ROW = ("model", "defense", "surface", "goal", "stage", "norm", "eps_text", "seed", "fold")


def _beside(facts: Facts, results: Results) -> list[dict[str, Any]]:
    """Return the other attacks on the same system that kept to the same budget, controls included."""
    others = [one for one in results.cells() if one["cell"] != facts["cell"] and is_within_budget(one)]
    return [one for one in others if all(one[key] == facts[key] for key in _ROW)]


def _is_black_box(facts: Facts) -> bool:
    """Return whether an attack knows the model by its answers or by another model alone; noise knows nothing."""
    access = str(facts["access"]).split("+")
    if facts.get("other_systems"):
        return True  # its gradients, if any, are those of a surrogate
    return "gradients" not in access and ("rankings" in access or "scores" in access)


class BlackBelowWhite(Check):
    """Whoever knows less does no more harm."""

    number, name = 10, "BLACK<=WHITE"
    description = "no transfer or query attack is stronger than the white-box one at the same budget"

    def applies(self, facts: Facts) -> bool:
        """White-box attacks of some size."""
        return "gradients" in facts["access"] and not _is_black_box(facts) and bool(facts["eps"] > 0)

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Compare with the strongest attack of less access."""
        rivals = [one for one in _beside(facts, results) if _is_black_box(one)]
        if not rivals:
            return Finding(NOT_RUN, "not run: no transfer or query attack at the same budget to compare with")
        strongest = min(rivals, key=lambda one: float(results.values(one["cell"]).mean()))
        here, there = relative(facts, results), relative(strongest, results)
        sentence = f"{percent(here)} with gradients, {percent(there)} by {strongest['attack']}, which has none"
        figures = {"white_box": here, "black_box": there}
        verdict = badness(lead(strongest, facts, results), facts, results)
        said = "" if verdict == PASS else "the white-box figure overstates robustness: "
        return Finding(verdict, f"{said}{sentence}", figures)


class WorstCase(Check):
    """No user is better off in the figure than under the attack that hurts this user most."""

    number, name = 15, "WORST-CASE"
    description = "the worst over attacks is kept per user, beside the best single attack"

    def applies(self, facts: Facts) -> bool:
        """Attacks of some size."""
        return bool(facts["eps"] > 0)

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Take each user's lowest value over all attacks of the row."""
        beside = _beside(facts, results)
        if facts["members"]:
            return self._judge_ensemble(facts, [one for one in beside if not one["members"]], results)
        singles = [facts, *(one for one in beside if not one["members"])]
        if len(singles) < 2:
            return Finding(NOT_RUN, "not run: no other attack at the same budget to take the worst of")
        return Finding(PASS, *_told(facts, singles, results))

    def _judge_ensemble(self, facts: Facts, singles: list[dict[str, Any]], results: Results) -> Finding:
        members = [one for one in singles if one["cell"] in facts["members"]]
        if len(members) < len(facts["members"]):
            return Finding(NOT_RUN, "not run: the run lacks a member of the ensemble")
        own = results.values(facts["cell"])
        if not np.array_equal(own, _lowest(members, results)):
            return Finding(FAIL, "the figure is not each user's worst over the members that the run holds")
        sentence, figures = _told(facts, singles, results)
        others = [one for one in singles if one["cell"] not in facts["members"]]
        stronger = [one for one in others if lead(one, facts, results).is_below_zero]
        if stronger:
            named = min(stronger, key=lambda one: float(results.values(one["cell"]).mean()))
            return Finding(WARN, f"{named['attack']} alone takes more than the ensemble: {sentence}", figures)
        return Finding(PASS, sentence, figures)


def _lowest(cells: Sequence[Facts], results: Results) -> Any:
    return np.min([results.values(one["cell"]) for one in cells], axis=0)


def _told(facts: Facts, singles: Sequence[Facts], results: Results) -> tuple[str, dict[str, float]]:
    clean = float(results.values(facts["clean_cell"]).mean())
    best = min(singles, key=lambda one: float(results.values(one["cell"]).mean()))
    single, each = relative(best, results), relative_change(float(_lowest(singles, results).mean()), clean)
    sentence = f"{percent(relative(facts, results))} here, {percent(single)} by the strongest single attack "
    sentence += f"({best['attack']}), {percent(each)} as each user's worst over {len(singles)}"
    return sentence, {"strongest": single, "worst_case": each}


class HeldOut(Check):
    """A defense is judged by more than what it trained on."""

    number, name = 17, "HELD-OUT"
    description = "some gradient attack of the run differs from the attack that the defense trained on"

    def applies(self, facts: Facts) -> bool:
        """Systems that trained on an attack."""
        return bool(json.loads(facts.get("trained_on") or "[]"))

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Look for an attack of another kind, norm, surface or loss."""
        trained = json.loads(facts["trained_on"])
        same = ("model", "defense", "seed", "fold")
        cells = [one for one in results.cells() if all(one[key] == facts[key] for key in same) and one["eps"] > 0]
        strong = [one for one in cells if "gradients" in one["access"] or _is_black_box(one)]
        seen = " and ".join(f"{_kind(held['steps'])} on {held['target']}, {held['norm']}" for held in trained)
        others = sorted({one["attack"] for one in strong if not any(_is_seen(one, held) for held in trained)})
        if not others:
            return Finding(WARN, f"every attack is of the kind that the defense trained on ({seen}); add pgd or apgd")
        return Finding(PASS, f"trained on {seen}; attacked by {', '.join(others[:4])}, too")


def _kind(steps: int) -> str:
    return "random directions" if not steps else "one gradient step" if steps == 1 else f"{steps} gradient steps"


def _is_seen(facts: Facts, held: dict[str, Any]) -> bool:
    """Return whether an attack is what a defense met in training, whatever its eps."""
    is_same_place = facts["norm"] == held["norm"] and facts["surface"] == held["target"]
    is_same_kind = min(int(facts["attack_steps"]), 2) == min(int(held["steps"]), 2)
    return is_same_place and is_same_kind and facts["attack_loss"] in ("", "bpr") and not facts["members"]
