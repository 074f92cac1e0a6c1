"""A finished run as a terminal shows it: the matrix, then every sentence that is not a pass."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recshield.core.settings import GOAL
from recshield.evaluation.metrics import written
from recshield.report.text import plain, safe

_STYLES = {"pass": "green", "warn": "yellow", "unproven": "magenta", "fail": "bold red", "not run": "magenta"}
#: Most metrics whose clean figures stand beside the attacks; more get a table of their own.
_BESIDE = 4
_ORDER = ("fail", "unproven", "not run", "warn", "pass")


def show(console: Console, table: pd.DataFrame, verdicts: pd.DataFrame, manifest: dict[str, Any]) -> None:
    """Print a run."""
    _head(console, table, manifest)
    n_seeds, n_folds = table["seed"].nunique(), table["fold"].nunique()
    for (fold, seed), held in table.groupby(["fold", "seed"]):
        parts = [f"fold {fold}"] * (n_folds > 1) + [f"seed {seed}"] * (n_seeds > 1)
        if parts:
            console.print()
            console.print(safe(", ".join(parts), "bold"))
        _matrix(console, held)
        _selected(console, held)
    _sentences(console, table, verdicts)
    _rest(console, manifest)


def _head(console: Console, table: pd.DataFrame, manifest: dict[str, Any]) -> None:
    console.print(safe(f"{table['dataset'].iloc[0]}", "bold"))
    for name, text in manifest.get("split", {}).items():
        console.print(Text("  ").append_text(safe(name, "dim")).append(": ").append_text(safe(text)), soft_wrap=True)


def _metric(row: pd.Series) -> str:
    name, slash, suffix = written(str(row["metric"]), row["k"]).partition("/")
    return name.upper() + slash + suffix


def _matrix(console: Console, table: pd.DataFrame) -> None:
    """Print clean figures, and per attack and budget the relative change of the main metric with its verdict."""
    table = table.assign(title=table.apply(_metric, axis=1))
    every = list(dict.fromkeys(table["title"]))
    titles = every if len(every) <= _BESIDE else every[:1]
    clean = table[(table["attack"] == "none") & ~table["is_control"]]
    attacked = table[(table["attack"] != "none") & ~table["is_control"] & (table["title"] == titles[0])]
    attacked = attacked.assign(under=_under(attacked), size=attacked["norm"] + " " + attacked["eps_text"])
    sizes = list(dict.fromkeys(attacked["size"]))
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("system", overflow="fold", min_width=12)
    for title in titles:
        drawn.add_column(Text("clean\n").append_text(safe(title)), justify="right", no_wrap=True)
    if sizes:
        drawn.add_column("attack", overflow="fold")
    for size in sizes:
        drawn.add_column(safe(size), justify="right", min_width=8)
    for system in dict.fromkeys(clean["system"]):
        own = clean[clean["system"] == system].set_index("title")["clean"]
        head = [safe(system), *(Text(f"{own[title]:.4f}") for title in titles)]
        here = attacked[attacked["system"] == system]
        for under in dict.fromkeys(here["under"]):
            row = here[here["under"] == under]
            drawn.add_row(*head, safe(under), *(_cell(row[row["size"] == size]) for size in sizes))
            head = [Text("")] * len(head)
        if here.empty:
            drawn.add_row(*head, *([Text("-", style="dim")] * (len(sizes) + bool(sizes))))
    console.print(drawn)
    if len(titles) < len(every):
        _clean_figures(console, clean, every)
    if sizes:
        note = f"relative change of {titles[0]} under attack at each budget (norm and eps), and the verdict"
        console.print(safe(note, "dim"), soft_wrap=True)


def _selected(console: Console, table: pd.DataFrame) -> None:
    """Print what validation rows selected, system by system."""
    clean = table[(table["attack"] == "none") & ~table["is_control"] & (table["selected"] != "")]
    for system, selected in dict(zip(clean["system"], clean["selected"], strict=True)).items():
        console.print(safe(f"selected  {system}: {selected}", "dim"), soft_wrap=True)


def _clean_figures(console: Console, clean: pd.DataFrame, titles: Iterable[str]) -> None:
    """Print clean figures of many metrics: a row each, and a column per system."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("clean", no_wrap=True)
    by_system = {str(name): own.set_index("title")["clean"] for name, own in clean.groupby("system", sort=False)}
    for name in by_system:
        drawn.add_column(safe(name), justify="right", overflow="fold", min_width=8)
    for title in titles:
        drawn.add_row(safe(title), *(Text(f"{own[title]:.4f}") for own in by_system.values()))
    console.print(drawn)


def _under(attacked: pd.DataFrame) -> pd.Series:
    """Return attack, and surface and goal where they are not the usual ones."""
    usual = attacked["surface"].mode()
    shown = []
    for row in attacked.to_dict("records"):
        is_unusual = row["surface"] != usual[0] and "@" not in row["attack"]
        surface = f" on {row['surface']}" if is_unusual else ""
        shown.append(row["attack"] + surface + (f", {row['goal']}" if row["goal"] != GOAL else ""))
    return pd.Series(shown, index=attacked.index, dtype=object)


def _cell(found: pd.DataFrame) -> Text:
    if found.empty:
        return Text("-", style="dim")
    row = found.iloc[0]
    value = row["relative_change"]
    text = Text("n/a" if math.isnan(value) else f"{100 * value:+.1f} %")
    return text.append(f"\n{plain(row['verdict'])}", style=_STYLES.get(row["verdict"], ""))


def _sentences(console: Console, table: pd.DataFrame, verdicts: pd.DataFrame) -> None:
    """Print findings that are not a pass, equal ones together, the worst first."""
    found = verdicts[(verdicts["verdict"] != "pass") & ((verdicts["verdict"] != "not run") | verdicts["is_required"])]
    if verdicts.empty:
        return
    counts = verdicts["verdict"].value_counts()
    summary = ", ".join(f"{counts[word]} {word}" for word in reversed(_ORDER) if word in counts)
    console.print()
    console.print(safe(f"audit, {len(verdicts)} findings: {summary}", "bold"))
    names = _names(table)
    grouped: dict[tuple[str, int, str, str], list[str]] = {}
    for row in found.to_dict("records"):
        key = (row["verdict"], row["number"], row["check"], row["sentence"])
        grouped.setdefault(key, []).append(names.get(row["cell"], row["cell"]))
    for key in sorted(grouped, key=lambda one: ((*_ORDER, one[0]).index(one[0]), one[1])):
        verdict, number, check, sentence = key
        line = Text(f"{plain(verdict):>8}", style=_STYLES.get(verdict, "")).append(f"  {number} {plain(check)}: ")
        console.print(
            line.append_text(safe(sentence)).append_text(safe(f"  [{_several(grouped[key])}]", "dim")), soft_wrap=True
        )


def _names(table: pd.DataFrame) -> dict[str, str]:
    """Return cell -> what a person calls it; "" is the run itself."""
    cells = {row["cell"]: _name(row) for row in table[table["attack"] != "none"].to_dict("records")}
    return cells | {"": "the run as a whole"}


def _name(row: dict[Any, Any]) -> str:
    seed = f", seed {row['seed']}" if row["seed"] else ""
    fold = f", fold {row['fold']}" if row["fold"] else ""
    return f"{row['system']} under {row['attack']} at {row['norm']} {row['eps_text']}{seed}{fold}"


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
            line = Text(f"{plain(row['verdict']):>8}", style=_STYLES.get(row["verdict"], ""))
            console.print(
                line.append(f"  {row['number']:>2} {plain(row['check'])}: ").append_text(safe(row["sentence"]))
            )
