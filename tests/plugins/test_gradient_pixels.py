"""FGM and PGD on images against torchattacks and foolbox: same network, images, labels and start."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from recshield.core.interfaces import Attack, Goal
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget, Surface
from recshield_gradient import BIM, FGM, PGD

foolbox = pytest.importorskip("foolbox", reason="foolbox is a second implementation; install the extra test")
torchattacks = pytest.importorskip(
    "torchattacks", reason="torchattacks is a second implementation; install the extra test"
)

COUNT, SIDE, CLASSES, STEPS = 12, 10, 4, 5


def network() -> torch.nn.Module:
    rng = generator(3, "network")
    made = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3), torch.nn.Tanh(), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(),
        torch.nn.Linear(24, CLASSES),
    )  # fmt: skip
    with torch.no_grad():
        for held in made.parameters():
            held.copy_(torch.randn(held.shape, generator=rng))
    return made.eval().requires_grad_(False)


def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Return images some of whose pixels are black or white, and labels."""
    rng = generator(4, "images")
    drawn = (torch.rand((COUNT, 3, SIDE, SIDE), generator=rng) * 1.4 - 0.2).clamp(0, 1)
    return drawn, torch.randint(CLASSES, (COUNT,), generator=rng)


class Classifier:
    """The victim whose goal is the classifier's mean cross-entropy; it keeps every iterate that it was shown."""

    surfaces = (Surface("item_images", (COUNT, 3, SIDE, SIDE), Budget("linf", 4 / 255), (1, 2, 3), (0.0, 1.0)),)
    goal = Goal()

    def __init__(self) -> None:
        self.clean, self.labels = images()
        self.model, self.seen = network(), []
        self.rows = {"item_images": torch.arange(COUNT)}

    def zeros(self) -> dict[str, torch.Tensor]:
        return {"item_images": torch.zeros(COUNT, 3, SIDE, SIDE)}

    def legal(self, delta: Any) -> dict[str, torch.Tensor]:
        return {"item_images": delta["item_images"].clamp(-self.clean, 1 - self.clean)}

    def ascend(self, delta: Any, loss: str = "") -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        held = delta["item_images"].detach().clone().requires_grad_()
        self.seen.append(held.detach())
        with torch.enable_grad():
            value = torch.nn.functional.cross_entropy(self.model(self.clean + held), self.labels)
            (gradient,) = torch.autograd.grad(value, held)
        return value.detach(), {"item_images": gradient}


def last_iterate(attack: Attack, budget: Budget) -> torch.Tensor:
    victim = Classifier()
    returned = attack.perturb(victim, budget, generator(0, "attack"))["item_images"]
    return returned if isinstance(attack, FGM) else victim.seen[-1]


@pytest.mark.parametrize("eps", [4 / 255, 0.1])
def test_fgsm_on_pixels_is_that_of_torchattacks_and_of_foolbox(eps: float) -> None:
    clean, labels = images()
    ours = clean + last_iterate(FGM(), Budget("linf", eps))
    theirs = torchattacks.FGSM(network(), eps=eps)(clean, labels)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    model = foolbox.PyTorchModel(network(), bounds=(0, 1), device="cpu")
    found, _, _ = foolbox.attacks.LinfFastGradientAttack(random_start=False)(model, clean, labels, epsilons=eps)
    torch.testing.assert_close(ours, found, rtol=0, atol=1e-6)
    assert float((ours - clean).abs().max()) > 0.99 * eps


@pytest.mark.parametrize("eps", [4 / 255, 0.1])
def test_pgd_on_pixels_from_the_clean_start_is_that_of_torchattacks_and_of_foolbox(eps: float) -> None:
    clean, labels = images()
    size = 2.5 * eps / STEPS
    ours = clean + last_iterate(BIM(steps=STEPS), Budget("linf", eps))
    theirs = torchattacks.PGD(network(), eps=eps, alpha=size, steps=STEPS, random_start=False)(clean, labels)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    model = foolbox.PyTorchModel(network(), bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfProjectedGradientDescentAttack(abs_stepsize=size, steps=STEPS, random_start=False)
    found, _, _ = attack(model, clean, labels, epsilons=eps)
    torch.testing.assert_close(ours, found, rtol=0, atol=1e-6)


def test_l2_on_images_is_that_of_foolbox_with_one_norm_per_image() -> None:
    clean, labels = images()
    model = foolbox.PyTorchModel(network(), bounds=(0, 1), device="cpu")
    found, _, _ = foolbox.attacks.L2FastGradientAttack(random_start=False)(model, clean, labels, epsilons=0.5)
    ours = clean + last_iterate(FGM(), Budget("l2", 0.5))
    torch.testing.assert_close(ours, found, rtol=0, atol=1e-6)


def test_pgd_from_a_random_start_begins_there_and_stays_inside_eps_and_bounds() -> None:
    victim = Classifier()
    returned = PGD(steps=3).perturb(victim, Budget("linf", 0.1), generator(0, "attack"))["item_images"]
    for delta in (*victim.seen, returned):
        assert float(delta.abs().max()) <= 0.1 + 1e-7
        assert float((victim.clean + delta).min()) >= 0
        assert float((victim.clean + delta).max()) <= 1
    assert float(victim.seen[0].abs().max()) > 0.05
