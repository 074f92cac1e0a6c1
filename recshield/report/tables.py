"""Results and plans as JSON, and a plan as a terminal shows it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from recshield.matrix.plan import Plan
from recshield.matrix.store import Store
from recshield.report.text import safe

Rows = list[dict[str, Any]]


def _records(frame: pd.DataFrame) -> Rows:
    """Return rows with missing numbers as null."""
    held: Rows = json.loads(frame.to_json(orient="records", double_precision=15))
    return held


def as_json(table: pd.DataFrame, verdicts: pd.DataFrame, manifest: dict[str, Any]) -> str:
    """Return a run as one JSON object: manifest, results, verdicts."""
    findings = _records(verdicts)
    for row in findings:
        figures = json.loads(row["figures"])
        row["figures"] = {key: value if math.isfinite(value) else None for key, value in figures.items()}
    held = {"manifest": manifest, "results": _records(table), "verdicts": findings}
    return json.dumps(held, indent=1, allow_nan=False)


def plan_rows(plan: Plan, store: Store, seconds: Mapping[str, float | None]) -> tuple[Rows, Rows, Rows]:
    """Return the cells, steps and skips of a plan; `seconds` is the estimate of each step, where there is one."""
    cells = [
        {
            "cell": cell.id,
            "system": cell.system.name,
            "attack": cell.attack.text if cell.attack else "none",
            "surface": cell.target,
            "goal": cell.goal,
            "norm": cell.norm,
            "eps": str(cell.eps) if cell.attack else "",
            "seed": cell.seed,
            "is_control": cell.is_control,
        }
        for cell in plan.cells
    ]
    steps = [
        {
            "step": step.key,
            "kind": step.kind,
            "label": step.label,
            "is_done": store.get(step.key) is not None,
            "seconds": seconds.get(step.key),
        }
        for step in plan.steps.values()
    ]
    skips = [{"system": skip.system, "attack": skip.attack, "reason": skip.reason} for skip in plan.skips]
    return cells, steps, skips


def plan_json(cells: Rows, steps: Rows, skips: Rows, seconds: float | None) -> str:
    """Return a plan as one JSON object; `seconds` is the estimate of all that is to do, where there is one."""
    return json.dumps({"cells": cells, "steps": steps, "skipped": skips, "seconds": seconds}, indent=1)


def show_plan(console: Console, cells: Rows, steps: Rows, skips: Rows) -> None:
    """Print a plan; nothing was computed."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="cells", title_justify="left")
    for name in ("system", "attack", "surface", "budget", "seed", "why"):
        drawn.add_column(name)
    for cell in cells:
        budget = f"{cell['norm']} {cell['eps']}".strip()
        why = "for the audit" if cell["is_control"] else "asked for"
        shown = (cell["system"], cell["attack"], cell["surface"], budget, cell["seed"], why)
        drawn.add_row(*(safe(value) for value in shown))
    console.print(drawn)
    listed = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="steps", title_justify="left")
    listed.add_column("kind")
    listed.add_column("what")
    listed.add_column("state")
    for step in steps:
        listed.add_row(step["kind"], safe(step["label"]), "done" if step["is_done"] else "to do")
    console.print(listed)
    for skip in skips:
        under = f" x {skip['attack']}" if skip["attack"] else ""
        console.print(safe(f"skipped  {skip['system']}{under}: {skip['reason']}"))
    n_done = sum(bool(step["is_done"]) for step in steps)
    n_main = sum(not cell["is_control"] for cell in cells)
    summary = f"{n_main} cells asked for, {len(cells) - n_main} for the audit; {n_done} of {len(steps)} steps are done"
    console.print(safe(summary, "bold"))
