"""The norms a budget can name: measure, project, steepest step and random draws, one place for all attacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from recshield.core.ascending import ascend_rows
from recshield.core.errors import UnknownName
from recshield.core.halves import together
from recshield.core.storage import by_rows, chunks
from recshield.core.surfaces import Budget, Surface

#: Values that many passes are made over on the CPU before the next ones: as many as lie in its cache.
_NEAR = 2**18
#: Values from which on compiling a kernel pays.
_FUSED = 2**20


@dataclass(frozen=True)
class Norm:
    """One norm as functions of a matrix (slices, values) whose rows are the slices that one norm spans.

    `is_whole`: the one slice is the whole table, whatever `norm_dims` a surface has.
    """

    length: Callable[[Tensor], Tensor]
    shrink: Callable[[Tensor, float], Tensor]
    steepest: Callable[[Tensor], Tensor]
    direction: Callable[[Tensor, Generator], Tensor]
    inside: Callable[[Tensor, Generator], Tensor]
    is_whole: bool = False


def _l2_length(flat: Tensor) -> Tensor:
    scale = flat.abs().amax(dim=1)
    safe = torch.where(scale > 0, scale, torch.ones_like(scale))
    return (flat / safe[:, None]).square().sum(dim=1).sqrt() * scale


def _l2_shrink(flat: Tensor, eps: float) -> Tensor:
    length = _l2_length(flat)
    factor = torch.where(length > eps, eps / length.clamp(min=torch.finfo(flat.dtype).tiny), torch.ones_like(length))
    return flat * factor[:, None]


def _l2_steepest(flat: Tensor) -> Tensor:
    # Gradients of a mean over millions of rows underflow when squared: scale by the largest value first.
    scale = flat.abs().amax(dim=1, keepdim=True)
    scaled = flat / torch.where(scale > 0, scale, torch.ones_like(scale))
    length = scaled.square().sum(dim=1, keepdim=True).sqrt()
    return scaled / torch.where(length > 0, length, torch.ones_like(length))


def _gaussian(flat: Tensor, rng: Generator) -> Tensor:
    return torch.randn(flat.shape, generator=rng, dtype=torch.float32).to(flat)


def _uniform(shape: tuple[int, ...], like: Tensor, rng: Generator) -> Tensor:
    return torch.rand(shape, generator=rng, dtype=torch.float32).to(like)


def _l2_direction(flat: Tensor, rng: Generator) -> Tensor:
    return _l2_steepest(_gaussian(flat, rng))


def _l2_inside(flat: Tensor, rng: Generator) -> Tensor:
    radius = _uniform((flat.shape[0], 1), flat, rng) ** (1.0 / flat.shape[1])
    return _l2_direction(flat, rng) * radius


def _linf_direction(flat: Tensor, rng: Generator) -> Tensor:
    return torch.where(_uniform(tuple(flat.shape), flat, rng) < 0.5, -1.0, 1.0).to(flat)


def _linf_inside(flat: Tensor, rng: Generator) -> Tensor:
    return _uniform(tuple(flat.shape), flat, rng) * 2 - 1


NORMS = {
    "l2": Norm(_l2_length, _l2_shrink, _l2_steepest, _l2_direction, _l2_inside),
    "linf": Norm(
        lambda flat: flat.abs().amax(dim=1),
        lambda flat, eps: flat.clamp(-eps, eps),
        lambda flat: flat.sign(),
        _linf_direction,
        _linf_inside,
    ),
    "l2-table": Norm(_l2_length, _l2_shrink, _l2_steepest, _l2_direction, _l2_inside, is_whole=True),
}


def norm_of(name: str) -> Norm:
    """Return the norm called `name`, or raise UnknownName."""
    if name not in NORMS:
        raise UnknownName.among("norm", name, NORMS, "a budget is written NORM:EPS, for example l2:0.5")
    return NORMS[name]


def _flat(values: Tensor, surface: Surface, norm: Norm) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return (slices, values) and the function that undoes it."""
    if norm.is_whole:
        return values.reshape(1, -1), lambda flat: flat.reshape(values.shape)
    spanned = sorted(dim % values.ndim for dim in surface.norm_dims)
    kept = [dim for dim in range(values.ndim) if dim not in spanned]
    order = kept + spanned
    moved = values.permute(order)
    inverse = [order.index(dim) for dim in range(values.ndim)]
    width = 1
    for dim in spanned:
        width *= values.shape[dim]
    return moved.reshape(-1, width), lambda flat: flat.reshape(moved.shape).permute(inverse)


