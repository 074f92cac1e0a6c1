"""Checks that hold a defended system against the undefended one: CLEAN-COST, CONTROL, SCALE."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from recshield.audit.check import FAIL, PASS, WARN, Check, Facts, Finding, effect, gain, missing, percent, relative
from recshield.core.surfaces import family
from recshield.evaluation.effect import difference, relative_change
from recshield.matrix.budgets import Eps
from recshield.matrix.cells import Cell
from recshield.matrix.results import Results
from recshield.matrix.systems import continued_rescaled_like, rescaled_like

#: Families of surfaces that belong to the data, so that their norms are the same for every system.
_OF_DATA = ("item_features", "item_images")
#: Share of users whose rank may differ where one model is the other scaled (float32 rounding moves ties).
_ALIKE = 0.01
#: Shares of the gain at equal eps that a control without any defense reaches too: all of it, and too much of it.
_WHOLE, _HALF = 0.9, 0.5


def _is_defended(cell: Cell) -> bool:
    return bool(cell.system.defenses)


class CleanCost(Check):
    """What the defense costs without an attack."""

    number, name = 16, "CLEAN-COST"
    description = "clean accuracy before and after the defense stands beside every robust figure"
    is_required = True

    def needs(self, cell: Cell) -> Mapping[str, Cell]:
        """Return the undefended system, clean."""
        if not _is_defended(cell):
            return {}
        return {f"{self.name}.base": cell.with_system(cell.system.undefended()).clean()}

    def applies(self, facts: Facts) -> bool:
        """Systems with a defense."""
        return bool(facts["defense"] != "none")

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Compare the clean figures over users."""
        base = self.other(facts, results, "base")
        if base is None:
            return missing("the clean undefended system")
        before, after = results.values(base["cell"]), results.values(facts["clean_cell"])
        cost = difference(after, before)
        share = relative_change(float(after.mean()), float(before.mean()))
        both = f"clean {results.metrics[0]} {before.mean():.4f} before, {after.mean():.4f} after ({percent(share)})"
        figures = {"before": float(before.mean()), "after": float(after.mean())}
        if cost.is_below_zero:
            return Finding(WARN, f"the defense costs clean accuracy: {both}", figures)
        return Finding(PASS, both, figures)


class AttackWorks(Check):
    """The attack does its work where nothing defends."""

    number, name = 18, "CONTROL"
    description = "the same attack works on the undefended model"
    is_required = True

    def needs(self, cell: Cell) -> Mapping[str, Cell]:
        """Return the same attack on the undefended model."""
        if not _is_defended(cell) or cell.eps.value == 0:
            return {}
        return {f"{self.name}.twin": cell.with_system(cell.system.undefended())}

    def applies(self, facts: Facts) -> bool:
        """Systems with a defense, attacks of some size."""
        return bool(facts["defense"] != "none" and facts["eps"] > 0)

    def judge(self, facts: Facts, results: Results) -> Finding:
        """See whether the undefended model loses."""
        twin = self.other(facts, results, "twin")
        if twin is None:
            return missing("the same attack on the undefended model")
        lost, share = effect(twin, results), relative(twin, results)
        sentence = f"{twin['system']} changes by {percent(share)} under the same attack"
        figures = {"undefended": share}
        if lost.is_below_zero:
            return Finding(PASS, sentence, figures)
        if lost.is_above_zero:
            return Finding(FAIL, f"the attack helps the undefended model: {sentence}", figures)
        chance = f"the attack's effect on the undefended model is within chance over {lost.n_users} users"
        return Finding(WARN, f"{chance}: {sentence}", figures)


