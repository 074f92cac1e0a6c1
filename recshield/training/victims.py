"""The worst perturbation of one training batch, on the rows that the batch reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Generator, Tensor

from recshield.core.errors import BadValue
from recshield.core.interfaces import Batch, Recommender
from recshield.core.norms import project, random_direction, steepest
from recshield.core.surfaces import Budget, Surface, View, covers

#: Step size of multi-step ascent in units of eps / steps.
STEP_RATIO = 2.5


def targeted(model: Recommender, target: str) -> tuple[Surface, ...]:
    """Return the model's surfaces that a target (a surface or a family) includes.

    Raises:
        BadValue: the model has none.
    """
    found = tuple(surface for surface in model.surfaces if covers(target, surface.name))
    if not found:
        names = ", ".join(surface.name for surface in model.surfaces) or "none"
        raise BadValue(f"model '{model.name}' has no surface '{target}'; it has: {names}")
    return found


def _zeros(
    model: Recommender, batch: Batch, target: str
) -> tuple[tuple[Surface, ...], dict[str, Tensor], dict[str, Tensor]]:
    """Return the surfaces of a target, the rows of each that the batch reads, and zeros for them."""
    surfaces = targeted(model, target)
    rows = {name: held for name, held in model.rows(batch).items() if any(name == one.name for one in surfaces)}
    delta = {
        one.name: torch.zeros((len(rows[one.name]), *one.shape[1:]), device=batch.users.device) for one in surfaces
    }
    return surfaces, rows, delta


@contextmanager
def _as_served(model: Recommender) -> Iterator[None]:
    """Put the model in evaluation mode inside the block."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def randomise_batch(model: Recommender, batch: Batch, target: str, budget: Budget, rng: Generator) -> View:
    """Return a view with a random direction of norm eps on every row that the batch reads.

    Source: Tang et al. 2019 (AMR), section 3.2: random instead of adversarial perturbations.
    """
    surfaces, rows, delta = _zeros(model, batch, target)
    moved = {one.name: budget.eps * random_direction(delta[one.name], one, budget.norm, rng) for one in surfaces}
    return View(moved, rows)


def perturb_batch(model: Recommender, batch: Batch, target: str, budget: Budget, steps: int) -> View:
    """Return a view that raises the loss summed over the batch within the budget, one vector per row read.

    The loss is that of the model as it is served, without dropout.

    Source: He et al. 2018 (APR), Eq. 8 and 15 for one step; Madry et al. 2018 for more.
    """
    surfaces, rows, delta = _zeros(model, batch, target)
    size = budget.eps if steps == 1 else STEP_RATIO * budget.eps / steps
    for _ in range(steps):
        leaves = {name: held.detach().requires_grad_() for name, held in delta.items()}
        with torch.enable_grad(), _as_served(model):
            loss = model.loss(batch, model.lower(View(leaves, rows)))
        gradients = torch.autograd.grad(loss, [leaves[one.name] for one in surfaces])
        for one, gradient in zip(surfaces, gradients, strict=True):
            moved = delta[one.name] + size * steepest(gradient, one, budget.norm)
            delta[one.name] = project(moved, one, budget)
    return View({name: held.detach() for name, held in delta.items()}, rows)
