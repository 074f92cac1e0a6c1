"""Random search: steps that are kept, row by row, where the answers get better."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from recshield.core.errors import BadValue
from recshield.core.interfaces import Access, Attack, Victim
from recshield.core.norms import project
from recshield.core.seeds import child
from recshield.core.storage import by_rows
from recshield.core.surfaces import Budget, Delta
from recshield_query.answers import Answer, ListWatch, ScoreWatch, Watch
from recshield_query.estimate import spread
from recshield_query.moves import Moving, direction, moved


def _chosen(proposed: Tensor, held: Tensor, is_better: Tensor) -> Tensor:
    return torch.where(spread(is_better, held) > 0, proposed, held)


@dataclass(frozen=True)
class Search(Attack):
    """Random search by scores: every row is moved at random, and keeps the move if its user or item did better.

    The first point is random and of full length; steps shrink to nothing along the way. As rows act on each other, the
    point made of the kept moves is asked for, too; the best such point is kept.

    Attributes:
        queries: answers that each user gives, the clean ones included.
        tile: side of the squares of pixels that move together, on images.

    Source: Andriushchenko et al. 2020 (Square Attack), arXiv:1912.00049, Algorithm 1: random search inside the budget
    with a shrinking step; Guo et al. 2019 (SimBA), arXiv:1905.07121.
    """

    queries: int = 100
    tile: int = 8

    name = "search"
    access = Access.DATA | Access.RANKINGS | Access.SCORES

    def __post_init__(self) -> None:
        if self.queries < 4:
            raise BadValue(f"attack '{self.name}': queries is a whole number of at least 4, not {self.queries}")
        if self.tile < 1:
            raise BadValue(f"attack '{self.name}': tile is a whole number of at least 1")

    def watch(self, victim: Victim, rng: Generator) -> Watch:
        """Return what the attack looks at."""
        return ScoreWatch(victim, child(rng, "others"))

    def perturb(self, victim: Victim, budget: Budget, rng: Generator) -> Delta:
        """Return the best point."""
        delta = victim.zeros()
        if budget.eps == 0:
            return delta
        watch = self.watch(victim, rng)
        start = direction(victim, budget, child(rng, "start"), self.tile)
        delta = moved(victim, delta, start, budget.eps, budget)
        here = watch.ask(delta)
        best, value = delta, here.value
        n_tries = (self.queries - 2) // 2
        for turn in range(n_tries):
            along = direction(victim, budget, child(rng, "direction", turn), self.tile)
            proposed = moved(victim, delta, along, budget.eps * (1 - turn / n_tries), budget)
            delta = self._kept(watch, delta, here, proposed, watch.ask(proposed), budget)
            here = watch.ask(delta)
            if here.value > value:
                best, value = delta, here.value
        return best

    def _kept(
        self, watch: Watch, delta: Moving, here: Answer, proposed: Moving, there: Answer, budget: Budget
    ) -> Moving:
        """Return the rows of the proposal that did better, and the others as they were."""
        found = {}
        for one in watch.victim.surfaces:
            is_better = (watch.credit(one, there) > watch.credit(one, here)).float()
            mixed = by_rows(_chosen, proposed[one.name], delta[one.name], is_better)
            found[one.name] = project(mixed, one, budget)  # rows of two tables may exceed a norm of the whole table
        return watch.victim.legal(found)


@dataclass(frozen=True)
class ListSearch(Search):
    """Random search from ranked lists alone: each user shows the items ranked first, without scores.

    Attributes:
        queries: lists that each user shows, the clean ones included.
        tile: side of the squares of pixels that move together, on images.
        shown: length of the lists.

    Source: as for `search`; the value of a list is the gain that the items shown first when clean still have in it.
    """

    shown: int = 100

    name = "search-list"
    access = Access.DATA | Access.RANKINGS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shown < 1:
            raise BadValue(f"attack '{self.name}': shown is a whole number of at least 1")

    def watch(self, victim: Victim, rng: Generator) -> Watch:
        """Return what the attack looks at."""
        return ListWatch(victim, self.shown)
