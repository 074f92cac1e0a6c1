"""Norms: lengths, projections and steps against torch's own norms, renorm and clamp."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recshield.core.errors import UnknownName
from recshield.core.norms import measure, norm_of, project, steepest
from recshield.core.surfaces import Budget, Surface

ORDER = {"l2": 2.0, "linf": float("inf")}
DUAL = {"l2": 2.0, "linf": 1.0}
#: Shapes and what one norm spans: rows of a table, images, positions of a sequence, columns, dimensions apart.
CASES = [
    ((6, 4), (-1,)),
    ((6, 4), (1,)),
    ((3, 2, 4, 5), (1, 2, 3)),
    ((3, 2, 4, 5), (-1, -2, -3)),
    ((3, 5, 4), (-1,)),
    ((3, 5, 4), (1,)),
    ((3, 5, 4), (0, 2)),
    ((2, 3, 5, 4), (1,)),
    ((3, 2, 5, 4), (0,)),
    ((1, 1), (-1,)),
]
each_norm = pytest.mark.parametrize("norm", ["l2", "linf"])
each_case = pytest.mark.parametrize(("shape", "dims"), CASES)


def surface_of(shape: tuple[int, ...], dims: tuple[int, ...] = (-1,)) -> Surface:
    return Surface("toy", shape, Budget("l2", 1.0), norm_dims=dims)


def drawn(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def lengths(values: Tensor, norm: str, dims: tuple[int, ...]) -> Tensor:
    return torch.linalg.vector_norm(values.double(), ORDER[norm], dim=dims)


@each_norm
@each_case
def test_measure_is_the_vector_norm_of_every_slice(shape, dims, norm):
    values = drawn(shape)
    expected = lengths(values, norm, dims).flatten()
    torch.testing.assert_close(measure(values, surface_of(shape, dims), norm).double(), expected, rtol=1e-6, atol=0)


def test_measure_by_hand():
    values = torch.tensor([[3.0, -4.0], [0.0, 0.0], [-12.0, 5.0]])
    assert measure(values, surface_of((3, 2)), "l2").tolist() == [5.0, 0.0, 13.0]
    assert measure(values, surface_of((3, 2)), "linf").tolist() == [4.0, 0.0, 12.0]


@pytest.mark.parametrize("size", [1e-25, 1e-40, 1e25])
def test_l2_length_neither_underflows_nor_overflows_when_squared(size):
    values = torch.full((1, 4), size)
    assert measure(values, surface_of((1, 4)), "l2").item() == pytest.approx(2 * size, rel=1e-4)


@each_norm
def test_measure_of_a_slice_with_nan_is_nan_and_of_the_others_is_not(norm):
    values = torch.tensor([[1.0, float("nan")], [0.0, 2.0]])
    measured = measure(values, surface_of((2, 2)), norm)
    assert measured[0].isnan()
    assert measured[1] == 2.0


@pytest.mark.parametrize("eps", [0.01, 0.5, 2.0, 100.0])
@pytest.mark.parametrize(("shape", "dims"), [((6, 4), (-1,)), ((3, 2, 4, 5), (1, 2, 3))])
def test_l2_projection_is_torch_renorm(shape, dims, eps):
    values = 3 * drawn(shape)
    expected = torch.renorm(values, p=2, dim=0, maxnorm=eps)
    torch.testing.assert_close(project(values, surface_of(shape, dims), Budget("l2", eps)), expected)


def test_l2_projection_of_a_sequence_is_renorm_of_every_position():
    values = 3 * drawn((3, 5, 4))
    expected = torch.renorm(values.reshape(15, 4), p=2, dim=0, maxnorm=0.5).reshape(3, 5, 4)
    torch.testing.assert_close(project(values, surface_of((3, 5, 4)), Budget("l2", 0.5)), expected)


@pytest.mark.parametrize("eps", [0.01, 0.5, 100.0])
@each_case
def test_l2_projection_scales_every_slice_by_eps_over_its_length(shape, dims, eps):
    values = drawn(shape).double()
    length = torch.linalg.vector_norm(values, dim=dims, keepdim=True)
    expected = values * (eps / length).clamp(max=1.0)
    torch.testing.assert_close(project(values, surface_of(shape, dims), Budget("l2", eps)), expected)


@pytest.mark.parametrize("eps", [0.01, 0.5, 100.0])
@each_case
def test_linf_projection_is_clamp(shape, dims, eps):
    values = drawn(shape)
    assert torch.equal(project(values, surface_of(shape, dims), Budget("linf", eps)), values.clamp(-eps, eps))


def test_projection_by_hand():
    values = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    shrunk = project(values, surface_of((3, 2)), Budget("l2", 1.0))
    torch.testing.assert_close(shrunk, torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))
    clipped = project(values, surface_of((3, 2)), Budget("linf", 1.0))
    assert clipped.tolist() == torch.tensor([[1.0, 1.0], [0.3, 0.4], [0.0, 0.0]]).tolist()


@each_norm
@each_case
def test_eps_0_projects_to_exact_zeros(shape, dims, norm):
    values = drawn(shape) * 10.0 ** drawn(shape, seed=1)
    projected = project(values, surface_of(shape, dims), Budget(norm, 0.0))
    assert projected.shape == values.shape
    assert torch.count_nonzero(projected) == 0


@each_norm
def test_zeros_project_to_zeros(norm):
    zeros = torch.zeros(3, 4)
    for eps in (0.0, 1.0):
        assert torch.equal(project(zeros, surface_of((3, 4)), Budget(norm, eps)), zeros)


@each_norm
def test_projection_leaves_its_argument_alone_and_keeps_the_type(norm):
    values = drawn((3, 4)).double()
    kept = values.clone()
    projected = project(values, surface_of((3, 4)), Budget(norm, 0.1))
    assert torch.equal(values, kept)
    assert projected.dtype == torch.float64


@each_norm
def test_a_perturbation_of_no_rows_projects_to_no_rows(norm):
    assert project(torch.zeros(0, 4), surface_of((3, 4)), Budget(norm, 1.0)).shape == (0, 4)


VALUES = st.floats(-1e6, 1e6, width=32)
ROWS = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(VALUES, min_size=width, max_size=width), min_size=1, max_size=4)
)
EPS = st.one_of(st.just(0.0), st.floats(1e-6, 1e6))


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, eps=EPS, norm=st.sampled_from(["l2", "linf"]))
def test_a_projection_is_inside_the_budget_idempotent_and_leaves_the_inside_where_it_is(rows, eps, norm):
    values = torch.tensor(rows, dtype=torch.float32)
    surface, budget = surface_of(tuple(values.shape)), Budget(norm, eps)
    projected = project(values, surface, budget)
    assert bool((lengths(projected, norm, (-1,)) <= eps * (1 + 1e-6)).all())
    torch.testing.assert_close(project(projected, surface, budget), projected, rtol=1e-6, atol=0)
    is_inside = lengths(values, norm, (-1,)) <= eps * (1 - 1e-6)
    assert torch.equal(projected[is_inside], values[is_inside])


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), eps=st.floats(0.01, 3.0), norm=st.sampled_from(["l2", "linf"]))
def test_no_other_point_inside_is_nearer_than_the_projection(seed, eps, norm):
    values = 3 * drawn((1, 3), seed)
    surface = surface_of((1, 3))
    others = drawn((200, 3), seed + 1)
    others = others / lengths(others, norm, (-1,))[:, None] * eps
    own = (project(values, surface, Budget(norm, eps)) - values).norm()
    assert own <= (others - values).norm(dim=1).min() * (1 + 1e-5)


@each_norm
@each_case
def test_the_steepest_step_has_norm_1_and_reaches_the_dual_norm(shape, dims, norm):
    gradient = drawn(shape)
    step = steepest(gradient, surface_of(shape, dims), norm)
    ones = torch.ones_like(lengths(step, norm, dims))
    torch.testing.assert_close(lengths(step, norm, dims), ones, rtol=1e-6, atol=0)
    gained = (step * gradient).double().sum(dim=dims)
    dual = torch.linalg.vector_norm(gradient.double(), DUAL[norm], dim=dims)
    torch.testing.assert_close(gained, dual, rtol=1e-5, atol=0)


def test_the_steepest_step_by_hand():
    gradient = torch.tensor([[3.0, -4.0], [0.0, 2.0]])
    torch.testing.assert_close(steepest(gradient, surface_of((2, 2)), "l2"), torch.tensor([[0.6, -0.8], [0.0, 1.0]]))
    assert steepest(gradient, surface_of((2, 2)), "linf").tolist() == [[1.0, -1.0], [0.0, 1.0]]


@each_norm
@each_case
def test_a_zero_gradient_gives_a_zero_step(shape, dims, norm):
    assert torch.count_nonzero(steepest(torch.zeros(shape), surface_of(shape, dims), norm)) == 0


@each_norm
def test_a_zero_row_beside_others_stays_zero(norm):
    gradient = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    step = steepest(gradient, surface_of((2, 2)), norm)
    assert step[0].tolist() == [0.0, 0.0]
    assert measure(step, surface_of((2, 2)), norm)[1].item() == pytest.approx(1.0)


@each_norm
@pytest.mark.parametrize("size", [1e-25, 1e-40, 1e30])
def test_tiny_and_huge_gradients_give_steps_of_norm_1(norm, size):
    gradient = size * torch.tensor([[1.0, 1.0, -1.0, 1.0]])
    step = steepest(gradient, surface_of((1, 4)), norm)
    assert lengths(step, norm, (-1,)).item() == pytest.approx(1.0, rel=1e-6)
    assert (step * gradient.sign()).min() > 0


def test_an_unknown_norm_is_named_with_its_neighbour_and_the_way_to_write_a_budget():
    text = "no norm 'l3'; did you mean 'l2'? installed: l2, l2-table, linf. a budget is written NORM:EPS, for example l2:0.5"
    values, surface = torch.ones(2, 2), surface_of((2, 2))
    for call in (
        lambda: norm_of("l3"),
        lambda: measure(values, surface, "l3"),
        lambda: project(values, surface, Budget("l3", 1.0)),
        lambda: steepest(values, surface, "l3"),
    ):
        with pytest.raises(UnknownName) as caught:
            call()
        assert str(caught.value) == text
