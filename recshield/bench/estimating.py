"""How long a plan will take, by what a benchmark has timed."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recshield.bench.figures import BenchFile, Figure, Size
from recshield.bench.work import Held, StepWork, works
from recshield.core.surfaces import family
from recshield.matrix.plan import Plan, Step

#: Options that say how often the same thing is done: seconds grow with them.
_COUNTS = ("steps", "restarts")


@dataclass(frozen=True)
class Estimate:
    """Seconds of the steps that are still to do.

    Attributes:
        seconds: of each step; None = no figure is alike.
        total: of all that is known, in so many processes.
        jobs: processes.
    """

    seconds: dict[str, float | None]
    total: float
    jobs: int

    @property
    def unknown(self) -> int:
        """Number of steps without an estimate."""
        return sum(held is None for held in self.seconds.values())

    def by_kind(self, steps: Mapping[str, Step]) -> dict[str, float]:
        """Return the seconds of each kind of step, whatever the number of processes."""
        found: dict[str, float] = {}
        for key, held in self.seconds.items():
            if held is not None:
                found[steps[key].kind] = found.get(steps[key].kind, 0.0) + held
        return found


def estimate(plan: Plan, missing: Sequence[str], size: Size, timed: Sequence[BenchFile], jobs: int = 1) -> Estimate:
    """Return how long the missing steps of a plan take.

    A figure serves for work of the same kind by the same model, defenses and attack; of several the one with most
    options in common, then the one of the nearest size. Seconds grow with training rows (training and attacks), with
    users times items (rankings), with items (features), and with an attack's steps and restarts. Early stopping is not
    foreseen: with it the estimate is the most that it can take.

    Args:
        plan: with all its steps.
        missing: keys of those that are not done.
        size: of the plan's data.
        timed: benchmarks of the machine and the threads that the plan will run with.
        jobs: processes; they are taken not to slow each other.
    """
    seconds: dict[str, float | None] = {}
    for key in missing:
        found = [_seconds(work, size, timed) for work in works(plan.steps, key)]
        known = [held for held in found if held is not None]
        seconds[key] = sum(known) if known and len(known) == len(found) else None
    return Estimate(seconds, _span(plan, seconds, jobs), jobs)


def _seconds(work: StepWork, size: Size, timed: Sequence[BenchFile]) -> float | None:
    best: tuple[float, float, float] | None = None
    for file in timed:
        for figure in file.figures:
            alike = _alike(work, figure)
            if alike is None:
                continue
            ratio = _ratio(work, file, size)
            rank = (alike, -max(ratio, 1 / ratio))
            if best is None or rank > best[:2]:
                best = (*rank, figure.median * ratio * _repeats(work, figure))
    return None if best is None else best[2] * work.calls


def _alike(work: StepWork, figure: Figure) -> float | None:
    """Return the share of options that are equal; None where the figure is of other work."""
    theirs = figure.parts
    if figure.kind != work.kind or len(theirs) != len(work.parts):
        return None
    equal = total = 0
    for one, other in zip(work.parts, theirs, strict=True):
        if one["name"] != other.name or _family(one["target"]) != _family(other.target):
            return None
        total += len(one["options"])
        equal += sum(other.options.get(key) == value for key, value in one["options"].items())
    return equal / total if total else 1.0


def _family(target: str) -> str:
    return family(target) if target else ""


def _ratio(work: StepWork, file: BenchFile, size: Size) -> float:
    """Return how much larger the work is than that of the figure."""
    if work.kind == "rank":
        return size.users * size.items / (file.size.users * file.size.items)
    return size.items / file.size.items if work.kind == "extract" else size.rows / file.size.rows


def _repeats(work: StepWork, figure: Figure) -> float:
    """Return how many times as often the attack of the work does the same thing as that of the figure."""
    if work.kind != "attack":
        return 1.0
    factor = 1.0
    ours: Held = work.parts[-1]["options"]
    theirs = figure.parts[-1].options
    for name in _COUNTS:
        one, other = ours.get(name), theirs.get(name)
        if isinstance(one, int) and isinstance(other, int) and one > 0 and other > 0:
            factor *= one / other
    return factor


def _span(plan: Plan, seconds: Mapping[str, float | None], jobs: int) -> float:
    """Return when the last step ends, where each starts as soon as its parents and a process are there."""
    done: dict[str, float] = {}
    free = [0.0] * jobs
    waiting = [key for key in plan.steps if key in seconds]
    while waiting:
        now = heapq.heappop(free)
        # In the plan's order, as the executor goes; a step whose parents end later lets others go before it.
        ready = {key: max((done.get(one, 0.0) for one in plan.steps[key].parents), default=0.0) for key in waiting
                 if all(one in done or one not in seconds for one in plan.steps[key].parents)}  # fmt: skip
        key = min(ready, key=lambda one: max(ready[one], now))
        waiting.remove(key)
        done[key] = max(ready[key], now) + (seconds[key] or 0.0)
        heapq.heappush(free, done[key])
    return max(done.values(), default=0.0)