def measure(delta: Tensor, surface: Surface, norm: str) -> Tensor:
    """Return the norm of every slice of a perturbation.

    Args:
        delta: (rows, *surface.shape[1:]), raw units of the surface.
        surface: its `norm_dims` say what one norm spans.
        norm: a name of `NORMS`.

    Returns:
        (slices,), one value for `l2-table`; NaN where the slice holds NaN.
    """
    if _is_rowwise(surface, norm) and len(delta):
        return torch.cat([_lengths(delta[part], surface, norm) for part in chunks(delta)])
    return _lengths(delta, surface, norm)


def _lengths(delta: Tensor, surface: Surface, norm: str) -> Tensor:
    flat, _ = _flat(delta, surface, norm_of(norm))
    if flat.numel() == 0:
        return flat.new_zeros(flat.shape[0])
    return norm_of(norm).length(flat)


def _is_rowwise(surface: Surface, norm: str) -> bool:
    """Return whether no slice spans more than one row, so that rows can be worked on apart."""
    return not norm_of(norm).is_whole and all(dim % len(surface.shape) != 0 for dim in surface.norm_dims)


def _by_rows(function: Callable[..., Tensor], surface: Surface, norm: str, *tensors: Tensor) -> Tensor:
    return by_rows(function, *tensors) if _is_rowwise(surface, norm) else function(*tensors)


def project(delta: Tensor, surface: Surface, budget: Budget) -> Tensor:
    """Return the nearest perturbation inside the budget.

    Args:
        delta: (rows, *surface.shape[1:]), raw units of the surface.
        surface: its `norm_dims` say what one norm spans.
        budget: eps in the same units.

    Returns:
        Like `delta`; every norm is at most `budget.eps` (up to float rounding).

    Raises:
        UnknownName: `budget.norm` is not a known norm.

    Source: Madry et al. 2018, arXiv:1706.06083, section 2.1.
    """

    def shrunk(held: Tensor) -> Tensor:
        flat, restore = _flat(held, surface, norm_of(budget.norm))
        return restore(norm_of(budget.norm).shrink(flat, budget.eps)) if flat.numel() else held

    return _by_rows(shrunk, surface, budget.norm, delta)


def steepest(gradient: Tensor, surface: Surface, norm: str) -> Tensor:
    """Return the step of norm 1 per slice that raises a linear function most; zero where the gradient is zero.

    Args:
        gradient: (rows, *surface.shape[1:]).
        surface: its `norm_dims` say what one norm spans.
        norm: `l2`: gradient over its length (Eq. 8 of APR); `linf`: its sign.

    Source: He et al. 2018 (APR), Eq. 8; Goodfellow et al. 2015, arXiv:1412.6572.
    """

    def stepped(held: Tensor) -> Tensor:
        flat, restore = _flat(held, surface, norm_of(norm))
        return restore(norm_of(norm).steepest(flat)) if flat.numel() else held

    return _by_rows(stepped, surface, norm, gradient)


def _is_fused(delta: Tensor, direction: Tensor, surface: Surface) -> bool:
    """Return whether a native kernel moves the rows: there are many, and each has one norm."""
    tensors = (delta, direction)
    is_plain = all(
        held.device.type == "cpu" and held.dtype == torch.float32 and held.is_contiguous() and not held.requires_grad
        for held in tensors
    )
    is_plain &= delta.ndim == 2 and delta.shape == direction.shape  # compiled code does not look where a row ends
    return is_plain and surface.norm_dims in ((-1,), (1,)) and delta.numel() >= _FUSED


