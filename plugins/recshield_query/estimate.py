"""Gradients estimated from answers: natural evolution strategies, by scores and by ranked lists."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor

from recshield.core.errors import BadValue
from recshield.core.interfaces import Access, Attack, Victim
from recshield.core.seeds import child
from recshield.core.storage import by_rows
from recshield.core.surfaces import Budget, Delta
from recshield_query.answers import Answer, ListWatch, ScoreWatch, Watch
from recshield_query.moves import Moving, direction, moved

#: Weight of a random direction beside the estimates: nothing, but where there is none.
_CHANCE = 1e-12


def spread(credit: Tensor, like: Tensor) -> Tensor:
    """Return one value per row so that it multiplies the rows of a table."""
    return credit.to(like).reshape(-1, *(1,) * (like.ndim - 1))


@dataclass(frozen=True)
class NES(Attack):
    """Projected ascent along a gradient that is estimated from scores, in pairs of random directions.

    Every row of a surface is moved at once, and its estimate credits it with what its own user or item did. The iterate
    with the highest value is kept; rows that no answer tells anything about go a random way.

    Attributes:
        queries: answers that each user gives, the clean ones included.
        steps: steps of ascent that share them.
        reach: length of the random directions, in units of eps.
        decay: of the running sum of estimates.
        tile: side of the squares of pixels that move together, on images.

    Source: Ilyas et al. 2018, arXiv:1804.08598, section 2.2 (antithetic NES) and Algorithm 1; the squares of pixels are
    the tiling prior of Ilyas et al. 2019, arXiv:1807.07978, section 3.2. There one input has one loss; here all rows of
    a table are estimated from the same answers.
    """

    queries: int = 100
    steps: int = 5
    reach: float = 0.5
    decay: float = 0.9
    tile: int = 8

    name = "nes"
    access = Access.DATA | Access.RANKINGS | Access.SCORES

    def __post_init__(self) -> None:
        if self.steps < 1 or self.tile < 1:
            raise BadValue(f"attack '{self.name}': steps and tile are whole numbers of at least 1")
        if not 0 < self.reach < float("inf") or not 0 <= self.decay < float("inf"):
            raise BadValue(f"attack '{self.name}': reach is a finite number above 0, decay one of at least 0")
        if self.pairs < 1:
            least = 2 + 3 * self.steps
            raise BadValue(
                f"attack '{self.name}': {self.steps} steps need at least {least} queries, not {self.queries}"
            )

    @property
    def pairs(self) -> int:
        """Return how many pairs of directions a step has; two answers go to the clean state, one to each step's end."""
        return (self.queries - 2 - self.steps) // (2 * self.steps)

    def watch(self, victim: Victim, rng: Generator) -> Watch:
        """Return what the attack looks at."""
        return ScoreWatch(victim, child(rng, "others"))

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        """Return the best iterate."""
        delta = victim.zeros()
        if budget.eps == 0:
            return delta
        watch = self.watch(victim, rng)
        best, value = delta, watch.ask(delta).value
        running = victim.zeros()
        chance = direction(victim, budget, child(rng, "chance"), self.tile)
        for step in range(self.steps):
            running = {name: by_rows(self._decayed, held, chance[name]) for name, held in running.items()}
            for pair in range(self.pairs):
                along = direction(victim, budget, child(rng, "direction", step, pair), self.tile)
                size = self.reach * budget.eps
                one, other = (watch.ask(moved(victim, delta, along, sign * size, budget)) for sign in (1, -1))
                self._add(watch, running, along, one, other)
            delta = moved(victim, delta, running, budget.eps, budget)
            reached = watch.ask(delta).value
            if reached > value:
                best, value = delta, reached
        return best

    def _decayed(self, held: Tensor, chance: Tensor) -> Tensor:
        """Return a running sum for the next step; a row without any estimate goes a way of its own."""
        return held * self.decay + _CHANCE * chance

    def _add(self, watch: Watch, running: Moving, along: Delta, one: Answer, other: Answer) -> None:
        """Add the estimate of one pair to the running sum, row by row."""
        for surface in watch.victim.surfaces:
            name = surface.name
            gain = watch.credit(surface, one) - watch.credit(surface, other)
            held = along[name]
            running[name] = by_rows(lambda sums, way, gains: sums + spread(gains, way) * way, running[name], held, gain)


@dataclass(frozen=True)
class ListNES(NES):
    """NES from ranked lists alone: each user shows the items ranked first, without scores.

    Attributes:
        queries: lists that each user shows, the clean ones included.
        steps: steps of ascent that share them.
        reach: length of the random directions, in units of eps; lists answer in jumps, so it is long.
        decay: of the running sum of estimates.
        tile: side of the squares of pixels that move together, on images.
        shown: length of the lists.

    Source: Ilyas et al. 2018, arXiv:1804.08598, section 2.4 (the proxy score from ranks).
    """

    reach: float = 1.0
    shown: int = 100

    name = "nes-list"
    access = Access.DATA | Access.RANKINGS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shown < 1:
            raise BadValue(f"attack '{self.name}': shown is a whole number of at least 1")

    def watch(self, victim: Victim, rng: Generator) -> Watch:
        """Return what the attack looks at."""
        return ListWatch(victim, self.shown)
