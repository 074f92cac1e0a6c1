"""Finished figures as tables: what the audit reads, what is saved, what is loaded again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recshield.core.surfaces import family
from recshield.evaluation.background import Background
from recshield.evaluation.effect import relative_change
from recshield.evaluation.metrics import Figure, MetricAtK
from recshield.evaluation.ranking import Ranks
from recshield.matrix import pictures
from recshield.matrix.cells import Cell
from recshield.matrix.chance import chance_level
from recshield.matrix.ensembles import joined, worst
from recshield.matrix.executors import Outcome
from recshield.matrix.loading import load_data
from recshield.matrix.plan import Plan
from recshield.matrix.steps import BITS, load_lists, load_ranks
from recshield.matrix.store import Store
from recshield.matrix.systems import Part, is_fitted, make
from recshield.matrix.user_columns import groups, overlap
from recshield.training.objectives import Adversarial, ModelLoss

#: Columns of results.parquet, in order; one row per cell and metric.
COLUMNS = (
    "dataset", "system", "model", "defense", "attack", "surface", "goal", "access", "stage", "norm", "eps",
    "relative_eps", "raw_norm", "measured_norm", "seed", "fold", "metric", "k", "clean", "attacked", "change",
    "relative_change", "attacked_8bit", "relative_change_8bit", "psnr", "ssim", "n_users", "verdict", "is_control",
    "eps_text", "selected", "labels", "cell",
)  # fmt: skip

#: Facts of a measure step that steps.parquet holds.
_MEASURED = ("score_hash", "population", "is_repeatable", "mean_score", "score_spread", "visual_share")

#: Surfaces inside a model or its data pipeline, by family: no user reaches them from outside.
INSIDE = {
    "factors": "parameters: not realisable from outside",
    "item_features": "features: not realisable from outside",
    "sequence": "embeddings of a sequence: not realisable from outside",
}

#: Columns of curves.parquet.
CURVE_COLUMNS = ("step", "label", "rows", "epoch", "quantity", "value")


@dataclass
class Results:
    """The figures of one run, and where the perturbations lie.

    Attributes:
        table: one row per cell and metric, columns `COLUMNS`.
        per_user: one row per cell and evaluated user: rank of the first test item, every metric, `USER_COLUMNS`.
        steps: one row per cell: all that the audit needs.
        timings: one row per step.
        curves: one row per look at a model in training: step, rows looked at, epoch, quantity, value.
        metrics: as asked for; the first is the main one.
        aggregates: those of them whose figure is no mean of values per user.
        pictures: one row per attacked image that is kept to look at, columns `PICTURE_COLUMNS`.
        picture_files: name of a picture's file -> where it lies, or its pixels.
        perturbations: cell -> file.
    """

    table: pd.DataFrame
    per_user: pd.DataFrame
    steps: pd.DataFrame
    timings: pd.DataFrame
    metrics: tuple[str, ...]
    curves: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(CURVE_COLUMNS)))
    perturbations: dict[str, Path] = field(default_factory=dict)
    aggregates: tuple[str, ...] = ()
    pictures: pd.DataFrame = field(default_factory=lambda: pictures.table([]))
    picture_files: dict[str, Path | NDArray[np.uint8]] = field(default_factory=dict)
    _values: dict[str, pd.DataFrame] = field(default_factory=dict)
    _facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Tables that are derived from the figures and made once, by name.
    derived: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    def facts(self, cell: str) -> dict[str, Any] | None:
        """Return everything noted about a cell, or None where the run does not hold it."""
        if not self._facts:
            for row in self.steps.to_dict("records"):
                facts = {str(key): value for key, value in row.items()}
                for key in ("goal_values", "needs", "members"):
                    facts[key] = json.loads(facts[key])
                self._facts[str(facts["cell"])] = facts
        return self._facts.get(cell)

    def other(self, cell: Mapping[str, Any], role: str) -> dict[str, Any] | None:
        """Return the facts of the cell that plays a role for this one, or None."""
        return self.facts(cell["needs"].get(role, ""))

    def cells(self) -> list[dict[str, Any]]:
        """Return the facts of all attacked cells."""
        self.facts("")
        return [facts for facts in self._facts.values() if facts["attack"] != "none"]

    def clean_cells(self) -> list[dict[str, Any]]:
        """Return the facts of all clean cells that were asked for."""
        self.facts("")
        return [facts for facts in self._facts.values() if facts["attack"] == "none" and not facts["is_control"]]

    def values(self, cell: str, metric: str = "") -> NDArray[np.float64]:
        """Return the per-user values of a cell, users in one order for all cells; `metric` "" = the main one."""
        if not self._values:
            self._values = {str(name): held for name, held in self.per_user.groupby("cell", sort=False, observed=True)}
        return self._values[cell][metric or self.metrics[0]].to_numpy(np.float64)


def collect(plan: Plan, store: Store, outcome: Outcome, metrics: Sequence[MetricAtK]) -> Results:
    """Return the results of a plan whose steps are in the store; cells whose steps failed are left out."""
    folds = [(*load_data(store.need(key)),) for key in plan.data_keys]
    backgrounds = [Background(data.train, test) for data, test in folds]
    firsts: dict[str, NDArray[Any]] = {}
    figures: dict[str, dict[str, Figure]] = {}
    realised: dict[str, dict[str, Figure]] = {}
    user_ids: dict[str, NDArray[Any]] = {}
    noted: dict[str, dict[str, Any]] = {}
    beside = _Beside(store, metrics[0])
    results = _empty(metrics)
    # An ensemble's cell is made of its members' cells, which therefore come first.
    for cell in sorted(plan.cells, key=lambda one: bool(plan.members[one.id])):
        behind, clean = plan.steps_of[cell.id], plan.steps_of[cell.clean().id]
        keys = {behind.data, behind.train, behind.attack, behind.measure, clean.measure}
        members = plan.members[cell.id]
        if keys & set(outcome.failed) or not all(one in noted for one in members):
            continue
        data, test = folds[cell.fold]
        shared = _note(cell, plan) | {"n_users": len(test.users)} | _chosen(store.need(behind.train).facts)
        user_ids[cell.id] = data.user_ids[test.users]
        if members:
            firsts[cell.id] = np.max([firsts[one] for one in members], axis=0)
            for held in (figures, realised):
                if all(one in held for one in members):
                    held[cell.id] = worst([held[one] for one in members], metrics)
            noted[cell.id] = joined([noted[one] for one in members]) | shared
            continue
        measured = store.need(behind.measure)
        ranks = load_ranks(measured, test, backgrounds[cell.fold])
        if measured.facts["is_realised"]:
            bits = load_ranks(measured, test, backgrounds[cell.fold], BITS)
            realised[cell.id] = {str(metric): metric.measure(bits) for metric in metrics}
        firsts[cell.id] = np.minimum.reduceat(ranks.ranks, ranks.indptr[:-1])
        figures[cell.id] = {str(metric): metric.measure(ranks) for metric in metrics}
        attack = store.need(behind.attack) if behind.attack else None
        if attack is not None:
            results.perturbations[cell.id] = attack.file("delta.safetensors")
        told = attack.facts if attack else {}
        attacked = _attack_facts(told) | _image_facts(told, figures[cell.id], realised.get(cell.id, {}))
        beside.see(cell, ranks, clean.measure)
        noted[cell.id] = attacked | {key: measured.facts[key] for key in _MEASURED} | shared
    if not noted:
        return results
    in_order = [noted[cell.id] | {"chance": beside.chances[cell.fold]} for cell in plan.cells if cell.id in noted]
    results.steps = pd.DataFrame(in_order)
    results.per_user = _per_user(in_order, firsts, figures, user_ids, beside)
    results.table = _table(in_order, figures, realised, metrics)
    results.timings = _timings(plan, store, outcome)
    results.curves = _curves(plan, store, outcome)
    _picture(results, [cell for cell in plan.cells if cell.id in realised and not plan.members[cell.id]], plan, store)
    return results


def _empty(metrics: Sequence[MetricAtK]) -> Results:
    names = tuple(str(metric) for metric in metrics)
    made = Results(pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), names)
    made.aggregates = tuple(str(metric) for metric in metrics if not metric.plugin.is_mean())
    return made


def _chosen(trained: Mapping[str, Any]) -> dict[str, Any]:
    return {"selection": trained["selection"], "selected": trained["selected"]}


def _picture(results: Results, cells: Sequence[Cell], plan: Plan, store: Store) -> None:
    """Note the pictures of cells whose images were attacked."""
    rows: list[dict[str, Any]] = []
    for cell in cells:
        behind, clean = plan.steps_of[cell.id], plan.steps_of[cell.clean().id]
        data, test = load_data(store.need(behind.data))
        both = (load_ranks(store.need(clean.measure), test), load_ranks(store.need(behind.measure), test, None, BITS))
        attack = store.need(behind.attack)
        own = pictures.seen(cell.id, *both, attack, data.item_ids)
        images = plan.steps[behind.attack].spec["system"]["visual"]["images"]
        pictures.copy(own, attack, store.need(images), results.picture_files)
        rows += own
    results.pictures = pictures.table(rows)


class _Beside:
    """What is the same for every cell of a fold, and the overlap of each attacked cell's lists with the clean ones."""

    def __init__(self, store: Store, metric: MetricAtK) -> None:
        self.chances: dict[int, float] = {}
        self.groups: dict[int, dict[str, Any]] = {}
        self.overlaps: dict[str, NDArray[np.float32]] = {}
        self._store, self._metric = store, metric
        self._clean: tuple[str, NDArray[np.int32] | None] = ("", None)

    def see(self, cell: Cell, ranks: Ranks, clean: str) -> None:
        """Look at the ranks of a cell, `clean` being the measure step of its clean cell."""
        if cell.fold not in self.chances:
            self.chances[cell.fold] = chance_level(ranks, self._metric)
            self.groups[cell.fold] = groups(ranks, ranks.known())
        if cell.attack is None or ranks.lists is None:
            return
        if self._clean[0] != clean:  # the lists of one system at a time
            self._clean = (clean, load_lists(self._store.need(clean)))
        if self._clean[1] is not None:
            self.overlaps[cell.id] = overlap(self._clean[1], ranks.lists)


