"""The matrix as a terminal shows it: a row per system and attack, a column per budget."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recshield.core.settings import GOAL
from recshield.evaluation.metrics import written
from recshield.report.text import plain, safe

STYLES = {"pass": "green", "warn": "yellow", "unproven": "magenta", "fail": "bold red", "not run": "magenta"}
#: Verdicts, the worst first.
ORDER = ("fail", "unproven", "not run", "warn", "pass")
#: Most metrics whose clean figures stand beside the attacks; more get a table of their own.
_BESIDE = 4
#: Widest that a table may get where nobody looks at a terminal.
_WIDEST = 10_000


def matrix(console: Console, table: pd.DataFrame) -> None:
    """Print clean figures, and per attack and budget the relative change of the main metric with its verdict.

    Over several seeds or folds: means (of a change, the ratio of the means), with the standard deviation between them.
    """
    table = table.assign(title=table.apply(_metric, axis=1))
    every = list(dict.fromkeys(table["title"]))
    clean = table[(table["attack"] == "none") & ~table["is_control"]]
    attacked = table[(table["attack"] != "none") & ~table["is_control"] & (table["title"] == every[0])]
    attacked = attacked.assign(under=_under(attacked), size=attacked["norm"] + " " + attacked["eps_text"])
    sizes = list(dict.fromkeys(attacked["size"]))
    titles = every if len(every) <= _BESIDE else every[:1]
    if not _fits(console, _drawn(clean, attacked, titles, sizes)):
        titles = every[:1]
    for part in _parts(console, clean, attacked, titles, sizes):
        _print(console, _drawn(clean, attacked, titles, part))
    if len(titles) < len(every):
        _clean_figures(console, clean, every)
    if sizes:
        note = f"relative change of {titles[0]} under attack at each budget (norm and eps), and the verdict"
        console.print(safe(note, "dim"), soft_wrap=True)


def _metric(row: pd.Series) -> str:
    name, slash, suffix = written(str(row["metric"]), row["k"]).partition("/")
    return name.upper() + slash + suffix


def _under(attacked: pd.DataFrame) -> pd.Series:
    """Return attack, and surface and goal where they are not the usual ones."""
    usual = attacked["surface"].mode()
    shown = [attack_name(row, str(usual[0])) for row in attacked.to_dict("records")]
    return pd.Series(shown, index=attacked.index, dtype=object)


def attack_name(row: Mapping[Any, Any], usual: str) -> str:
    """Return an attack with its surface where that is not the usual one, and its goal where that is not `degrade`."""
    is_unusual = row["surface"] != usual and "@" not in str(row["attack"])
    surface = f" on {row['surface']}" if is_unusual else ""
    return f"{row['attack']}{surface}" + (f", {row['goal']}" if row["goal"] != GOAL else "")


def _drawn(clean: pd.DataFrame, attacked: pd.DataFrame, titles: Sequence[str], sizes: Sequence[str]) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("system", overflow="fold", min_width=12)
    for title in titles:
        drawn.add_column(Text("clean\n").append_text(safe(title)), justify="right", no_wrap=True)
    if sizes:
        drawn.add_column("attack", overflow="fold", min_width=12)
    for size in sizes:
        drawn.add_column(safe(size), justify="right", no_wrap=True, min_width=8)
    for system in dict.fromkeys(clean["system"]):
        own = clean[clean["system"] == system]
        head = [safe(system), *(_clean(own[own["title"] == title]["clean"]) for title in titles)]
        here = attacked[(attacked["system"] == system) & attacked["size"].isin(sizes)]
        for under in dict.fromkeys(here["under"]):
            row = here[here["under"] == under]
            drawn.add_row(*head, safe(under), *(_change(row[row["size"] == size]) for size in sizes))
            head = [Text("")] * len(head)
        if here.empty:
            drawn.add_row(*head, *([Text("-", style="dim")] * (len(sizes) + bool(sizes))))
    return drawn


def _clean(values: pd.Series) -> Text:
    """Return a clean figure, and below it the spread over seeds and folds."""
    text = Text(f"{values.mean():.4f}")
    return text.append(f"\n\N{PLUS-MINUS SIGN}{values.std():.4f}", style="dim") if len(values) > 1 else text


def _change(found: pd.DataFrame) -> Text:
    if found.empty:
        return Text("-", style="dim")
    clean = float(found["clean"].mean())
    value = float(found["attacked"].mean()) / clean - 1 if clean else math.nan
    text = Text("n/a" if math.isnan(value) else f"{100 * value:+.1f}")
    if len(found) > 1 and not math.isnan(value):
        text.append(f" \N{PLUS-MINUS SIGN}{100 * found['relative_change'].std():.1f}", style="dim")
    if not math.isnan(value):
        text.append(" %")
    words = [plain(word) for word in found["verdict"]]
    worst = min(words, key=_badness)
    count = "" if len(set(words)) == 1 else f" {words.count(worst)} of {len(words)}"
    return text.append(f"\n{worst}{count}", style=STYLES.get(worst, ""))


def _badness(word: str) -> int:
    return ORDER.index(word) if word in ORDER else -1


def _fits(console: Console, drawn: Table) -> bool:
    return not console.is_terminal or _natural(console, drawn) <= console.width


def _natural(console: Console, drawn: Table) -> int:
    return int(console.measure(drawn, options=console.options.update(max_width=_WIDEST)).maximum)


def _parts(
    console: Console, clean: pd.DataFrame, attacked: pd.DataFrame, titles: Sequence[str], sizes: Sequence[str]
) -> Iterable[Sequence[str]]:
    """Return the budgets in as many groups as a narrow terminal needs, each a table of its own."""
    for count in range(len(sizes), 1, -1):
        parts = [sizes[start : start + count] for start in range(0, len(sizes), count)]
        if all(_fits(console, _drawn(clean, attacked, titles, part)) for part in parts):
            return parts
    return [[size] for size in sizes] or [[]]


def _print(console: Console, drawn: Table) -> None:
    """Print a table, at its own width where no terminal bounds it."""
    before = console.width
    if not console.is_terminal:
        console.width = max(before, _natural(console, drawn))
    console.print(drawn)
    console.width = before


def _clean_figures(console: Console, clean: pd.DataFrame, titles: Iterable[str]) -> None:
    """Print clean figures of many metrics: a row each, and a column per system."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("clean", no_wrap=True)
    by_system = {str(name): own for name, own in clean.groupby("system", sort=False)}
    for name in by_system:
        drawn.add_column(safe(name), justify="right", overflow="fold", min_width=8)
    for title in titles:
        drawn.add_row(safe(title), *(_clean(own[own["title"] == title]["clean"]) for own in by_system.values()))
    _print(console, drawn)