class NotScale(Check):
    """Robustness at a fixed eps is more than larger embeddings.

    Two controls: the undefended model at equal relative eps, and, where scaling its tables changes no clean figure
    (inner products), the undefended model scaled to the defended one's norms, at equal eps. Whichever loses less
    says what scale alone is worth.
    """

    number, name = 23, "SCALE"
    description = "the defended system loses less than the undefended one at equal relative eps, or rescaled"
    is_required = True

    def needs(self, cell: Cell) -> Mapping[str, Cell]:
        """Return the undefended model at the same eps, at the same share of its norms, and scaled."""
        if not _is_defended(cell) or cell.eps.value == 0:
            return {}
        twin = cell.with_system(cell.system.undefended())
        if family(cell.target) in _OF_DATA:  # what is perturbed is the same for every system, relative eps too
            found = {f"{self.name}.absolute": twin}
            scaled = continued_rescaled_like(cell.system)
            return found | ({f"{self.name}.blocks": cell.with_system(scaled)} if scaled else {})
        if cell.eps.unit != "raw":  # a share of the norm already
            return {f"{self.name}.relative": twin}
        eps = Eps(cell.eps.value, "like", cell.system.name)
        found = {f"{self.name}.absolute": twin, f"{self.name}.relative": twin.with_eps(eps)}
        scaled = rescaled_like(cell.system) if family(cell.target) == "factors" else None
        if scaled is not None:
            found[f"{self.name}.rescaled"] = cell.with_system(scaled)
        return found

    def applies(self, facts: Facts) -> bool:
        """Systems with a defense, attacks of some size."""
        return bool(facts["defense"] != "none" and facts["eps"] > 0)

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Split what the defense gains at equal eps into scale and the rest."""
        absolute, equal = self.other(facts, results, "absolute"), self.other(facts, results, "relative")
        if family(facts["surface"]) in _OF_DATA:
            return self._judge_images(facts, results)
        if equal is not None and f"{self.name}.absolute" not in facts["needs"]:
            sentence = f"{percent(relative(facts, results))}; {percent(relative(equal, results))} at equal relative eps"
            return Finding(PASS, f"eps is a share of the norm, which scale does not change: {sentence}")
        if absolute is None or equal is None:
            return missing("the undefended model at equal and at equal relative eps")
        controls = {"at equal relative eps": equal}
        scaled = self.other(facts, results, "rescaled")
        if scaled is not None and _ranks_alike(scaled, absolute, results):
            controls["rescaled"] = scaled
        return _split(facts, absolute, controls, results)

    def _judge_images(self, facts: Facts, results: Results) -> Finding:
        """Compare with the base trained on and scaled block by block; say what share of the scores images make."""
        absolute, blocks = self.other(facts, results, "absolute"), self.other(facts, results, "blocks")
        if f"{self.name}.blocks" not in facts["needs"] and facts.get("trained_on", "[]") == "[]":
            return Finding(PASS, "the defense trains nothing, so that no weights could have grown")
        if absolute is None or blocks is None:
            return missing("the undefended model, as it is and trained on and scaled to the defended one's norms")
        found = _split(facts, absolute, {"trained on and rescaled": blocks}, results)
        shares = {}
        for name, one in (("share", facts), ("share_undefended", absolute)):
            clean = results.facts(str(one["clean_cell"])) or {}
            shares[name] = float(clean.get("visual_share", math.nan))
        spreads = f"{shares['share']:.2f} of the spread of the rest, {shares['share_undefended']:.2f} undefended"
        said = f"the spread of what images add to the scores is {spreads}"
        return dataclasses.replace(
            found,
            sentence=f"{found.sentence}; {said}",
            figures=found.figures | {f"visual_{k}": v for k, v in shares.items()},
        )


def _split(facts: Facts, absolute: Facts, controls: Mapping[str, Facts], results: Results) -> Finding:
    """Split what a defense gains over the undefended model into what a control gains, too, and the rest."""
    total = gain(facts, absolute, results)
    rests = {how: gain(facts, one, results) for how, one in controls.items()}
    here, there = relative(facts, results), relative(absolute, results)
    shown = [f"{percent(relative(one, results))} {how}" for how, one in controls.items()]
    both = f"{facts['system']} {percent(here)}; {absolute['system']} {percent(there)} at equal eps, {', '.join(shown)}"
    figures = {"defended": here, "equal_eps": there}
    figures |= {how.replace(" ", "_"): relative(one, results) for how, one in controls.items()}
    if not total.is_above_zero:
        return Finding(PASS, f"no gain at equal eps that scale could explain: {both}", figures)
    least = min(rests.values(), key=lambda rest: rest.mean)
    share = max(1 - least.mean / total.mean, 0.0)
    figures["scale_share"] = share
    if share >= _WHOLE and least.high < _HALF * total.mean:
        return Finding(FAIL, f"the whole gain is scale: {both}", figures)
    if not least.is_above_zero:
        sentence = f"what is left beyond scale is within chance over {least.n_users} users: {both}"
        return Finding(WARN, sentence, figures)
    return Finding(WARN if share >= _HALF else PASS, f"{100 * share:.0f} % of the gain is scale: {both}", figures)


def _ranks_alike(one: Facts, other: Facts, results: Results) -> bool:
    """Return whether two systems rank the test items alike, so that one is the other scaled."""
    before, after = (results.values(facts["clean_cell"], "rank") for facts in (one, other))
    return float((before == after).mean()) >= 1 - _ALIKE
