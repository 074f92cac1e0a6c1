"""What an attacker without gradients learns: how far lists or scores moved, and which users and items moved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from recshield.core.errors import BadValue
from recshield.core.interfaces import Victim
from recshield.core.settings import TOP_ITEMS
from recshield.core.surfaces import Delta, Surface

#: Users compared at once.
_CHUNK = 4096


@dataclass(frozen=True)
class Answer:
    """How much worse a perturbation makes the lists, and who can be credited with it; higher is worse.

    Attributes:
        value: mean over the users asked for.
        users: (n_users,) each user's own share.
        items: (n_items,) sum of what each item did to the lists.
    """

    value: float
    users: Tensor
    items: Tensor


class Watch(ABC):
    """Asks for every user with a training row, and compares with what they were shown clean."""

    def __init__(self, victim: Victim) -> None:
        if victim.goal.oracle:
            raise BadValue(f"goal '{victim.goal}' is not for attacks that ask: they never see a test item; use degrade")
        self.victim = victim
        self.data = victim.data
        self.asked = torch.from_numpy(np.flatnonzero(np.diff(self.data.indptr)))

    @abstractmethod
    def ask(self, delta: Delta) -> Answer:
        """Return what a perturbation does; one query for each user."""

    def _answer(self, users: Tensor, items: Tensor) -> Answer:
        found = torch.zeros(self.data.n_users, dtype=torch.float64)
        found[self.asked] = users
        return Answer(float(users.mean()) if len(users) else 0.0, found, items)

    def credit(self, surface: Surface, answer: Answer) -> Tensor:
        """Return (rows,) of an answer: each row's user or item is credited, or all rows alike where it is neither's."""
        n_rows, data = surface.shape[0], self.data
        if n_rows == data.n_users and (n_rows != data.n_items or "user" in surface.name):
            return answer.users
        if n_rows == data.n_items:
            return answer.items
        if n_rows == len(data.items):  # the occurrences of a sequence, user by user
            return answer.users.repeat_interleave(torch.from_numpy(np.diff(data.indptr)))
        return torch.full((n_rows,), answer.value, dtype=torch.float64)


class ListWatch(Watch):
    """Sees the items that each list shows first, in order.

    A user's value is the discounted gain that the ten items shown first when clean still have in the list, below zero.
    An item that was among them and fell, or that came among them, is credited with its gain.
    """

    def __init__(self, victim: Victim, shown: int) -> None:
        super().__init__(victim)
        self.shown = shown
        self.clean = victim.rankings(self.asked, shown, victim.zeros())[:, :TOP_ITEMS].cpu()

    def ask(self, delta: Delta) -> Answer:
        """Return what a perturbation does to the lists."""
        now = self.victim.rankings(self.asked, self.shown, delta).cpu()
        gains = 1 / torch.log2(torch.arange(now.shape[1], dtype=torch.float64) + 2)
        users = torch.empty(len(now), dtype=torch.float64)
        items = torch.zeros(self.data.n_items, dtype=torch.float64)
        for start in range(0, len(now), _CHUNK):
            part = slice(start, start + _CHUNK)
            before, after = self.clean[part], now[part]
            is_there = (before[:, :, None] == after[:, None, :]) & (before[:, :, None] >= 0)
            held = (is_there * gains).sum(dim=2)
            users[part] = -held.sum(dim=1)
            items.index_add_(0, before.clamp(min=0).flatten(), -held.flatten())
            first = after[:, : before.shape[1]]
            came = ~is_there[:, :, : before.shape[1]].any(dim=1) & (first >= 0)
            items.index_add_(0, first.clamp(min=0).flatten(), (came * gains[: before.shape[1]]).flatten())
        return self._answer(users, items)


class ScoreWatch(Watch):
    """Sees the scores of the ten items that each list shows first when clean, and of as many others, drawn once.

    A user's value is the mean of -max(x, 0), x being the score of a shown item minus that of another one.
    """

    def __init__(self, victim: Victim, rng: Generator) -> None:
        super().__init__(victim)
        shown = victim.rankings(self.asked, TOP_ITEMS, victim.zeros()).cpu()
        others = torch.randint(self.data.n_items, tuple(shown.shape), generator=rng)
        self.is_there = shown >= 0
        self.columns = torch.cat([shown.clamp(min=0), others], dim=1)

    def ask(self, delta: Delta) -> Answer:
        """Return what a perturbation does to the scores."""
        scores = self.victim.scores(self.asked, delta, self.columns).cpu().double()
        count = self.is_there.shape[1]
        held = -(scores[:, :count] - scores[:, count:]).clamp(min=0) * self.is_there
        items = torch.zeros(self.data.n_items, dtype=torch.float64)
        for columns in self.columns.split(count, dim=1):
            items.index_add_(0, columns.flatten(), held.flatten())
        return self._answer(held.sum(dim=1) / self.is_there.sum(dim=1).clamp(min=1), items)
