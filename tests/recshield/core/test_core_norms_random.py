"""Random perturbations: on the sphere, uniform in the ball, from their own generator."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Generator, Tensor

from recshield.core.norms import random_direction, random_inside
from recshield.core.surfaces import Budget, Surface

ORDER = {"l2": 2.0, "linf": float("inf")}
SLICES = 20_000
each_norm = pytest.mark.parametrize("norm", ["l2", "linf"])
each_draw = pytest.mark.parametrize("draw", [random_direction, random_inside])


def surface_of(shape: tuple[int, ...], dims: tuple[int, ...] = (-1,)) -> Surface:
    return Surface("toy", shape, Budget("l2", 1.0), norm_dims=dims)


def seeded(seed: int = 7) -> Generator:
    return torch.Generator().manual_seed(seed)


def lengths(values: Tensor, norm: str, dims: tuple[int, ...] = (-1,)) -> Tensor:
    return torch.linalg.vector_norm(values.double(), ORDER[norm], dim=dims)


@each_norm
@pytest.mark.parametrize(("shape", "dims"), [((9, 5), (-1,)), ((4, 3, 2, 5), (1, 2, 3)), ((4, 3, 5), (-1,))])
def test_a_random_direction_has_norm_1_in_every_slice(shape, dims, norm):
    drawn = random_direction(torch.zeros(shape), surface_of(shape, dims), norm, seeded())
    assert drawn.shape == shape
    measured = lengths(drawn, norm, dims)
    torch.testing.assert_close(measured, torch.ones_like(measured), rtol=1e-6, atol=0)


def test_l2_directions_are_uniform_on_the_sphere():
    # In three dimensions every coordinate of a uniform direction is uniform on [-1, 1] (Archimedes).
    drawn = random_direction(torch.zeros(SLICES, 3), surface_of((SLICES, 3)), "l2", seeded())
    for column in drawn.double().T:
        assert stats.kstest(column.numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_linf_directions_are_corners_of_the_cube_with_even_signs():
    drawn = random_direction(torch.zeros(SLICES, 3), surface_of((SLICES, 3)), "linf", seeded())
    assert set(drawn.unique().tolist()) == {-1.0, 1.0}
    # Four standard errors of a mean of SLICES signs.
    assert drawn.mean(dim=0).abs().max() < 4 / SLICES**0.5


@each_norm
@pytest.mark.parametrize("width", [1, 2, 3, 16])
def test_the_radius_to_the_power_of_the_dimension_is_uniform(norm, width):
    # The share of the ball within radius r is r**d, so r**d of a uniform point is uniform on [0, 1].
    drawn = random_inside(torch.zeros(SLICES, width), surface_of((SLICES, width)), norm, seeded())
    share = lengths(drawn, norm) ** width
    assert share.max() <= 1 + 1e-5
    assert share.mean().item() == pytest.approx(0.5, abs=4 / (12 * SLICES) ** 0.5)
    assert stats.kstest(share.numpy(), "uniform").pvalue > 1e-3


@each_norm
def test_random_points_of_images_stay_inside_the_ball_of_the_whole_image(norm):
    shape = (500, 3, 2, 2)
    drawn = random_inside(torch.zeros(shape), surface_of(shape, (1, 2, 3)), norm, seeded())
    share = lengths(drawn, norm, (1, 2, 3)) ** 12
    assert share.max() <= 1 + 1e-5
    assert share.mean().item() == pytest.approx(0.5, abs=4 / (12 * 500) ** 0.5)


@each_norm
@each_draw
def test_random_points_have_mean_zero_in_every_coordinate(draw, norm):
    drawn = draw(torch.zeros(SLICES, 4), surface_of((SLICES, 4)), norm, seeded())
    assert drawn.mean(dim=0).abs().max() < 4 / SLICES**0.5


@each_norm
@each_draw
def test_the_same_generator_gives_the_same_bits_and_another_seed_others(draw, norm):
    like, surface = torch.zeros(8, 4), surface_of((8, 4))
    first = draw(like, surface, norm, seeded(1))
    assert torch.equal(first, draw(like, surface, norm, seeded(1)))
    assert not torch.equal(first, draw(like, surface, norm, seeded(2)))


@each_norm
@each_draw
def test_random_draws_leave_the_global_generator_alone(draw, norm):
    before = torch.get_rng_state()
    draw(torch.zeros(8, 4), surface_of((8, 4)), norm, seeded())
    assert torch.equal(before, torch.get_rng_state())


@each_norm
@each_draw
def test_random_draws_do_not_depend_on_the_values_they_are_shaped_like(draw, norm):
    surface = surface_of((8, 4))
    assert torch.equal(
        draw(torch.zeros(8, 4), surface, norm, seeded()), draw(torch.ones(8, 4), surface, norm, seeded())
    )


@each_norm
@each_draw
def test_random_draws_take_the_type_of_what_they_are_shaped_like(draw, norm):
    assert draw(torch.zeros(2, 4).double(), surface_of((2, 4)), norm, seeded()).dtype == torch.float64
