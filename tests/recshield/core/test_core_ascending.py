"""The fused step of iterative attacks beside the same step made of torch's operations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recshield.core import norms
from recshield.core.ascending import ascend_rows
from recshield.core.norms import ascended, measure
from recshield.core.surfaces import Budget, Surface

EPS = 0.5


def surface_of(shape: tuple[int, ...], dims: tuple[int, ...] = (-1,)) -> Surface:
    return Surface("some", shape, Budget("l2", EPS), norm_dims=dims)


def both(
    delta: torch.Tensor, direction: torch.Tensor, size: float, monkeypatch: pytest.MonkeyPatch
) -> list[torch.Tensor]:
    """Return the step as it is fused, and as torch makes it."""
    found = []
    for least in (1, 2**62):
        monkeypatch.setattr(norms, "_FUSED", least)
        found.append(ascended(delta, direction, size, surface_of(tuple(delta.shape)), Budget("l2", EPS)))
    return found


@pytest.mark.parametrize("width", [1, 5, 64, 67])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_fused_step_is_the_step(width: int, scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(width)
    delta = torch.randn((40, width), generator=rng) * 0.2
    direction = torch.randn((40, width), generator=rng) * scale
    delta[3], direction[3:5] = 0, 0
    before = delta.clone()
    fused, plain = both(delta, direction, 0.1, monkeypatch)
    torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-6)
    assert torch.equal(delta, before)
    assert torch.equal(fused[3], torch.zeros(width))
    lengths = measure(fused, surface_of((40, width)), "l2")
    assert float(lengths.max()) <= EPS * (1 + 1e-6)
    assert (lengths - EPS).abs().min() < 1e-6  # some rows are on the edge


def test_what_is_not_a_number_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    direction = torch.ones((3, 8))
    direction[1, 2] = torch.nan
    for made in both(torch.zeros((3, 8)), direction, 0.1, monkeypatch):
        assert made.isnan().any(dim=1).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("shape", "dims", "norm"), [((6, 4, 5), (-1,), "l2"), ((40, 8), (-1,), "linf"), ((40, 8), (-2, -1), "l2-table")]
)
def test_other_steps_are_not_fused(
    shape: tuple[int, ...], dims: tuple[int, ...], norm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("fused")

    monkeypatch.setattr(norms, "_FUSED", 1)
    monkeypatch.setattr(norms, "ascend_rows", refuse)
    rng = torch.Generator().manual_seed(0)
    ascended(
        torch.zeros(shape),
        torch.randn(shape, generator=rng),
        0.1,
        surface_of(shape, dims),
        Budget(norm, 1),
    )


def test_rows_in_cache_sized_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    delta, direction = (torch.randn((50, 3, 4), generator=rng) for _ in range(2))
    surface, budget = surface_of((50, 3, 4)), Budget("linf", 0.3)
    whole = ascended(delta, direction, 0.1, surface, budget)
    monkeypatch.setattr(norms, "_NEAR", 30)
    assert torch.equal(ascended(delta, direction, 0.1, surface, budget), whole)


@pytest.mark.parametrize("shape", [(39, 8), (41, 8), (40, 7)])
def test_a_direction_of_another_shape_is_an_error(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norms, "_FUSED", 1)
    with pytest.raises(RuntimeError, match="size"):
        ascended(torch.zeros((40, 8)), torch.ones(shape), 0.1, surface_of((40, 8)), Budget("l2", EPS))


@pytest.mark.parametrize("rows", [1, 101])
def test_a_step_on_two_threads_is_the_step(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norms, "_FUSED", 1)
    rng = torch.Generator().manual_seed(0)
    delta, direction = (torch.randn((rows, 8), generator=rng) for _ in range(2))
    before, made = torch.get_num_threads(), []
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            made.append(ascended(delta, direction, 0.1, surface_of((rows, 8)), Budget("l2", EPS)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])


@pytest.mark.parametrize("width", [1, 5, 64])
def test_the_largest_of_a_row_is_found_whatever_it_is(width: int) -> None:
    """Zeros of both signs, what is tiny, huge, infinite or no number, and rows that do not lie one behind the other."""
    rng = np.random.default_rng(0)
    along = rng.normal(size=(12, 2 * width)).astype(np.float32)[:, ::2]
    along[0], along[1], along[2], along[3, 0], along[4, -1], along[5] = 0.0, -0.0, 1e-42, 3e38, -3e38, 1e-30
    along[6, 0], along[7, -1] = np.inf, np.nan
    held, found = np.zeros((12, width), np.float32), np.empty((12, width), np.float32)
    ascend_rows(held, along, np.float32(1.0), np.float32(0.5), found)
    lengths = np.linalg.norm(found.astype(np.float64), axis=1)
    assert lengths[:6] == pytest.approx([0, 0, 0.5, 0.5, 0.5, 0.5], abs=1e-6)
    assert lengths[8:] == pytest.approx([0.5] * 4, abs=1e-6)
    assert not np.isfinite(lengths[6:8]).any(), "seen by whoever looks for it, and not hidden"
    sure = [2, 3, 4, 5, 8, 9, 10, 11]
    wanted = along[sure].astype(np.float64)
    wanted *= 0.5 / np.linalg.norm(wanted, axis=1, keepdims=True)
    assert found[sure] == pytest.approx(wanted, abs=1e-6)
