"""Runs made by hand: every figure in them is known, nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from recshield.matrix.results import COLUMNS, Results
from recshield.report.reading import Reading

N_USERS = 200


@dataclass
class Planted:
    """One cell: the mean of NDCG@100 per seed, and what checks found."""

    system: str
    attack: str
    values: Sequence[float]
    eps: float = 0.5
    verdict: str = "pass"
    findings: Sequence[tuple[int, str, bool, str, str]] = ()
    defense: str = "none"
    is_projected: bool = True
    members: Sequence[str] = ()
    norms: float = 0.0
    verdicts: Sequence[str] = field(default_factory=tuple)
    surface: str = "factors"
    goal: str = "degrade"
    stage: str = "serve"
    norm: str = "l2"
    model: str = "mf"
    is_control: bool = False

    def cell(self, seed: int) -> str:
        """Return its identity; all clean cells of a system and a seed have one."""
        if self.attack == "none":
            return identity(self.system, "none", seed)
        return identity(self.system, self.attack, self.surface, self.goal, self.stage, self.norm, self.eps, seed)


def spread(mean: float, seed: int) -> np.ndarray:
    """Return values of all users with exactly this mean; users differ alike in every cell."""
    shape = np.random.default_rng(5).uniform(0.2, 1.8, N_USERS) + 0.01 * np.random.default_rng(seed).uniform(
        size=N_USERS
    )
    return mean * shape / shape.mean()


def identity(*parts: object) -> str:
    import hashlib

    return hashlib.blake2b(repr(parts).encode(), digest_size=6).hexdigest()


def planted(cells: Sequence[Planted], manifest: Mapping[str, Any] | None = None, dataset: str = "planted") -> Results:
    """Return the tables of a run with these cells; a cell whose attack is `none` is a clean system."""
    clean = {
        (one.system, seed): value for one in cells if one.attack == "none" for seed, value in enumerate(one.values)
    }
    steps, table, users = [], [], []
    for one in cells:
        for seed, value in enumerate(one.values):
            own, its_clean = one.cell(seed), identity(one.system, "none", seed)
            is_clean = one.attack == "none"
            word = "" if is_clean else (one.verdicts[seed] if one.verdicts else one.verdict)
            facts = {
                "cell": own, "clean_cell": its_clean, "dataset": dataset, "system": one.system, "model": one.model,
                "defense": one.defense, "attack": one.attack, "attack_name": one.attack, "attack_steps": 0 if is_clean else 1,
                "surface": "" if is_clean else one.surface, "goal": "" if is_clean else one.goal,
                "stage": "" if is_clean else one.stage, "norm": "" if is_clean else one.norm,
                "eps": np.nan if is_clean else one.eps, "eps_text": "" if is_clean else f"{one.eps:g}",
                "relative_eps": np.nan if is_clean else one.eps / 3, "seed": seed, "fold": 0, "is_control": one.is_control,
                "members": json.dumps(list(one.members)), "needs": "{}", "goal_values": "[]",
                "access": "data" if one.attack == "noise" else "data+gradients", "raw_norm": one.norms or one.eps,
                "measured_norm": one.norms or one.eps, "goal_clean": 0.1, "goal_value": 0.2, "n_bad_values": 0,
                "unknown_surfaces": "", "state_before": "a", "state_after": "a", "selection": "fixed epochs",
                "selected": "", "score_hash": "h", "population": "p", "n_users": N_USERS, "is_projected": one.is_projected,
                "zero_gradients": 0.0, "n_touched_rows": 3, "n_goal_rows": 3, "n_queries": 0,
            }  # fmt: skip
            steps.append(facts)
            before = clean[one.system, seed]
            row = {key: facts[key] for key in COLUMNS if key in facts}
            figures = {"clean": before, "attacked": np.nan if is_clean else value, "change": value - before,
                       "relative_change": np.nan if is_clean else value / before - 1}  # fmt: skip
            rest = {"metric": "ndcg", "k": 100, "verdict": word, "labels": "parameters: not realisable from outside"}
            table.append(row | figures | rest)
            values = spread(value, seed)
            ranks = np.maximum(0, np.round(30 / np.maximum(values, 1e-3))).astype(int)
            head = {"cell": own, "user": np.arange(N_USERS), "rank": ranks, "ndcg@100": values}
            users.append(pd.DataFrame(head))
    timings = pd.DataFrame(
        [{"step": "s", "kind": "train", "label": "train mf", "device": "cpu", "is_reused": False, "cuda_ms": None,
          "peak_device_bytes": 0, "peak_host_bytes": 2**28, "seconds": 1.5, "threads": 1}]
    )  # fmt: skip
    frame = pd.DataFrame(table, columns=list(COLUMNS))
    return Results(frame, pd.concat(users, ignore_index=True), pd.DataFrame(steps), timings, ("ndcg@100",))


def reading(cells: Sequence[Planted], name: str = "runs/planted", dataset: str = "planted", **manifest: Any) -> Reading:
    """Return the same, read for a report."""
    held = planted(cells, dataset=dataset)
    rows = []
    for one in cells:
        for seed in range(len(one.values)):
            cell = one.cell(seed)
            for number, check, is_required, verdict, sentence in one.findings:
                rows.append({"cell": cell, "number": number, "check": check, "is_required": is_required,
                             "verdict": verdict, "sentence": sentence, "figures": "{}"})  # fmt: skip
    columns = ["cell", "number", "check", "is_required", "verdict", "sentence", "figures"]
    facts = {
        "request": {"models": ["mf"], "seeds": [0], "dataset": dataset},
        "data": {"name": dataset, "fingerprint": "f"},
    }
    return Reading(name, held, pd.DataFrame(rows, columns=columns), facts | manifest)


def sound() -> list[Planted]:
    """Return two systems under noise and two attacks at two budgets; `shield` is the defended one."""
    cells = [Planted("mf", "none", [0.20]), Planted("shield", "none", [0.21], defense="advreg")]
    for eps, noise, fgsm, pgd in ((0.5, 0.19, 0.16, 0.15), (1.0, 0.18, 0.12, 0.10)):
        cells += [
            Planted("mf", "noise", [noise], eps),
            Planted("mf", "fgsm", [fgsm], eps),
            Planted("mf", "pgd", [pgd], eps),
        ]
    for eps, noise, fgsm, pgd in ((0.5, 0.205, 0.19, 0.185), (1.0, 0.20, 0.18, 0.17)):
        cells += [Planted("shield", name, [value], eps, defense="advreg")
                  for name, value in (("noise", noise), ("fgsm", fgsm), ("pgd", pgd))]  # fmt: skip
    return cells
