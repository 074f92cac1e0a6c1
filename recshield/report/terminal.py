"""A finished run as a terminal shows it: the matrix, then every sentence that is not a pass."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recshield.report.grid import ORDER, STYLES, attack_name, matrix
from recshield.report.text import plain, safe

#: Most sentences of one check and verdict that are printed; the rest are counted.
_ALIKE = 3


def show(
    console: Console, table: pd.DataFrame, verdicts: pd.DataFrame, manifest: dict[str, Any], is_split: bool = False
) -> None:
    """Print a run; `is_split`: every seed and fold by itself."""
    _head(console, table, manifest)
    names = {name: table[name].nunique() for name in ("fold", "seed")}
    several = [f"{count} {name}s" for name, count in names.items() if count > 1]
    if several and not is_split:
        console.print()
        console.print(safe(f"mean of {' x '.join(several)}, \N{PLUS-MINUS SIGN} their standard deviation", "bold"))
        matrix(console, table)
        _selected(console, table)
    else:
        for places, held in table.groupby(["fold", "seed"]):
            parts = [f"{name} {place}" for name, place in zip(names, places, strict=True) if names[name] > 1]
            if parts:
                console.print()
                console.print(safe(", ".join(parts), "bold"))
            matrix(console, held)
            _selected(console, held)
    _sentences(console, table, verdicts)
    _rest(console, manifest)


def _head(console: Console, table: pd.DataFrame, manifest: dict[str, Any]) -> None:
    console.print(safe(f"{table['dataset'].iloc[0]}", "bold"))
    for name, text in manifest.get("split", {}).items():
        console.print(Text("  ").append_text(safe(name, "dim")).append(": ").append_text(safe(text)), soft_wrap=True)


def _selected(console: Console, table: pd.DataFrame) -> None:
    """Print what validation rows selected, system by system."""
    clean = table[(table["attack"] == "none") & ~table["is_control"] & (table["selected"] != "")]
    for system, selected in dict(zip(clean["system"], clean["selected"], strict=True)).items():
        console.print(safe(f"selected  {system}: {selected}", "dim"), soft_wrap=True)


def _sentences(console: Console, table: pd.DataFrame, verdicts: pd.DataFrame) -> None:
    """Print findings that are not a pass, equal ones together, the worst first."""
    found = verdicts[(verdicts["verdict"] != "pass") & ((verdicts["verdict"] != "not run") | verdicts["is_required"])]
    if verdicts.empty:
        return
    counts = verdicts["verdict"].value_counts()
    summary = ", ".join(f"{counts[word]} {word}" for word in reversed(ORDER) if word in counts)
    console.print()
    count = f"{len(verdicts)} finding{'s' if len(verdicts) != 1 else ''}"
    console.print(safe(f"audit, {count}: {summary}", "bold"))
    names = _names(table)
    grouped: dict[tuple[str, int, str, str], list[str]] = {}
    for row in found.to_dict("records"):
        key = (row["verdict"], row["number"], row["check"], row["sentence"])
        grouped.setdefault(key, []).append(names.get(row["cell"], row["cell"]))
    alike: Counter[tuple[str, int, str]] = Counter()
    for key in sorted(grouped, key=lambda one: ((*ORDER, one[0]).index(one[0]), one[1])):
        verdict, number, check, sentence = key
        alike[verdict, number, check] += 1
        if alike[verdict, number, check] > _ALIKE:
            continue
        line = Text(f"{plain(verdict):>8}", style=STYLES.get(verdict, "")).append(f"  {number} {plain(check)}: ")
        console.print(
            line.append_text(safe(sentence)).append_text(safe(f"  [{_several(grouped[key])}]", "dim")), soft_wrap=True
        )
    _left_out(console, alike)


def _left_out(console: Console, alike: Counter[tuple[str, int, str]]) -> None:
    more = [f"{count - _ALIKE} of {check} ({word})" for (word, _, check), count in alike.items() if count > _ALIKE]
    if more:
        console.print(
            safe(f"          more sentences alike: {', '.join(more)}; `recshield audit` prints all", "dim"),
            soft_wrap=True,
        )


def _names(table: pd.DataFrame) -> dict[str, str]:
    """Return cell -> what a person calls it; "" is the run itself."""
    attacked = table[(table["attack"] != "none") & ~table["is_control"]]
    usual = str(attacked["surface"].mode().get(0, ""))
    cells = {row["cell"]: _name(row, usual) for row in table[table["attack"] != "none"].to_dict("records")}
    return cells | {"": "the run as a whole"}


def _name(row: dict[Any, Any], usual: str) -> str:
    seed = f", seed {row['seed']}" if row["seed"] else ""
    fold = f", fold {row['fold']}" if row["fold"] else ""
    return f"{row['system']} under {attack_name(row, usual)} at {row['norm']} {row['eps_text']}{seed}{fold}"


def _several(names: Iterable[str]) -> str:
    held = list(dict.fromkeys(names))
    return "; ".join(held[:3]) + (f"; and {len(held) - 3} more" if len(held) > 3 else "")


def _rest(console: Console, manifest: dict[str, Any]) -> None:
    """Print what was skipped, what failed and what was rebuilt."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for skip in manifest.get("skipped", []):
        by_reason.setdefault((skip["system"], skip["reason"]), []).append(skip["attack"])
    for (system, reason), attacks in by_reason.items():
        under = f" x {', '.join(one for one in attacks if one)}" if any(attacks) else ""
        console.print(safe(f"skipped  {system}{under}: {reason}", "dim"), soft_wrap=True)
    for text in manifest.get("failed", []):
        console.print(safe(f"failed   {text}", "bold red"), soft_wrap=True)
    if manifest.get("rebuilt"):
        console.print(safe(f"rebuilt  {len(manifest['rebuilt'])} damaged store entries", "yellow"))
    for name, reason in manifest.get("plugins_not_loaded", {}).items():
        console.print(safe(f"plugin '{name}' could not be loaded: {reason}", "yellow"))


