"""Random directions and steps on the rows that the goal reads."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from recshield.core.interfaces import Victim
from recshield.core.norms import ascended, steepest
from recshield.core.seeds import child
from recshield.core.storage import split
from recshield.core.surfaces import Budget, Delta, Surface

Moving = dict[str, Tensor]


def direction(victim: Victim, budget: Budget, rng: Generator, tile: int) -> Moving:
    """Return a random direction of norm 1 on the rows that the goal reads; pixels move in squares of `tile`."""
    found = victim.zeros()
    for one in victim.surfaces:
        own = child(rng, one.name)
        for rows in split(found[one.name], victim.rows[one.name]):
            found[one.name][rows] = _drawn(len(rows), one, own, tile).to(found[one.name])
        found[one.name] = steepest(found[one.name], one, budget.norm)
    return found


def _drawn(count: int, surface: Surface, rng: Generator, tile: int) -> Tensor:
    """Return (count, *surface.shape[1:]) Gaussian values; of images, one value for each square of pixels."""
    shape = surface.shape[1:]
    if len(shape) != 3:
        return torch.randn((count, *shape), generator=rng)
    channels, height, width = shape
    small = torch.randn((count, channels, -(-height // tile), -(-width // tile)), generator=rng)
    return small.repeat_interleave(tile, 2).repeat_interleave(tile, 3)[:, :, :height, :width]


def moved(victim: Victim, delta: Delta, along: Delta, size: float, budget: Budget) -> Moving:
    """Return delta moved by `size` in the steepest step along a direction, inside budget and bounds."""
    return victim.legal(
        {one.name: ascended(delta[one.name], along[one.name], size, one, budget) for one in victim.surfaces}
    )