def _note(cell: Cell, plan: Plan) -> dict[str, Any]:
    """Return what the plan says about a cell."""
    defenses = cell.system.defenses
    attack = cell.attack
    return {
        "cell": cell.id,
        "clean_cell": cell.clean().id,
        "dataset": plan.request.source.name,
        "system": cell.system.name,
        "model": cell.system.model.text,
        "defense": "+".join(part.text for part in defenses) or "none",
        "defended_targets": ",".join(part.target for part in defenses),
        "attack": attack.text if attack else "none",
        "attack_name": attack.name if attack else "none",
        "attack_steps": int(attack.option("steps", 1)) if attack else 0,
        "attack_loss": str(attack.option("loss", "")) if attack else "",
        "other_systems": ",".join(_others(cell)) if attack else "",
        "trained_on": json.dumps(trained_on(defenses)),
        "surface": cell.target,
        "goal": cell.goal,
        "stage": cell.stage if attack else "",
        "norm": cell.norm,
        "eps_text": str(cell.eps) if attack else "",
        "seed": cell.seed,
        "fold": cell.fold,
        "members": json.dumps(plan.members[cell.id]),
        "is_control": cell.is_control,
        "needs": json.dumps(plan.needs.get(cell.id, {}), sort_keys=True),
    }


def _others(cell: Cell) -> list[str]:
    """Return the other systems that a cell's attack knows."""
    assert cell.attack is not None
    return [*([cell.source.name] if cell.is_transfer else []), *cell.attack.systems().values()]


