"""Benchmarks as a terminal shows them."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from recshield.bench.comparing import Change
from recshield.bench.estimating import Estimate
from recshield.bench.figures import BenchFile, Figure
from recshield.bench.profiling import Profile
from recshield.matrix.plan import Plan
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
    held = {**found.request, **{key: f"{value:,}" for key, value in found.size.model_dump().items()}}
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


def duration(value: float) -> str:
    """Return a time to wait as a person says it: `45 s`, `12 min`, `3 h 20 min`."""
    if value < 90:
        return f"{max(round(value), 1)} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def show_estimate(console: Console, plan: Plan, known: Estimate | None, timed: Sequence[BenchFile]) -> None:
    """Print how long a plan takes, by which benchmarks, and what is not in it."""
    if known is not None and not known.seconds:
        return
    spent = known.by_kind(plan.steps) if known else {}
    if known is None or not spent:
        advice = "`recshield bench` with the same models, attacks and data measures what an estimate of time needs"
        console.print(safe(advice, "dim"), soft_wrap=True)
        return
    kinds = ", ".join(f"{kind} {duration(held)}" for kind, held in spent.items())
    processes = "1 process" if known.jobs == 1 else f"{known.jobs} processes"
    most = "at most" if plan.request.selection else "about"
    console.print(safe(f"{most} {duration(known.total)} in {processes} ({kinds})", "bold"), soft_wrap=True)
    devices = dict.fromkeys(file.machine.get("device", "") for file in timed)
    console.print(safe(f"by `recshield bench` on {', '.join(devices)}", "dim"))
    if known.unknown:
        kinds = ", ".join(dict.fromkeys(plan.steps[key].kind for key, held in known.seconds.items() if held is None))
        console.print(safe(f"not in it: {known.unknown} steps that none of them timed ({kinds})", "dim"))


def show_profile(console: Console, held: Profile, most: int = 8) -> None:
    """Print the operations of a profile that took longest, each without what it calls."""
    has_device = bool((held.operations["device_ms"] > 0).any())
    column = "device_ms" if has_device else "cpu_ms"
    total = float(held.operations[column].sum())
    drawn = _table(("operation", "calls", "ms", "share"), 1)
    for row in held.operations.head(most).to_dict("records"):
        share = f"{100 * row[column] / total:.0f} %" if total else "-"
        drawn.add_row(*(safe(text) for text in (row["operation"], f"{row['calls']:,}", f"{row[column]:,.2f}", share)))
    console.print(safe(f"{held.name}: {total:,.1f} ms, {held.trace}", "bold"), soft_wrap=True)
    console.print(drawn)


def show_changes(console: Console, changes: Sequence[Change], notes: Sequence[str]) -> None:
    """Print a row per piece of work that both files timed, and what makes the two files two."""
    drawn = _table(("what", "system", "attack", "before", "after", "after / before", ""), 3)
    for one in changes:
        cells = (*one.before.name, seconds(one.before.median), seconds(one.after.median), f"{one.ratio:.2f}")
        drawn.add_row(*(safe(text) for text in cells), safe(one.word, _STYLES[one.word]))
    console.print(drawn)
    for text in notes:
        console.print(safe(text), soft_wrap=True)
