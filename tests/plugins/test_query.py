"""Attacks that ask: what answers are credited with, what they cost, and what they reach."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from recshield.core.errors import BadValue
from recshield.core.interfaces import Access, Attack, Goal
from recshield.core.norms import measure
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget, Surface
from recshield.data.interactions import Interactions
from recshield.matrix.victims import TrainedVictim, degrade_pairs
from recshield.testing.data import small_dataset
from recshield.testing.reference import trained_tables
from recshield_gradient import FGM, Noise
from recshield_query import NES, ListNES, ListSearch, Search
from recshield_query.answers import ListWatch, ScoreWatch
from recshield_query.moves import direction

ALL = (NES(), ListNES(), Search(), ListSearch())
BUDGET = Budget("l2", 0.5)


class Lists:
    """Three users and six items with lists and scores that are written down; a perturbation names its state."""

    goal = Goal()
    data = Interactions.from_rows(np.array([0, 1, 2]), np.array([5, 5, 5]), 3, 6)

    def __init__(self, lists: Mapping[float, list[list[int]]], scores: Mapping[float, list[list[float]]]) -> None:
        self.lists, self.held = lists, scores

    def zeros(self) -> dict[str, Tensor]:
        return {"state": torch.zeros(1)}

    def rankings(self, users: Tensor, k: int, delta: Mapping[str, Tensor]) -> Tensor:
        return torch.tensor(self.lists[float(delta["state"])])[users, :k]

    def scores(self, users: Tensor, delta: Mapping[str, Tensor], items: Tensor) -> Tensor:
        return torch.tensor(self.held[float(delta["state"])])[users].gather(1, items)


def state(value: float) -> dict[str, Tensor]:
    return {"state": torch.tensor([value])}


def victim_for(attack: Attack, goal: str = "degrade") -> TrainedVictim:
    train = small_dataset()[0].train
    return TrainedVictim(
        trained_tables(), train, degrade_pairs(train, 0), Goal.parse(goal), "factors", type(attack).access
    )


def test_a_list_is_worth_the_gain_that_its_clean_items_still_have() -> None:
    """Two items are shown when clean; by hand, gains are 1, 1/log2(3), 1/2 for the first three places."""
    clean = [[0, 1], [2, 3], [4, -1]]
    moved = [[1, 0], [0, 2], [4, -1]]
    watch = ListWatch(Lists({0.0: clean, 1.0: moved}, {}), 2)  # type: ignore[arg-type]
    second = 1 / math.log2(3)
    before, after = watch.ask(state(0)), watch.ask(state(1))
    assert before.users.tolist() == pytest.approx([-1 - second, -1 - second, -1])
    assert before.items.tolist() == pytest.approx([-1, -second, -1, -second, -1, 0])
    assert after.users.tolist() == pytest.approx([-1 - second, -second, -1])
    # Item 0 fell to the second place of user 0 and came first for user 1; item 3 left a list and has no gain any more.
    assert after.items.tolist() == pytest.approx([1 - second, -1, -second, 0, -1, 0])
    assert after.value == pytest.approx((-1 - second - second - 1) / 3)


def test_scores_are_worth_the_margins_that_are_left() -> None:
    clean = [[3.0, 2, 1, 0, 0, 0], [0, 3, 2, 1, 0, 0], [0, 0, 3, 2, 1, 0]]
    down = [[0.0, 2, 1, 0, 0, 0], [0, 3, 2, 1, 0, 0], [0, 0, 3, 2, 1, 0]]
    lists = [[0, 1], [1, 2], [2, -1]]
    watch = ScoreWatch(Lists({0.0: lists}, {0.0: clean, 1.0: down}), generator(0))  # type: ignore[arg-type]
    watch.columns[:, 2:] = torch.tensor([[3, 4], [4, 4], [0, 1]])  # the other items
    before, after = watch.ask(state(0)), watch.ask(state(1))
    assert before.users.tolist() == pytest.approx([-2.5, -2.5, -3])
    assert after.users.tolist() == pytest.approx([-1, -2.5, -3])
    assert (after.items - before.items).tolist() == pytest.approx([3, 0, 0, 3, 0, 0])


@pytest.mark.parametrize(
    ("name", "n_rows", "wanted"),
    [
        ("factors.user", 3, "users"),
        ("factors.item", 6, "items"),
        ("item_images", 6, "items"),
        ("elsewhere", 4, "value"),
    ],
)
def test_a_row_is_credited_with_its_own_user_or_item(name: str, n_rows: int, wanted: str) -> None:
    lists = [[0, 1], [2, 3], [4, -1]]
    watch = ListWatch(Lists({0.0: lists}, {}), 2)  # type: ignore[arg-type]
    answer = watch.ask(state(0))
    credit = watch.credit(Surface(name, (n_rows, 2), BUDGET), answer)
    assert torch.equal(
        credit, torch.full((4,), answer.value, dtype=torch.float64) if wanted == "value" else getattr(answer, wanted)
    )


def test_the_rows_of_a_sequence_are_credited_with_their_user() -> None:
    held = Lists({0.0: [[0, 1], [2, 3], [4, 0]]}, {})
    held.data = Interactions.from_rows(np.array([0, 0, 2, 2, 2]), np.array([4, 5, 1, 3, 5]), 3, 6)  # type: ignore[misc]
    watch = ListWatch(held, 2)  # type: ignore[arg-type]
    answer = watch.ask(state(0))
    credit = watch.credit(Surface("sequence", (5, 2), BUDGET), answer)
    assert torch.equal(credit, answer.users[[0, 0, 2, 2, 2]])
    assert answer.users[1] == 0, "a user without history is never asked for"


@pytest.mark.parametrize("attack", ALL, ids=lambda one: one.name)
def test_no_more_is_asked_than_was_allowed(attack: Attack) -> None:
    victim = victim_for(attack)
    attack.perturb(victim, BUDGET, generator(0))
    n_users = len(np.flatnonzero(np.diff(victim.data.indptr)))
    per_user, rest = divmod(victim.notes.n_queries, n_users)
    assert rest == 0
    assert 0.9 * attack.queries < per_user <= attack.queries  # type: ignore[attr-defined]
    assert victim.notes.values == [], "no gradient was asked for"


@pytest.mark.parametrize("attack", ALL, ids=lambda one: one.name)
def test_without_a_budget_nothing_is_asked(attack: Attack) -> None:
    victim = victim_for(attack)
    delta = attack.perturb(victim, Budget("l2", 0), generator(0))
    assert all(not held.any() for held in delta.values())
    assert victim.notes.n_queries == 0


def served_value(attack: Attack, seed: int = 0) -> float:
    """Return what an attack reaches as a watcher of its own kind sees it, in terms of the ranked lists."""
    victim = victim_for(attack)
    delta = attack.perturb(victim, BUDGET, generator(seed))
    seen = victim_for(ListNES())
    return ListWatch(seen, 10).ask(delta).value


@pytest.mark.parametrize("attack", ALL, ids=lambda one: one.name)
def test_lists_are_worse_than_under_any_of_five_draws_of_noise(attack: Attack) -> None:
    noise = max(served_value(Noise(draw=draw)) for draw in range(5))
    assert served_value(attack) > noise


@pytest.mark.parametrize("kind", [NES, ListNES, Search, ListSearch])
def test_more_answers_reach_more(kind: type[NES | Search]) -> None:
    few, many = (np.mean([served_value(kind(queries=queries), seed) for seed in range(3)]) for queries in (20, 400))
    assert many > few


def test_the_estimate_from_scores_points_where_the_gradient_does() -> None:
    """On the rows of users, whose answers no other row disturbs, the estimate nears the gradient of `top`."""
    train = small_dataset()[0].train
    access = Access.DATA | Access.SCORES | Access.RANKINGS | Access.GRADIENTS
    victim = TrainedVictim(trained_tables(), train, degrade_pairs(train, 0), Goal(), "factors.user", access)
    tiny = Budget("l2", 1e-2)
    estimated = NES(queries=2003, steps=1).perturb(victim, tiny, generator(0))["factors.user"]
    exact = FGM(loss="top").perturb(victim, tiny, generator(0))["factors.user"]
    alike = torch.nn.functional.cosine_similarity(estimated, exact)
    assert float(alike.median()) > 0.8


def test_pixels_move_in_squares() -> None:
    class Images:
        surfaces = (Surface("item_images", (4, 3, 10, 7), Budget("linf", 0.1), (1, 2, 3), (0.0, 1.0)),)
        rows: ClassVar[dict[str, Tensor]] = {"item_images": torch.tensor([0, 2])}

        def zeros(self) -> dict[str, Tensor]:
            return {"item_images": torch.zeros(4, 3, 10, 7)}

    for norm in ("linf", "l2"):
        drawn = direction(Images(), Budget(norm, 0.1), generator(0), 4)["item_images"]  # type: ignore[arg-type]
        assert not drawn[[1, 3]].any(), "what the goal never reads stays as it is"
        assert torch.allclose(measure(drawn, Images.surfaces[0], norm)[[0, 2]], torch.ones(2))
        squares = drawn[0, :, :4, :4].reshape(3, -1)
        assert (squares == squares[:, :1]).all()
        assert len(drawn[0].unique()) > 2 or norm == "linf"


def test_the_test_rows_are_never_asked_for() -> None:
    with pytest.raises(BadValue, match="they never see a test item"):
        NES().perturb(victim_for(NES(), "degrade:oracle"), BUDGET, generator(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NES(queries=16), "5 steps need at least 17 queries, not 16"),
        (lambda: NES(steps=0), "steps and tile are whole numbers"),
        (lambda: NES(reach=0.0), "reach is a finite number above 0"),
        (lambda: Search(queries=3), "at least 4, not 3"),
        (lambda: Search(tile=0), "tile is a whole number of at least 1"),
        (lambda: ListSearch(shown=0), "shown is a whole number of at least 1"),
        (lambda: ListNES(shown=0), "shown is a whole number of at least 1"),
    ],
)
def test_numbers_out_of_range_are_refused(make: object, message: str) -> None:
    with pytest.raises(BadValue, match=message):
        make()  # type: ignore[operator]


def test_what_is_watched_stays_what_it_was() -> None:
    """The clean lists are asked for once; a watcher does not drift along with the attack."""
    victim = victim_for(ListNES())
    watch = ListWatch(victim, 10)
    before = watch.ask(victim.zeros())
    watch.ask(Noise().perturb(victim_for(Noise()), BUDGET, generator(0)))
    after = watch.ask(victim.zeros())
    assert before.value == after.value
    assert torch.equal(before.items, after.items)
