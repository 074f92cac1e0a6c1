"""Checks on what was compared: LEAKAGE and SAME POPULATION."""

from __future__ import annotations

from collections.abc import Mapping

from recshield.audit.check import FAIL, PASS, Check, Facts, Finding
from recshield.matrix.results import Results

_HONEST = ("fixed epochs", "validation")


class Leakage(Check):
    """Nothing was chosen on the test rows."""

    number, name = 20, "LEAKAGE"
    description = "model selection never saw the test rows; an attack that did is labelled"

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Read how the train step says the model was selected, and what the goal used."""
        selection = facts["selection"]
        if selection not in _HONEST:
            allowed = " or ".join(_HONEST)
            return Finding(FAIL, f"the model was selected by '{selection}'; a figure to trust needs {allowed}")
        clean = results.facts(facts["clean_cell"])
        if clean is not None and clean["selection"] not in _HONEST:
            return Finding(FAIL, f"the clean model was selected by '{clean['selection']}'")
        if str(facts["goal"]).endswith(":oracle"):
            return Finding(PASS, "labelled: the attack uses the test pairs, a strong reference that no attacker has")
        return Finding(PASS, f"selection: {selection}; the attack saw training rows only")

    def judge_run(self, results: Results, verdicts: Mapping[str, str]) -> Finding | None:
        """Name the clean figures whose model was selected on the test rows; attacked ones are judged one by one."""
        seen = {str(one["system"]): str(one["selection"]) for one in results.clean_cells()}
        dishonest = {system: how for system, how in seen.items() if how not in _HONEST}
        if not dishonest:
            return None
        how = " and ".join(f"'{one}'" for one in sorted(set(dishonest.values())))
        allowed = " or ".join(_HONEST)
        named = ", ".join(dishonest)
        return Finding(FAIL, f"clean figures of models that were selected by {how} ({named}); to trust, {allowed}")


class SamePopulation(Check):
    """Compared cells were measured on the same users and test items."""

    number, name = 22, "SAME POPULATION"
    description = "users and test items are identical, by hash, across compared cells"

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Compare the hash with that of every other cell of the data set."""
        same = ("dataset", "fold")
        others = [one for one in results.cells() if all(one[key] == facts[key] for key in same)]
        clean = results.facts(facts["clean_cell"])
        others += [clean] if clean is not None else []
        differing = sorted({str(one["system"]) for one in others if one["population"] != facts["population"]})
        if differing:
            return Finding(FAIL, f"measured on other users or items than {', '.join(differing)}: not comparable")
        return Finding(PASS, f"the same {facts['n_users']} users and their test items everywhere")
