"""Stored perturbations in place of attacks: taken over where whole, replayed from their seed where only sampled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from recshield.bundles.comparing import Finding, apart
from recshield.core.errors import BadData
from recshield.core.interfaces import Recommender
from recshield.core.norms import measure
from recshield.core.settings import BUDGET_TOLERANCE
from recshield.core.surfaces import Surface
from recshield.data.visual import IMAGES
from recshield.matrix.cells import Cell
from recshield.matrix.fitting import load_system
from recshield.matrix.loading import Context, load_data
from recshield.matrix.plan import Step
from recshield.matrix.realised import realise
from recshield.run import MatrixRun, Prepared

_RECORDED = (
    "relative_eps", "raw_norm", "mean_clean_norm", "goal_clean", "goal_value", "zero_gradients",
)  # fmt: skip


def is_whole(path: Path) -> bool:
    """Return whether a file holds a whole perturbation, and not a sample of it."""
    try:
        with safe_open(str(path), framework="pt") as held:
            return not any(name.startswith("rows/") for name in held.keys())  # noqa: SIM118 - safe_open is no dict
    except (OSError, SafetensorError) as error:
        raise BadData.at(path.name, None, f"cannot be read ({error})", "bundle the run again") from None


def take_over(prepared: Prepared, held: MatrixRun, *, is_replayed: bool) -> set[str]:
    """Put stored perturbations into the store in place of attack steps.

    Returns:
        Cells whose attack is left to be replayed: only a sample was kept, eps hangs on the model, or all are asked for.
    """
    replayed: set[str] = set()
    for cell in prepared.plan.cells:
        path = held.results.perturbations.get(cell.id)
        key = prepared.plan.steps_of[cell.id].attack
        if not key:
            continue
        if is_replayed or path is None or cell.eps.unit != "raw" or not is_whole(path):
            replayed.add(cell.id)
            continue
        model = _model(prepared, cell)
        surfaces = {one.name: one for one in model.surfaces}
        delta = _checked(path, surfaces)
        facts = _facts(cell, delta, surfaces, held.results.facts(cell.id) or {})
        _put(prepared, prepared.plan.steps[key], delta, facts, model)
    return replayed


def _surfaces(prepared: Prepared, cell: Cell) -> dict[str, Surface]:
    """Return the surfaces of a cell's model; the bundle has no say in what one norm spans."""
    return {one.name: one for one in _model(prepared, cell).surfaces}


