"""Checks that hold a defended system against the undefended one: CLEAN-COST, CONTROL, SCALE."""

from __future__ import annotations

from collections.abc import Mapping

from recshield.audit.check import FAIL, PASS, WARN, Check, Facts, Finding, effect, gain, missing, percent, relative
from recshield.evaluation.effect import difference, relative_change
from recshield.matrix.budgets import Eps
from recshield.matrix.cells import Cell
from recshield.matrix.results import Results


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
        if not _is_defended(cell):
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
        return Finding(WARN, f"the attack shows no effect on the undefended model: {sentence}", figures)


class NotScale(Check):
    """Robustness at a fixed eps is more than larger embeddings."""

    number, name = 23, "SCALE"
    description = "the defended system loses less than the undefended one at equal relative eps, too"
    is_required = True

    def needs(self, cell: Cell) -> Mapping[str, Cell]:
        """Return the undefended model at the same eps, and at the same share of its own norms."""
        if not _is_defended(cell):
            return {}
        twin = cell.with_system(cell.system.undefended())
        # A percentage is a share of the norm already.
        eps = cell.eps if cell.eps.unit == "percent" else Eps(cell.eps.value, "like", cell.system.name)
        return {f"{self.name}.absolute": twin, f"{self.name}.relative": twin.with_eps(eps)}

    def applies(self, facts: Facts) -> bool:
        """Systems with a defense, attacks of some size."""
        return bool(facts["defense"] != "none" and facts["eps"] > 0)

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Split what the defense gains at equal eps into scale and the rest."""
        absolute, equal = self.other(facts, results, "absolute"), self.other(facts, results, "relative")
        if absolute is None or equal is None:
            return missing("the undefended model at equal and at equal relative eps")
        here, there, scaled = (relative(one, results) for one in (facts, absolute, equal))
        figures = {"defended": here, "equal_eps": there, "equal_relative_eps": scaled}
        total, rest = gain(facts, absolute, results), gain(facts, equal, results)
        both = (
            f"{facts['system']} {percent(here)}; {absolute['system']} {percent(there)} at equal eps, "
            f"{percent(scaled)} at equal relative eps"
        )
        if not total.is_above_zero:
            return Finding(PASS, f"no gain at equal eps that scale could explain: {both}", figures)
        if not rest.is_above_zero:
            return Finding(FAIL, f"the whole gain is scale: {both}", figures)
        share = 1 - rest.mean / total.mean
        figures["scale_share"] = share
        if share >= 0.5:
            return Finding(WARN, f"{100 * share:.0f} % of the gain is scale: {both}", figures)
        return Finding(PASS, f"{100 * max(share, 0.0):.0f} % of the gain is scale: {both}", figures)
