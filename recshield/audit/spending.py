"""Checks on what an attack may do and did: THREAT, BUDGET, EQUAL-BUDGET, EPS0."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import torch
from safetensors import SafetensorError, safe_open

from recshield.audit.check import FAIL, PASS, WARN, Check, Facts, Finding, missing
from recshield.core.norms import NORMS, measure
from recshield.core.settings import BUDGET_TOLERANCE, EQUAL_NORM_TOLERANCE
from recshield.core.surfaces import Budget, Surface
from recshield.matrix.budgets import Eps
from recshield.matrix.cells import Cell
from recshield.matrix.results import Results


class Threat(Check):
    """Every cell states surface, goal, knowledge, budget and time."""

    number, name = 1, "THREAT"
    description = "the cell states surface, goal, access, budget (norm and eps) and stage"

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Look for empty statements."""
        stated = {key: facts[key] for key in ("surface", "goal", "access", "norm", "stage")}
        unsaid = [key for key, value in stated.items() if not value]
        if not math.isfinite(facts["eps"]):
            unsaid.append("eps")
        if unsaid:
            return Finding(FAIL, f"the threat model does not state {', '.join(unsaid)}")
        spanned = "" if facts["norm"] in NORMS and NORMS[facts["norm"]].is_whole else " per row"
        return Finding(PASS, f"{facts['goal']} through {facts['surface']}, {facts['norm']}{spanned}, {facts['stage']}")


class BudgetKept(Check):
    """What the attack returned is inside the budget, finite, and equal to what is stored."""

    number, name = 2, "BUDGET"
    of_members = "worst"
    description = "the returned norm is at most eps (1 + 1e-4), finite, as stored; no more answers than queries allow"
    is_required = True

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Compare the norm that was returned, the norm that was used, and the stored rows with eps."""
        eps, raw, spent = facts["eps"], facts["raw_norm"], facts["measured_norm"]
        figures = {"eps": eps, "raw_norm": raw, "measured_norm": spent}
        if facts["n_bad_values"]:
            count = facts["n_bad_values"]
            return Finding(
                FAIL, f"the attack returned {count} values that are not finite or of the wrong shape", figures
            )
        if facts["unknown_surfaces"]:
            return Finding(
                FAIL, f"the attack returned surfaces outside its target: {facts['unknown_surfaces']}", figures
            )
        if not raw <= eps * (1 + BUDGET_TOLERANCE):
            times = raw / eps if eps else math.inf
            return Finding(FAIL, f"the attack returned a norm of {raw:.4g} for eps {eps:.4g} ({times:.2f} x)", figures)
        asked, allowed = facts["n_queries"], facts.get("allowed_queries", 0)
        if allowed and asked > allowed:
            over = f"{asked / allowed:.2f} x the {allowed:,} that its queries allow"
            figures["n_queries"] = float(asked)
            return Finding(FAIL, f"the attack asked for {asked:,} answers, {over}", figures)
        path = results.perturbations.get(str(facts["cell"]))
        if path is None:
            return missing("the stored perturbation")
        try:
            stored = stored_norm(path, facts["norm"])
        except (SafetensorError, OSError, ValueError):
            return Finding(FAIL, "the stored perturbation cannot be read", figures)
        figures["stored_norm"] = stored
        if not math.isclose(stored, spent, rel_tol=BUDGET_TOLERANCE, abs_tol=1e-9):
            return Finding(
                FAIL, f"the stored perturbation has norm {stored:.4g}, the figures used {spent:.4g}", figures
            )
        return Finding(PASS, f"norm {spent:.4g} of eps {eps:.4g}, as stored", figures)


def stored_norm(path: object, norm: str) -> float:
    """Return the largest norm of a stored perturbation; NaN where it holds NaN."""
    largest = 0.0
    with safe_open(str(path), framework="pt") as held:
        spanned = held.metadata() or {}
        for name in held.keys():  # noqa: SIM118 - safe_open is no dict
            if name.startswith("norms/"):  # a perturbation too large to save whole keeps every row's norm
                lengths = held.get_tensor(name)
            elif name.startswith(("sample/", "rows/")):
                continue
            else:
                values = held.get_tensor(name)
                dims = tuple(json.loads(spanned.get(name, "[-1]")))
                lengths = measure(values, Surface(name, tuple(values.shape), Budget(norm, 0.0), dims), norm)
            if not bool(torch.isfinite(lengths).all()):
                return math.nan
            largest = max(largest, float(lengths.max()) if len(lengths) else 0.0)
    return largest


class EqualBudget(Check):
    """Attacks that stand in one row spent the same norm."""

    number, name = 3, "EQUAL-BUDGET"
    of_members = "worst"
    description = "attacks compared in one row spent the same measured norm of the same kind"

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Compare the measured norm with eps, which is the same along the row."""
        eps, spent = facts["eps"], facts["measured_norm"]
        if eps == 0:
            return Finding(PASS if spent == 0 else FAIL, f"spent {spent:.4g} of 0")
        share = spent / eps
        figures = {"spent_over_eps": share}
        if share > 1 + EQUAL_NORM_TOLERANCE:
            sentence = f"spent {share:.2f} x the budget of its row ({spent:.4g} for eps {eps:.4g}): not comparable"
            return Finding(FAIL, sentence, figures)
        if share < 1 - EQUAL_NORM_TOLERANCE:
            sentence = f"spent only {100 * share:.0f} % of its row's eps {eps:.4g}: weaker than it could be"
            return Finding(WARN, sentence, figures)
        touched = facts["n_touched_rows"] / max(facts["n_goal_rows"], 1)
        if touched < 1 - EQUAL_NORM_TOLERANCE:
            sentence = f"touched only {100 * touched:.0f} % of the rows that the goal reads: weaker than it could be"
            return Finding(WARN, sentence, figures | {"touched_share": touched})
        return Finding(PASS, f"spent {100 * share:.1f} % of eps, like its row", figures)


class EpsZero(Check):
    """At eps 0 the attack changes nothing, and it never changes the model."""

    number, name = 4, "EPS0"
    of_members = "worst"
    description = "eps 0 gives the clean scores bit for bit, and the model's state is untouched"
    is_required = True

    def needs(self, cell: Cell) -> Mapping[str, Cell]:
        """Return the same attack at eps 0."""
        return {"EPS0.zero": cell.with_eps(Eps(0.0))}

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Compare hashes of the state around the attack, and of all scores."""
        if facts["state_before"] != facts["state_after"]:
            return Finding(FAIL, "the attack changed the model itself; a perturbation must only be returned")
        zero = self.other(facts, results, "zero")
        clean = results.facts(facts["clean_cell"])
        if zero is None or clean is None:
            return missing("the run at eps 0")
        if zero["state_before"] != zero["state_after"]:
            return Finding(FAIL, "at eps 0 the attack changed the model itself")
        if not zero["score_hash"] or zero["score_hash"] != clean["score_hash"]:
            return Finding(FAIL, "at eps 0 the scores differ from the clean ones")
        return Finding(PASS, "eps 0 gives the clean scores bit for bit")
