"""FGM, BIM and PGD against foolbox, where one user row is one input with its own budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from recshield.core.interfaces import Access, Goal
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget
from recshield.data.interactions import DataInfo, Interactions
from recshield.matrix.victims import GoalPairs, TrainedVictim
from recshield_factor import MF, MFConfig
from recshield_gradient import BIM, FGM

foolbox = pytest.importorskip("foolbox", reason="foolbox is a second implementation; install the extra dev")

USERS, DIMS, EACH = 10, 6, 3
STEPS, RATIO = 6, 2.5


def toy() -> tuple[torch.Tensor, torch.Tensor]:
    """Return user vectors and, for each user, the differences of three pairs of item vectors."""
    rng = np.random.default_rng(5)
    return torch.from_numpy(rng.normal(size=(USERS, DIMS))).float(), torch.from_numpy(
        rng.normal(size=(USERS, EACH, DIMS))
    ).float()


class Margins(torch.nn.Module):
    """User vectors in, margins of their triplets out."""

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return (toy()[1] * vectors[:, None]).sum(dim=2)


def attacked(kind: type, eps: float, **options: Any) -> torch.Tensor:
    """Return the perturbation that foolbox finds."""

    class OnBPR(kind):  # type: ignore[misc, valid-type]
        def get_loss_fn(self, model: Any, labels: Any) -> Any:
            return lambda inputs: (-model(inputs)).exp().log1p().sum()

    model = foolbox.PyTorchModel(Margins().eval(), bounds=(-100.0, 100.0), device="cpu")
    vectors, _ = toy()
    found, _, _ = OnBPR(**options)(model, vectors, torch.zeros(USERS, dtype=torch.long), epsilons=eps)
    return found - vectors


def victim() -> TrainedVictim:
    """Return the same toy as a matrix factorisation: three items per user and one item of zeros."""
    vectors, differences = toy()
    n_items = USERS * EACH + 1
    info = DataInfo("toy", USERS, n_items, USERS * EACH)
    model = MF(info, MFConfig(dims=DIMS), generator(0, "x")).requires_grad_(False)
    model.user.copy_(vectors)
    model.item.copy_(torch.cat([differences.reshape(-1, DIMS), torch.zeros(1, DIMS)]))
    users, items = torch.arange(USERS).repeat_interleave(EACH), torch.arange(USERS * EACH)
    train = Interactions.from_rows(users.numpy(), items.numpy(), USERS, n_items)
    pairs = GoalPairs(users, items, torch.full((1, USERS * EACH), n_items - 1))
    return TrainedVictim(model, train, pairs, Goal(), "factors.user", Access.DATA | Access.GRADIENTS)


def ours(attack: FGM | BIM, norm: str, eps: float) -> torch.Tensor:
    with torch.no_grad():
        return attack.perturb(victim(), Budget(norm, eps), generator(0, "attack"))["factors.user"]


@pytest.mark.parametrize(("norm", "name"), [("l2", "L2FastGradientAttack"), ("linf", "LinfFastGradientAttack")])
def test_fgm_is_that_of_foolbox(norm: str, name: str) -> None:
    theirs = attacked(getattr(foolbox.attacks, name), 0.5, random_start=False)
    assert theirs.abs().max() > 0.05
    assert ours(FGM(), norm, 0.5) == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize(
    ("norm", "name"),
    [
        ("l2", "L2BasicIterativeAttack"),
        ("linf", "LinfBasicIterativeAttack"),
        ("l2", "L2PGD"),
        ("linf", "LinfPGD"),
    ],
)
def test_bim_is_the_best_iterate_of_foolbox(norm: str, name: str) -> None:
    eps, size = 2.0, RATIO * 2.0 / STEPS
    kind = getattr(foolbox.attacks, name)
    best, highest = torch.zeros(USERS, DIMS), -np.inf
    held, seen = victim(), []
    for steps in range(1, STEPS + 1):
        theirs = attacked(kind, eps, steps=steps, abs_stepsize=size, random_start=False)
        seen.append(theirs)
        if held.value({"factors.user": theirs}, "") > highest:
            best, highest = theirs, held.value({"factors.user": theirs}, "")
    assert (seen[-1] - seen[0]).abs().max() > 0.1, "the steps must turn for this to say anything"
    assert ours(BIM(steps=STEPS, ratio=RATIO), norm, eps) == pytest.approx(best, abs=1e-4)
