"""A comparison of two figures as a terminal shows it, and as JSON."""

from __future__ import annotations

import json
import math

from rich import box
from rich.console import Console
from rich.table import Table

from recshield.matrix.comparing import Comparison
from recshield.report.text import plain, safe


def comparison_json(found: Comparison) -> str:
    """Return a comparison as one JSON object; what is no finite number is null."""
    rows = [
        {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}
        for row in found.rows.to_dict("records")
    ]
    held = {"a": found.a, "b": found.b, "metric": found.metric, "verdict": found.verdict, "flips": found.flips}
    held["is_change"] = found.is_change
    return json.dumps(held | {"rows": rows}, indent=1, allow_nan=False)


def show_comparison(console: Console, found: Comparison) -> None:
    """Print a comparison: a row per seed, the pooled one last, and what it says."""
    what = ", attacked minus clean" if found.is_change else ""
    console.print(safe(f"{found.metric.upper()}{what}: b - a, over the same users", "bold"))
    console.print(safe(f"  a  {found.a}"))
    console.print(safe(f"  b  {found.b}"))
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("seed", "a", "b", "b - a\n95 % interval", "relative\n95 % interval", "p t-test\nWilcoxon", "d_z\nr"):
        drawn.add_column(name, justify="left" if name == "seed" else "right", no_wrap=True)
    for row in found.rows.to_dict("records"):
        drawn.add_row(
            plain(row["seed"]), f"{row['a']:.4f}", f"{row['b']:.4f}",
            f"{row['difference']:+.4f}\n{row['low']:+.4f} to {row['high']:+.4f}",
            f"{100 * row['relative']:+.1f} %\n{100 * row['relative_low']:+.1f} to {100 * row['relative_high']:+.1f}",
            f"{row['p_t']:.2g}\n{row['p_w']:.2g}", f"{row['d_z']:+.2f}\n{row['rank_biserial']:+.2f}",
        )  # fmt: skip
    console.print(drawn)
    console.print(safe("d_z: Cohen's effect size for pairs; r: matched-pairs rank-biserial correlation", "dim"))
    console.print(safe(_sentence(found)), soft_wrap=True)


def _sentence(found: Comparison) -> str:
    last = found.rows.iloc[-1]
    n_seeds = max(len(found.rows) - 1, 1)
    over = f"over {last['n_users']} users and {n_seeds} seed{'s' if n_seeds > 1 else ''}"
    if found.verdict == "no difference":
        said = f"no difference beyond chance {over}"
    else:
        by = f"{abs(last['difference']):.4f}" if found.is_change else f"{abs(100 * last['relative']):.1f} %"
        said = f"{'the change of b' if found.is_change else 'b'} is {found.verdict} by {by} {over}"
    flips = "; the seeds alone do not agree" if found.flips else ""
    return f"{said} (p {last['p_t']:.2g}, one test: `recshield audit` corrects for all of a run){flips}"
