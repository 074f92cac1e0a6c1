"""Random perturbations of the full norm: what any attack that uses a gradient must beat."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator

from recshield.core.errors import BadValue
from recshield.core.interfaces import Access, Attack, Victim
from recshield.core.norms import fill_random, random_direction
from recshield.core.seeds import child
from recshield.core.surfaces import Budget, Delta


@dataclass(frozen=True)
class Noise(Attack):
    """A random direction of norm eps on every row that the goal reads (l2: Gaussian direction; linf: random signs).

    Attributes:
        draw: number of the draw, from 0; another number is another noise.

    Source: He et al. 2018 (APR), section 2.3, the random baseline.
    """

    draw: int = 0

    name = "noise"
    access = Access.DATA

    def __post_init__(self) -> None:
        if self.draw < 0:
            raise BadValue(f"attack 'noise': draw is {self.draw}; it is a whole number of at least 0")

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        """Return the noise."""
        own = child(rng, "draw", self.draw) if self.draw else rng
        delta = victim.zeros()
        for one in victim.surfaces:
            fill_random(delta[one.name], victim.rows[one.name], one, budget, child(own, one.name), random_direction)
        return victim.legal(delta)
