"""Surface, View and Budget: where a model can be touched, a perturbation as an argument, and its allowed size."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import Tensor

from recshield.core.errors import BadValue

Delta = Mapping[str, Tensor]  # surface name -> perturbation in raw units


class Stage(Enum):
    """When the attacker acts: before training (FIT) or after it (SERVE)."""

    FIT = "fit"
    SERVE = "serve"


@dataclass(frozen=True)
class Budget:
    """The size of a perturbation in raw units of the surface.

    Attributes:
        norm: a name of `recshield.core.norms.NORMS`.
        eps: largest norm of one row, at least 0.
    """

    norm: str
    eps: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.eps) and self.eps >= 0):
            raise BadValue(
                f"eps {self.eps} is not allowed; it is a finite number of at least 0, in units of the surface"
            )


@dataclass(frozen=True)
class Surface:
    """One place where a model can be touched.

    Attributes:
        name: `factors.user`; the part before the dot is the family.
        shape: dimension 0 counts rows.
        default: budget used where a request names none.
        norm_dims: one norm per slice over these dimensions.
        bounds: legal values of clean + delta.
        stages: when an attacker can reach it.
    """

    name: str
    shape: tuple[int, ...]
    default: Budget
    norm_dims: tuple[int, ...] = (-1,)
    bounds: tuple[float, float] = (-math.inf, math.inf)
    stages: tuple[Stage, ...] = (Stage.SERVE,)

    @property
    def is_bounded(self) -> bool:
        """Whether clean + delta is clamped."""
        return self.bounds != (-math.inf, math.inf)


def family(surface: str) -> str:
    """Return the family of a surface name: `factors` of `factors.user`."""
    return surface.split(".", 1)[0]


def covers(target: str, surface: str) -> bool:
    """Return whether the target (a surface or a family) includes the surface."""
    return target in (surface, family(surface))


@dataclass(frozen=True)
class View:
    """How a model is read: clean values plus a perturbation, clamped, then filtered.

    A view is an argument of `score` and `loss`, never state of the model; dropping it removes it.

    Attributes:
        delta: surface name -> perturbation; its rows are all rows, or those listed in `rows`.
        rows: surface name -> sorted surface rows that the delta covers; absent = all.
        filters: surface name -> functions applied to the perturbed values, in order.
    """

    delta: Delta = field(default_factory=dict)
    rows: Mapping[str, Tensor] = field(default_factory=dict)
    filters: Mapping[str, tuple[Callable[[Tensor], Tensor], ...]] = field(default_factory=dict)

    def read(self, surface: Surface, clean: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return filters(clamp(clean + delta[rows], bounds)).

        Args:
            surface: where the values come from.
            clean: (len(rows), *shape[1:]) values already gathered at `rows`; (shape) where `rows` is None.
            rows: (len(rows),) surface rows, any order, may repeat; None = all in order.

        Returns:
            Like `clean`; the same tensor where this view does not touch the surface.
        """
        values = clean
        if surface.name in self.delta:
            values = clean + self._delta_at(surface, rows)
            if surface.is_bounded:
                values = values.clamp(*surface.bounds)
        for apply in self.filters.get(surface.name, ()):
            values = apply(values)
        return values

    def _delta_at(self, surface: Surface, rows: Tensor | None) -> Tensor:
        delta = self.delta[surface.name]
        covered = self.rows.get(surface.name)
        if covered is None:
            return delta if rows is None else delta.index_select(0, rows)
        if rows is None:
            rows = torch.arange(surface.shape[0], device=delta.device)
        if len(covered) == 0:
            return delta.new_zeros((len(rows), *delta.shape[1:]))
        place = torch.searchsorted(covered, rows).clamp(max=len(covered) - 1)
        is_covered = covered[place] == rows
        gathered = delta.index_select(0, place)
        return torch.where(is_covered.view(-1, *[1] * (gathered.ndim - 1)), gathered, torch.zeros_like(gathered))


CLEAN = View()
