"""Hold the ratios of a benchmark against the committed ones, and say which have drifted; information, never a failure.

    python benchmarks/spine.py --data-dir DIR --json now.json
    python benchmarks/guard.py now.json [--committed docs/benchmarks/spine.json]

Ratios of one run, and not seconds: they mean the same on another machine, or nearly so. Within 1.3 they are a tie.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

COMMITTED = Path(__file__).parents[1] / "docs" / "benchmarks" / "spine.json"
TIE = 1.3


def ratios(path: Path) -> dict[str, float]:
    """Return the ratios of a file of `spine.py`, `sequences.py` or `peers/compare.py`."""
    held = json.loads(path.read_text())["ratios"]
    return {name: float(one["ratio"] if isinstance(one, dict) else one) for name, one in held.items()}


def drifts(now: dict[str, float], before: dict[str, float]) -> list[str]:
    """Return a line for each ratio: now, committed, and `drift` beyond a factor of 1.3 either way."""
    lines = []
    for name in sorted({*now, *before}):
        if name not in now or name not in before:
            lines.append(f"{name:44} only {'now' if name in now else 'committed'}")
            continue
        factor = now[name] / before[name]
        word = "drift" if max(factor, 1 / factor) > TIE else "tie"
        lines.append(f"{name:44} now {now[name]:8.2f}  committed {before[name]:8.2f}  {word}")
    return lines


def main() -> None:
    """Print every ratio beside the committed one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("now", type=Path)
    parser.add_argument("--committed", type=Path, default=COMMITTED)
    asked = parser.parse_args()
    for line in drifts(ratios(asked.now), ratios(asked.committed)):
        print(line)


if __name__ == "__main__":
    main()
