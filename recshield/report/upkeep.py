"""What the cache holds, as a terminal shows it."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from recshield.matrix.upkeep import Held, Pruned
from recshield.report.text import safe


def size_text(n_bytes: int) -> str:
    """Return bytes as a person reads them: `0 B`, `12.3 MB` (powers of 1024)."""
    value = float(n_bytes)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TB"


def age_text(seconds: float | None) -> str:
    """Return an age as a person reads it: `3 d`, `2 h`, or "" for none."""
    if seconds is None:
        return ""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def show_sizes(console: Console, folder: Path, rows: list[tuple[str, int, int, float | None]]) -> None:
    """Print what the cache holds, by kind."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("what", "number", "size", "last used"):
        drawn.add_column(name, justify="left" if name == "what" else "right")
    for what, number, size, age in rows:
        drawn.add_row(safe(what), str(number), size_text(size), age_text(age))
    console.print(drawn)
    total = sum(size for _, _, size, _ in rows)
    console.print(safe(f"{size_text(total)} in {folder}"), soft_wrap=True)


def show_pruned(console: Console, pruned: Pruned, *, is_dry: bool) -> None:
    """Print what went, or would go, and what a running process holds."""
    size = sum(held.size for held in pruned.gone)
    verb = "would remove" if is_dry else "removed"
    text = f"{verb} {_steps(pruned.gone)}, {size_text(size)}"
    if pruned.kernel_bytes:
        text += f", and {size_text(pruned.kernel_bytes)} of compiled kernels and tables given from Python"
    console.print(safe(text), soft_wrap=True)
    if pruned.in_use:
        console.print(safe(f"left {_steps(pruned.in_use)} that a running process holds"), soft_wrap=True)


def show_verified(console: Console, n_steps: int, damaged: list[str], removed: list[str]) -> None:
    """Print which steps are damaged, and what to do."""
    for key in damaged:
        state = "removed" if key in removed else "damaged"
        console.print(safe(f"{state}: step {key} does not match its recorded hashes"), soft_wrap=True)
    console.print(safe(f"{n_steps - len(damaged)} of {n_steps} steps match their recorded hashes"), soft_wrap=True)
    if len(damaged) > len(removed):
        console.print(safe("remove them with `recshield cache verify --repair`; they are computed again when needed"))


def _steps(held: tuple[Held, ...]) -> str:
    return f"{len(held)} step{'s' * (len(held) != 1)}"
