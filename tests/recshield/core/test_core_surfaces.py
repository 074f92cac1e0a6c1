"""Surfaces, budgets and views: a perturbation is an argument, read as filters(clamp(clean + delta))."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from recshield.core.errors import BadValue
from recshield.core.surfaces import CLEAN, Budget, Stage, Surface, View, covers, family

ITEMS = Surface("factors.item", (5, 2), Budget("l2", 0.5))
PIXELS = Surface("item_images", (3, 2), Budget("linf", 0.1), bounds=(0.0, 1.0))


def table(n_rows: int = 5) -> torch.Tensor:
    return torch.arange(2.0 * n_rows).reshape(n_rows, 2)


def test_clean_returns_the_same_tensor():
    clean = table()
    assert CLEAN.read(ITEMS, clean) is clean
    assert CLEAN.read(ITEMS, clean, torch.tensor([0, 1, 2, 3, 4])) is clean


def test_a_view_of_another_surface_returns_the_same_tensor():
    clean = table()
    view = View({"factors.user": torch.ones(5, 2)}, filters={"item_images": (torch.neg,)})
    assert view.read(ITEMS, clean) is clean


def test_the_clean_view_does_not_clamp():
    beyond = torch.tensor([[-1.0, 2.0]])
    assert CLEAN.read(PIXELS, beyond, torch.tensor([0])) is beyond


def test_all_rows_are_read_with_their_own_delta():
    delta = 10 * table()
    assert torch.equal(View({"factors.item": delta}).read(ITEMS, table()), 11 * table())


def test_rows_in_any_order_and_repeated_get_their_own_delta():
    delta = torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0]]).repeat(1, 2)
    rows = torch.tensor([4, 0, 4, 2])
    read = View({"factors.item": delta}).read(ITEMS, torch.zeros(4, 2), rows)
    assert read[:, 0].tolist() == [4.0, 0.0, 4.0, 2.0]


def test_a_delta_of_some_rows_leaves_the_others_clean():
    view = View({"factors.item": torch.tensor([[10.0, 20.0], [30.0, 40.0]])}, {"factors.item": torch.tensor([1, 3])})
    expected = torch.tensor([[0.0, 0.0], [10.0, 20.0], [0.0, 0.0], [30.0, 40.0], [0.0, 0.0]])
    assert torch.equal(view.read(ITEMS, torch.zeros(5, 2)), expected)
    rows = torch.tensor([4, 3, 0, 1, 3, 2])
    assert torch.equal(view.read(ITEMS, torch.zeros(6, 2), rows), expected[rows])


def test_a_delta_of_no_rows_changes_nothing():
    view = View({"factors.item": torch.zeros(0, 2)}, {"factors.item": torch.zeros(0, dtype=torch.int64)})
    assert torch.equal(view.read(ITEMS, table()), table())
    assert torch.equal(view.read(ITEMS, table(2), torch.tensor([3, 3])), table(2))


@pytest.mark.parametrize("seed", range(20))
def test_a_view_agrees_with_a_loop_over_its_rows(seed):
    rng = np.random.default_rng(seed)
    n_rows, n_read = int(rng.integers(1, 9)), int(rng.integers(0, 12))
    surface = Surface("toy", (n_rows, 2), Budget("l2", 1.0), bounds=(-0.5, 1.5))
    covered = np.sort(rng.permutation(n_rows)[: rng.integers(0, n_rows + 1)])
    delta = rng.normal(size=(len(covered), 2)).astype(np.float32)
    rows = rng.integers(0, n_rows, size=n_read)
    clean = rng.random((n_rows, 2)).astype(np.float32)
    expected = np.zeros((n_read, 2), np.float32)
    for place, row in enumerate(rows):
        step = delta[list(covered).index(row)] if row in covered else np.zeros(2, np.float32)
        expected[place] = np.clip(clean[row] + step, -0.5, 1.5) * 3
    view = View(
        {"toy": torch.from_numpy(delta)}, {"toy": torch.from_numpy(covered)}, {"toy": (lambda values: values * 3,)}
    )
    read = view.read(surface, torch.from_numpy(clean[rows]), torch.from_numpy(rows))
    np.testing.assert_array_equal(read.numpy(), expected)


def test_values_are_clamped_to_the_bounds_and_a_half_open_bound_is_one():
    clean = torch.tensor([[0.2, 0.9]])
    view = View({"item_images": torch.tensor([[-0.5, 0.5]])})
    assert view.read(PIXELS, clean).tolist() == [[0.0, 1.0]]
    positive = dataclasses.replace(PIXELS, bounds=(0.0, math.inf))
    torch.testing.assert_close(view.read(positive, clean), torch.tensor([[0.0, 1.4]]))
    assert positive.is_bounded
    assert not ITEMS.is_bounded


def test_a_delta_of_zero_reads_the_clean_values():
    clean = torch.rand(3, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(View({"item_images": torch.zeros(3, 2)}).read(PIXELS, clean), clean)


def test_filters_act_in_order_after_the_clamp():
    filters = {"item_images": (lambda values: values * 2, lambda values: values + 1)}
    clean = torch.tensor([[0.5, 0.9]])
    assert View(filters=filters).read(PIXELS, clean)[0].tolist() == pytest.approx([2.0, 2.8])
    attacked = View({"item_images": torch.tensor([[0.0, 0.9]])}, filters=filters)
    assert attacked.read(PIXELS, clean)[0].tolist() == pytest.approx([2.0, 3.0])


def test_reading_leaves_the_clean_values_alone():
    clean = torch.full((3, 2), 0.5)
    View({"item_images": torch.full((3, 2), 0.7)}, filters={"item_images": (torch.neg,)}).read(PIXELS, clean)
    assert torch.equal(clean, torch.full((3, 2), 0.5))


@pytest.mark.parametrize("covered", [None, torch.tensor([1, 3])])
def test_the_gradient_reaches_every_covered_row_as_often_as_it_is_read(covered):
    delta = torch.zeros(5 if covered is None else 2, 2, requires_grad=True)
    view = View({"factors.item": delta}, {} if covered is None else {"factors.item": covered})
    view.read(ITEMS, torch.zeros(4, 2), torch.tensor([3, 0, 3, 3])).sum().backward()
    expected = [1.0, 0.0, 0.0, 3.0, 0.0] if covered is None else [0.0, 3.0]
    assert delta.grad is not None
    assert delta.grad[:, 0].tolist() == expected


def test_a_view_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CLEAN.delta = {"factors.item": table()}  # type: ignore[misc]


@pytest.mark.parametrize("eps", [-1.0, -1e-9, math.nan, math.inf, -math.inf])
def test_a_budget_refuses_eps_that_is_no_size(eps):
    with pytest.raises(BadValue) as caught:
        Budget("l2", eps)
    expected = f"eps {eps} is not allowed; it is a finite number of at least 0, in units of the surface"
    assert str(caught.value) == expected


def test_a_budget_of_zero_is_allowed():
    assert Budget("linf", 0.0).eps == 0.0


def test_the_family_is_the_part_before_the_dot():
    assert family("factors.user") == "factors"
    assert family("sequence") == "sequence"
    assert family("a.b.c") == "a"


@pytest.mark.parametrize(
    ("target", "surface", "is_covered"),
    [
        ("factors", "factors.user", True),
        ("factors.user", "factors.user", True),
        ("factors.item", "factors.user", False),
        ("factors.user", "factors", False),
        ("factor", "factors.user", False),
        ("sequence", "sequence", True),
        ("", "factors.user", False),
    ],
)
def test_a_target_covers_itself_and_its_family(target, surface, is_covered):
    assert covers(target, surface) is is_covered


def test_a_surface_is_reached_after_training_unless_it_says_otherwise():
    assert ITEMS.stages == (Stage.SERVE,)
