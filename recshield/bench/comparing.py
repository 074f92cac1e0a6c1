"""Two benchmarks side by side."""

from __future__ import annotations

from dataclasses import dataclass

from recshield.bench.figures import BenchFile, Figure

#: Medians whose ratio lies within this are a tie, as are those whose repeats overlap.
TIE = 1.3


@dataclass(frozen=True)
class Change:
    """One piece of work in both files.

    Attributes:
        before: in the first file.
        after: in the second.
    """

    before: Figure
    after: Figure

    @property
    def ratio(self) -> float:
        """Seconds after over seconds before."""
        return self.after.median / self.before.median if self.before.median else float("nan")

    @property
    def word(self) -> str:
        """`faster`, `slower`, or `tie`: a ratio within 1.3, or repeats that overlap."""
        fast, slow = sorted((self.before, self.after), key=lambda one: one.median)
        overlaps = max(fast.seconds) >= min(slow.seconds)
        if overlaps or 1 / TIE < self.ratio < TIE:
            return "tie"
        return "faster" if self.ratio < 1 else "slower"


def compare(one: BenchFile, other: BenchFile) -> tuple[list[Change], list[str]]:
    """Return the work that both files timed, and in words what makes them two: machine, request, work of one alone."""
    held = {figure.name: figure for figure in other.figures}
    changes = [Change(figure, held[figure.name]) for figure in one.figures if figure.name in held]
    notes = [
        f"{part} {key}: {ours.get(key, 'not said')} before, {theirs.get(key, 'not said')} after"
        for part, ours, theirs in (
            ("machine", one.machine, other.machine),
            ("request", one.request, other.request),
            ("size", one.size.model_dump(), other.size.model_dump()),
        )
        for key in sorted({*ours, *theirs})
        if ours.get(key) != theirs.get(key)
    ]
    for file, which in ((one, "before"), (other, "after")):
        alone = [figure for figure in file.figures if figure.name not in {change.before.name for change in changes}]
        notes += [f"only {which}: {' '.join(filter(None, figure.name))}" for figure in alone]
    return changes, notes