def trained_on(defenses: Sequence[Part]) -> list[dict[str, Any]]:
    """Return the attacks inside the training of a system: steps (0 = random directions), norm, eps and target."""
    found = []
    for part in defenses:
        if not is_fitted(part) or part.systems():
            continue
        objective = make(part, {}).objective(ModelLoss(), part.target)
        if isinstance(objective, Adversarial) and objective.weight > 0:
            steps = 0 if objective.is_random else objective.steps
            budget = objective.budget
            found.append({"steps": steps, "norm": budget.norm, "eps": budget.eps, "target": part.target})
    return found


def _attack_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    def number(key: str) -> float:
        value = facts.get(key)
        return math.nan if value is None else float(value)

    norms = ("eps", "relative_eps", "raw_norm", "measured_norm", "mean_norm", "mean_clean_norm")
    return {key: number(key) for key in (*norms, "goal_clean", "goal_value", "path_loss", "path_score")} | {
        "zero_gradients": number("zero_gradients"),
        "goal_values": json.dumps(facts.get("goal_values", [])),
        "n_bad_values": int(facts.get("n_bad_values", 0)),
        "unknown_surfaces": ",".join(facts.get("unknown_surfaces", [])),
        "n_touched_rows": int(facts.get("n_touched_rows", 0)),
        "n_goal_rows": int(facts.get("n_goal_rows", 0)),
        "n_queries": int(facts.get("n_queries", 0)),
        "allowed_queries": int(facts.get("allowed_queries", 0)),
        "access": "+".join(facts.get("access", [])).lower(),
        "is_projected": bool(facts.get("is_projected", True)),
        "state_before": str(facts.get("state_before", "")),
        "state_after": str(facts.get("state_after", "")),
    }


