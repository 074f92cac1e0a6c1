"""Benchmarks as a terminal shows them."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from recshield.bench.comparing import Change
from recshield.bench.figures import BenchFile, Figure
from recshield.report.text import safe

_GIGA, _MEBI = 1e9, 2**20
_STYLES = {"faster": "green", "slower": "bold red", "tie": "dim"}


def seconds(value: float) -> str:
    """Return seconds with three significant digits: `1.23 s`, `45.6 ms`."""
    return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms"


def _table(titles: Sequence[str], n_names: int) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for place, title in enumerate(titles):
        is_name = place < n_names
        drawn.add_column(title, justify="left" if is_name else "right", overflow="fold", no_wrap=not is_name)
    return drawn


def _facts(found: BenchFile) -> str:
    held = {**found.request, **{key: f"{value:,}" for key, value in found.size.items()}}
    return ", ".join(f"{key} {value}" for key, value in held.items())


def show(console: Console, found: BenchFile) -> None:
    """Print the machine, its roofline, a row per figure, and what was not timed."""
    console.print(safe(f"{_facts(found)}; {', '.join(found.machine.values())}"), soft_wrap=True)
    limit = f"a copy moves {found.bytes_per_s / _GIGA:.3g} GB/s, a product does {found.flops_per_s / _GIGA:.3g} Gflop/s"
    console.print(safe(limit, "dim"), soft_wrap=True)
    titles = ["what", "system", "attack", "median", "spread", "per s", "roof", "MiB"]
    has_device = any(one.peak_device_bytes for one in found.figures)
    drawn = _table([*titles, "device MiB"] if has_device else titles, 3)
    for one in found.figures:
        drawn.add_row(*(safe(text) for text in _row(one)[: None if has_device else -1]))
    console.print(drawn)
    for text in found.skipped:
        console.print(safe(f"not timed: {text}"), soft_wrap=True)


def _short(rate: float) -> str:
    """Return a rate with three significant digits: `5.16 M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if rate >= size:
            return f"{rate / size:.3g} {letter}"
    return f"{rate:.3g}"


def _row(one: Figure) -> tuple[str, ...]:
    return (
        one.kind, one.system, one.attack, seconds(one.median), f"{100 * one.spread:.0f} %", _short(one.rate),
        f"{100 * one.share:.2g} %" if one.floor else "-", f"{one.peak_host_bytes / _MEBI:,.0f}",
        f"{one.peak_device_bytes / _MEBI:,.0f}" if one.peak_device_bytes else "-",
    )  # fmt: skip


def show_changes(console: Console, changes: Sequence[Change], notes: Sequence[str]) -> None:
    """Print a row per piece of work that both files timed, and what makes the two files two."""
    drawn = _table(("what", "system", "attack", "before", "after", "after / before", ""), 3)
    for one in changes:
        cells = (*one.before.name, seconds(one.before.median), seconds(one.after.median), f"{one.ratio:.2f}")
        drawn.add_row(*(safe(text) for text in cells), safe(one.word, _STYLES[one.word]))
    console.print(drawn)
    for text in notes:
        console.print(safe(text), soft_wrap=True)
