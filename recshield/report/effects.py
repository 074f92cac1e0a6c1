"""The effects of the attacks of a run as a terminal shows them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from recshield.evaluation.background import ACTIVITY
from recshield.report.text import safe

Row = dict[Any, Any]
Columns = Sequence[tuple[str, Callable[[Row], str]]]


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:+.1f} %"


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"


def _span(row: Row) -> str:
    return f"{_percent(row['relative_change'])}\n{100 * row['low']:+.1f} to {100 * row['high']:+.1f}"


def _places(row: Row) -> str:
    return f"{row['rank_median']:+.0f}\n{row['rank_q25']:+.0f} to {row['rank_q75']:+.0f}"


def _shift(row: Row) -> str:
    return "-" if math.isnan(row["score_shift_scaled"]) else f"{row['score_shift_scaled']:+.2f} sd"


_FALL: Columns = (
    ("change and\n95 % interval", _span),
    ("user's\nworst", lambda row: _percent(row["worst_case"])),
    ("places lost\nquartiles", _places),
    ("fall >10\n>100", lambda row: f"{_share(row['down_10'])}\n{_share(row['down_100'])}"),
    ("harmed\nhelped", lambda row: f"{_share(row['harmed'])}\n{_share(row['helped'])}"),
)
_REST: Columns = (
    ("\n".join(ACTIVITY), lambda row: "\n".join(_percent(row[f"change_{group}"]) for group in ACTIVITY)),
    ("gap", lambda row: _share(row["activity_gap"])),
    ("head\ntail", lambda row: f"{_percent(row['change_head'])}\n{_percent(row['change_tail'])}"),
    ("score\nshift", _shift),
    ("lists\nkept", lambda row: _share(row["overlap"])),
)


def show_effects(console: Console, effects: pd.DataFrame, changes: pd.DataFrame) -> None:
    """Print who falls how far, which groups lose what, and what the metrics beyond accuracy say."""
    if effects.empty:
        console.print("no attack was asked for in this run; there is no effect to show")
        return
    metric = str(effects["metric"].iloc[0]).upper()
    _table(console, f"effect on {metric} and on the place of the test item", effects, _FALL)
    held = [name for name in effects.columns if name.startswith("change_") or name in ("score_shift_scaled", "overlap")]
    if effects[held].notna().any(axis=None):
        _table(console, f"groups of users (relative change of {metric}), scores and lists", effects, _REST)
    note = "harmed, helped: users whose test item left or entered the top K; worst: over the attacks of a budget"
    console.print(safe(note, "dim"), soft_wrap=True)
    beyond = changes[~changes["is_accuracy"]]
    if not beyond.empty:
        _beyond(console, beyond)


def _names(row: Row) -> tuple[str, str]:
    return str(row["system"]), f"{row['attack']}\n{row['norm']} {row['eps_text']}"


def _table(console: Console, title: str, rows: pd.DataFrame, columns: Columns) -> None:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=safe(title), title_justify="left")
    drawn.add_column("system", overflow="fold", min_width=6)
    drawn.add_column("attack", overflow="fold", min_width=6)
    for name, _ in columns:
        drawn.add_column(name, justify="right", no_wrap=True)
    for row in rows.to_dict("records"):
        system, attack = _names(row)
        lines = [safe(part) for part in attack.split("\n")]
        named = lines[0].append("\n").append_text(lines[1])
        drawn.add_row(safe(system), named, *(safe("").append(told(row)) for _, told in columns))
    console.print(drawn)


def _beyond(console: Console, rows: pd.DataFrame) -> None:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="beyond accuracy", title_justify="left")
    for name in ("system", "attack", "budget", "metric"):
        drawn.add_column(name, overflow="fold")
    for name in ("clean", "attacked", "change"):
        drawn.add_column(name, justify="right", no_wrap=True)
    for row in rows.to_dict("records"):
        named = (row["system"], row["attack"], f"{row['norm']} {row['eps_text']}", row["metric"])
        figures = (f"{row['clean']:.4f}", f"{row['attacked']:.4f}", _percent(row["relative_change"]))
        drawn.add_row(*(safe(part) for part in named), *figures)
    console.print(drawn)
