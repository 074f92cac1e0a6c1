"""The check on whether a figure is more than chance, over users and over seeds: POWER."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping

import pandas as pd

from recshield.audit.check import NOT_RUN, PASS, WARN, Check, Facts, Finding
from recshield.core.settings import CLAIM_SEEDS
from recshield.matrix.grouping import SAME, described
from recshield.matrix.results import Results
from recshield.matrix.significance import ALIKE, matrix_tests


class Power(Check):
    """Enough seeds, paired tests over users, corrected for their number; no verdict that flips between seeds.

    Too few seeds are said once, of the run as a whole: they weigh on every claim alike, and on no cell in particular.
    """

    number, name = 21, "POWER"
    description = "paired tests over users with Holm over the whole matrix, the same in every seed; 5 seeds for a claim"

    def applies(self, facts: Facts) -> bool:
        """Attacks of some size."""
        return bool(facts["eps"] > 0)

    def judge(self, facts: Facts, results: Results) -> Finding:
        """Read the cell's comparisons with the clean and with the undefended figure."""
        tests = matrix_tests(results)
        mine = tests[[facts["cell"] in json.loads(cells) for cells in tests["cells_b"]]]
        if mine.empty:
            return Finding(NOT_RUN, "not run: the cell has no clean figure to be tested against")
        rows = mine.to_dict("records")
        against_clean = rows[0]
        flips = [row for row in rows if row["flips"]]
        figures = {key: float(against_clean[key]) for key in ("difference", "low", "high", "p_holm", "p_bh", "d_z")}
        if flips:
            return Finding(WARN, "; ".join(_flip(pd.Series(row)) for row in flips), figures)
        said = (
            "no effect beyond chance" if against_clean["verdict"] == ALIKE else f"{against_clean['verdict']} than clean"
        )
        over = f"{against_clean['n_users']} users, {against_clean['n_seeds']} seed"
        over += "s" if against_clean["n_seeds"] > 1 else ""
        p_value, count = against_clean["p_holm"], len(tests)
        sentence = (
            f"{said}: {against_clean['difference']:+.4f} [{against_clean['low']:+.4f}, {against_clean['high']:+.4f}]"
        )
        return Finding(PASS, f"{sentence} over {over}; p {p_value:.2g} after Holm over {count} tests", figures)

    def judge_run(self, results: Results, verdicts: Mapping[str, str]) -> Finding | None:
        """Count the seeds, and the figures whose audit verdict differs between them."""
        n_seeds = int(results.steps["seed"].nunique())
        by_figure: dict[tuple[object, ...], set[str]] = defaultdict(set)
        names = {}
        for facts in results.cells():
            if facts["cell"] in verdicts:
                key = tuple(facts[name] for name in SAME)
                by_figure[key].add(verdicts[facts["cell"]])
                names[key] = described(facts)
        if not by_figure and not results.clean_cells():
            return None
        mixed = {key: words for key, words in by_figure.items() if len(words) > 1}
        figures = {"n_seeds": float(n_seeds), "n_flipping": float(len(mixed))}
        said = [f"{n_seeds} seed{'s' if n_seeds > 1 else ''}"]
        if mixed:
            first = next(iter(mixed))
            named = f"{names[first]}: {' and '.join(sorted(mixed[first]))}"
            said.append(f"the verdict of {len(mixed)} of {len(by_figure)} figures flips between them ({named})")
        if n_seeds < CLAIM_SEEDS:
            said[0] += f", where a claim needs {CLAIM_SEEDS}: how far training moves a figure is not known well"
            return Finding(WARN, "; ".join(said), figures)
        return Finding(WARN if mixed else PASS, "; ".join(said), figures)


def _flip(row: pd.Series) -> str:
    """Return one sentence on a comparison that comes out otherwise in other seeds."""
    by_word: dict[str, list[str]] = defaultdict(list)
    for seed, word in json.loads(row["seed_verdicts"]).items():
        by_word[word].append(seed)
    told = ", ".join(
        f"{word} in seed{'s' if len(seeds) > 1 else ''} {' '.join(seeds)}" for word, seeds in by_word.items()
    )
    against = "clean" if row["kind"] == "attack" else row["system_a"]
    return f"against {against} it flips between seeds: {told}"