def _model(prepared: Prepared, cell: Cell) -> Recommender:
    """Return the model that a cell's attack perturbs."""
    steps = prepared.plan.steps_of[cell.id]
    data, _ = load_data(prepared.store.need(steps.data))
    request = prepared.plan.request
    spec = prepared.plan.steps[steps.attack].spec["system"]
    try:
        return load_system(spec, prepared.store, data, Context(request.device, request.threads))
    except (RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise BadData(f"the weights of {cell.system.name} do not fit it ({reason}); bundle the run again") from None


def _checked(path: Path, surfaces: dict[str, Surface]) -> dict[str, torch.Tensor]:
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadData.at(path.name, None, f"cannot be read ({error})", "bundle the run again") from None
    for name, value in found.items():
        is_known = name in surfaces and tuple(value.shape) == tuple(surfaces[name].shape)
        if not is_known or value.dtype != torch.float32 or not bool(value.isfinite().all()):
            wrong = f"'{name}' with shape {tuple(value.shape)} is no finite perturbation of its model"
            raise BadData.at(path.name, None, wrong, "bundle the run again")
    return found


def _facts(
    cell: Cell, delta: dict[str, torch.Tensor], surfaces: dict[str, Surface], recorded: dict[str, Any]
) -> dict[str, Any]:
    """Return what the attack step would have noted: norms measured here, the rest as recorded in the run."""
    lengths = [measure(value, surfaces[name], cell.norm) for name, value in delta.items()]
    joined = torch.cat(lengths) if lengths else torch.zeros(1)
    n_spent = int((joined > 0).sum())
    mean = sum(float(one[one > 0].double().sum()) for one in lengths)
    assert cell.attack is not None
    plugin = cell.attack.plugin()
    return {key: recorded.get(key) for key in _RECORDED} | {
        "eps": cell.eps.value,
        "measured_norm": max((float(one.max()) for one in lengths), default=0.0),
        "mean_norm": mean / n_spent if n_spent else 0.0,
        "n_touched_rows": sum(int((value.flatten(1) != 0).any(dim=1).count_nonzero()) for value in delta.values()),
        "goal_values": recorded.get("goal_values", []),
        "n_bad_values": recorded.get("n_bad_values", 0),
        "unknown_surfaces": [one for one in str(recorded.get("unknown_surfaces", "")).split(",") if one],
        "n_goal_rows": recorded.get("n_goal_rows", 0),
        "n_queries": recorded.get("n_queries", 0),
        "state_before": recorded.get("state_before", ""),
        "state_after": recorded.get("state_after", ""),
        "is_projected": bool(plugin.projected),
        "access": [one.name for one in plugin.access],
    }


def _put(
    prepared: Prepared, step: Step, delta: dict[str, torch.Tensor], facts: dict[str, Any], model: Recommender
) -> None:
    def compute(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        save_file(delta, folder / "delta.safetensors")
        if IMAGES in delta:
            with torch.no_grad():
                facts.update(realise(model, delta[IMAGES].to(prepared.plan.request.device), folder))
        plain = {key: value.item() if hasattr(value, "item") else value for key, value in facts.items()}
        return plain, {"kind": "attack", "seconds": 0.0}

    prepared.store.put(step.key, compute)


def budgets(prepared: Prepared) -> list[Finding]:
    """Return whether every perturbation keeps to its budget; one that is published as spending more says so."""
    over, variants, n_cells = [], set(), 0
    for cell in prepared.plan.cells:
        key = prepared.plan.steps_of[cell.id].attack
        if not key:
            continue
        n_cells += 1
        facts = prepared.store.need(key).facts
        if facts["measured_norm"] <= facts["eps"] * (1 + BUDGET_TOLERANCE) + 1e-12:
            continue
        spent = f"{cell} spends {facts['measured_norm']:.4g} of {facts['eps']:.4g}"
        variants.add(spent) if not facts["is_projected"] else over.append(spent)
    found = [Finding(False, f"budget: {text}") for text in over]
    found += [Finding(True, f"budget: {text}, a published variant that is not projected") for text in sorted(variants)]
    within = n_cells - len(over) - len(variants)
    return [*found, Finding(True, f"budgets: {within} of {n_cells} perturbations are within their norm")]


def unlike_the_replayed(prepared: Prepared, held: MatrixRun, replayed: set[str], tolerance: float) -> list[Finding]:
    """Return where a stored perturbation, or the sample and norms of one, is not what its seed gives."""
    found, n_same = [], 0
    norms = {cell.id: cell.norm for cell in prepared.plan.cells}
    for cell in prepared.plan.cells:
        path = held.results.perturbations.get(cell.id)
        if cell.id not in replayed or path is None:
            continue
        entry = prepared.store.need(prepared.plan.steps_of[cell.id].attack)
        made = entry.file("delta.safetensors")
        delta, stored = load_file(made), _stored(path)
        if not is_whole(path) and is_whole(made):  # of large perturbations of images the step itself keeps a sample
            delta = _sampled(delta, stored, _surfaces(prepared, cell), norms[cell.id])
        off = _furthest(stored, delta)
        if off > tolerance:
            found.append(Finding(False, f"{cell}: the stored perturbation is not the replayed one ({_off(off)})"))
        else:
            n_same += 1
    if n_same:
        found.append(Finding(True, f"perturbations: {n_same} are what their seeds give here, {_off(tolerance)}"))
    return found


def _off(off: float) -> str:
    if off == float("inf"):
        return "other tables or shapes"
    return f"up to {off:.2g} apart" if off else "to the last digit"


def _stored(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadData.at(path.name, None, f"cannot be read ({error})", "bundle the run again") from None


def _sampled(
    delta: dict[str, torch.Tensor], stored: dict[str, torch.Tensor], surfaces: dict[str, Surface], norm: str
) -> dict[str, torch.Tensor]:
    """Return the rows and norms of a replayed perturbation as a sample keeps them."""
    made = {}
    for name, value in delta.items():
        rows = stored.get(f"rows/{name}", torch.empty(0, dtype=torch.int64))
        is_inside = rows.dtype == torch.int64 and (
            not len(rows) or 0 <= int(rows.min()) <= int(rows.max()) < len(value)
        )
        made[f"rows/{name}"] = rows
        made[f"sample/{name}"] = value[rows] if is_inside else value[:0]
        made[f"norms/{name}"] = measure(value, surfaces[name], norm)
    return made


def _furthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    if set(one) != set(other) or any(one[name].shape != other[name].shape for name in one):
        return float("inf")
    pairs = ((one[name].double().flatten(), other[name].double().flatten()) for name in one)
    return max((apart(pd.Series(a.numpy()), pd.Series(b.numpy())) for a, b in pairs), default=0.0)