def _image_facts(facts: Mapping[str, Any], floats: Mapping[str, Figure], bits: Mapping[str, Figure]) -> dict[str, Any]:
    """Return what was noted of attacked images: how visible they are, and the main figure before and after 8 bits."""
    metric = next(iter(floats))  # the first is the main one

    def number(key: str) -> float:
        value = facts.get(key)
        return math.nan if value is None else float(value)

    return {"psnr": number("psnr"), "ssim": number("ssim")} | {
        "n_attacked_images": int(facts.get("n_attacked_images", 0)),
        "n_unchanged_images": int(facts.get("n_unchanged_images", 0)),
        "float_value": floats[metric].value if bits else math.nan,
        "bits_value": bits[metric].value if bits else math.nan,
    }


def _labels(facts: Mapping[str, Any]) -> str:
    """Return what a reader must know before comparing a cell."""
    labels = []
    if facts["goal"].endswith(":oracle"):
        labels.append("oracle: attacks the test pairs")
    if facts["attack"] != "none" and not facts["is_projected"]:
        labels.append("not projected: published variant")
    if facts["other_systems"]:
        labels.append(f"transfer: made on {facts['other_systems']}")
    if json.loads(facts["members"]):
        labels.append("each user's worst over several attacks: not one realisable perturbation")
    if facts["attack"] != "none" and family(facts["surface"]) in INSIDE:
        labels.append(INSIDE[family(facts["surface"])])
    if facts["stage"] == "fit":
        labels.append("trained on attacked images")
    return "; ".join(labels)


def _table(
    noted: list[dict[str, Any]],
    figures: Mapping[str, Mapping[str, Figure]],
    realised: Mapping[str, Mapping[str, Figure]],
    metrics: Sequence[MetricAtK],
) -> pd.DataFrame:
    rows = []
    for facts in noted:
        is_clean = facts["attack"] == "none"
        for metric in metrics:
            figure = figures[facts["cell"]][str(metric)]
            clean = figures[facts["clean_cell"]][str(metric)].value
            attacked = math.nan if is_clean else figure.value
            bits = realised.get(facts["cell"], {}).get(str(metric))
            attacked_8bit = bits.value if bits else math.nan
            shared = {key: facts[key] for key in COLUMNS if key in facts}
            rows.append(
                shared
                | {"metric": metric.column, "k": metric.k, "n_users": figure.n_users}
                | {"clean": clean, "attacked": attacked, "verdict": ""}
                | {"change": attacked - clean, "relative_change": relative_change(attacked, clean)}
                | {"attacked_8bit": attacked_8bit, "relative_change_8bit": relative_change(attacked_8bit, clean)}
                | {"labels": "; ".join(filter(None, (_labels(facts), metric.label)))}
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _per_user(
    noted: Sequence[Mapping[str, Any]],
    firsts: Mapping[str, NDArray[Any]],
    figures: Mapping[str, Mapping[str, Figure]],
    user_ids: Mapping[str, NDArray[np.generic]],
    beside: _Beside,
) -> pd.DataFrame:
    frames, cells = [], [facts["cell"] for facts in noted]
    for facts in noted:
        cell = facts["cell"]
        ids = user_ids[cell]
        head = {"cell": pd.Categorical([cell] * len(ids), list(cells)), "user": ids, "rank": firsts[cell]}
        held = {name: one.per_user for name, one in figures[cell].items() if one.per_user is not None}
        unknown = np.full(len(ids), np.nan, np.float32)
        held |= beside.groups[facts["fold"]] | {"overlap": beside.overlaps.get(cell, unknown)}
        frames.append(pd.DataFrame(head | held))
    return pd.concat(frames, ignore_index=True)


def _timings(plan: Plan, store: Store, outcome: Outcome) -> pd.DataFrame:
    rows = []
    for step in plan.steps.values():
        entry = None if step.key in outcome.failed else store.get(step.key)
        if entry is not None:
            head = {"step": step.key, "kind": step.kind, "label": step.label, "device": plan.request.device}
            rows.append(head | {"is_reused": step.key in outcome.reused} | entry.timing)
    return pd.DataFrame(rows)


def _curves(plan: Plan, store: Store, outcome: Outcome) -> pd.DataFrame:
    """Return the learning curves of the train steps, those of a selection included."""
    rows = []
    for step in plan.steps.values():
        if step.kind != "train" or step.key in outcome.failed:
            continue
        for look in store.need(step.key).facts["curve"]:
            candidate = f" [{look['candidate']}]" if look["candidate"] else ""
            label = step.label.removeprefix("train ") + candidate
            head = {"step": step.key, "label": label, "rows": look["rows"]}
            for quantity, value in (look["metrics"] | look["norms"]).items():
                rows.append(head | {"epoch": look["epoch"], "quantity": quantity, "value": value})
    return pd.DataFrame(rows, columns=list(CURVE_COLUMNS))