def ascended(delta: Tensor, direction: Tensor, size: float, surface: Surface, budget: Budget) -> Tensor:
    """Return a perturbation moved by `size` in the steepest step along `direction`, projected into the budget.

    The step of all iterative attacks, in one pass over the rows.

    Args:
        delta: (rows, *surface.shape[1:]), raw units of the surface.
        direction: of the same shape, for example the gradient.
        size: length of the step in the budget's norm.
        surface: its `norm_dims` say what one norm spans.
        budget: eps in the same units.

    Source: Madry et al. 2018, arXiv:1706.06083, section 2.1.
    """

    def moved(held: Tensor, along: Tensor) -> Tensor:
        return project(held + size * steepest(along, surface, budget.norm), surface, budget)

    def moved_near(held: Tensor, along: Tensor) -> Tensor:
        if budget.norm == "l2" and _is_fused(held, along, surface):
            found = torch.empty_like(held)
            arrays = held.numpy(), along.numpy(), found.numpy()
            n_parts = min(2, torch.get_num_threads())

            def ascend(part: int) -> None:
                rows = slice(part * len(held) // n_parts, (part + 1) * len(held) // n_parts)
                before, direction, after = (one[rows] for one in arrays)
                ascend_rows(before, direction, np.float32(size), np.float32(budget.eps), after)

            together(n_parts, ascend)
            return found
        step = max(1, _NEAR * len(held) // max(held.numel(), 1))
        if held.device.type != "cpu" or len(held) <= step or not _is_rowwise(surface, budget.norm):
            return moved(held, along)
        found = torch.empty_like(held)
        for start in range(0, len(held), step):
            part = slice(start, start + step)
            found[part] = moved(held[part], along[part])
        return found

    return _by_rows(moved_near, surface, budget.norm, delta, direction)


def random_direction(like: Tensor, surface: Surface, norm: str, rng: Generator) -> Tensor:
    """Return a random perturbation of norm 1 per slice (l2, l2-table: uniform on the sphere; linf: random signs)."""

    def drawn(held: Tensor) -> Tensor:
        flat, restore = _flat(held, surface, norm_of(norm))
        return restore(norm_of(norm).direction(flat, rng)) if flat.numel() else held

    return _by_rows(drawn, surface, norm, like)


def random_inside(like: Tensor, surface: Surface, norm: str, rng: Generator) -> Tensor:
    """Return a perturbation uniform in the unit ball, per slice."""

    def drawn(held: Tensor) -> Tensor:
        flat, restore = _flat(held, surface, norm_of(norm))
        return restore(norm_of(norm).inside(flat, rng)) if flat.numel() else held

    return _by_rows(drawn, surface, norm, like)


def fill_random(
    delta: Tensor,
    rows: Tensor,
    surface: Surface,
    budget: Budget,
    rng: Generator,
    draw: Callable[[Tensor, Surface, str, Generator], Tensor],
) -> None:
    """Write a random perturbation into some rows of a perturbation of zeros, in place.

    Args:
        delta: (rows of the surface, *surface.shape[1:]).
        rows: where to write.
        surface: its `norm_dims` say what one norm spans.
        budget: eps is the norm (or the largest norm) of what is drawn.
        rng: of the draws.
        draw: `random_direction` or `random_inside`.
    """
    if not _is_rowwise(surface, budget.norm):
        delta[rows] = budget.eps * draw(delta[rows], surface, budget.norm, rng)
        return
    size = max(part.stop - part.start for part in chunks(delta)) if len(delta) else 1
    for part in rows.split(size):
        delta[part] = budget.eps * draw(delta[part], surface, budget.norm, rng)