def show_timings(console: Console, timings: pd.DataFrame) -> None:
    """Print seconds and peak memory per step."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("step", "seconds", "GPU ms", "peak MiB", "GPU MiB", "reused"):
        drawn.add_column(name, justify="left" if name == "step" else "right")
    for row in timings.to_dict("records"):
        gpu = row.get("cuda_ms")
        drawn.add_row(
            safe(row["label"]),
            f"{row['seconds']:.2f}",
            "-" if gpu is None or math.isnan(gpu) else f"{gpu:.1f}",
            f"{row['peak_host_bytes'] / 2**20:.0f}",
            f"{row['peak_device_bytes'] / 2**20:.0f}" if row["peak_device_bytes"] else "-",
            "yes" if row["is_reused"] else "no",
        )
    console.print(drawn)


def show_curves(console: Console, curves: pd.DataFrame) -> None:
    """Print every learning curve: a line per look, a column per quantity."""
    if curves.empty:
        console.print("no learning curve was recorded; run the matrix with --curve or --select")
    for (label, rows), held in curves.groupby(["label", "rows"], sort=False):
        console.print()
        console.print(safe(f"{label}, {rows} rows", "bold"))
        wide = held.pivot(index="epoch", columns="quantity", values="value")
        drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("epoch", *wide.columns):
            drawn.add_column(safe(name), justify="right")
        for epoch, values in wide.iterrows():
            drawn.add_row(str(epoch), *(f"{value:.4f}" if value < 10 else f"{value:,.0f}" for value in values))
        console.print(drawn)


def show_verdicts(console: Console, table: pd.DataFrame, verdicts: pd.DataFrame) -> None:
    """Print every finding of every cell."""
    names = _names(table)
    for cell, found in verdicts.groupby("cell", sort=False):
        console.print()
        console.print(safe(names.get(str(cell), str(cell)), "bold"))
        for row in found.to_dict("records"):
            line = Text(f"{plain(row['verdict']):>8}", style=STYLES.get(row["verdict"], ""))
            console.print(
                line.append(f"  {row['number']:>2} {plain(row['check'])}: ").append_text(safe(row["sentence"]))
            )
