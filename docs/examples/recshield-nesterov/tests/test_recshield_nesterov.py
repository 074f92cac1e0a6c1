"""The attack keeps the guarantees that every built-in one keeps, and does what its source says."""

import pytest
import torch
from recshield_nesterov import Nesterov, normalised

from recshield.core import BadValue, Budget
from recshield.core.norms import ascended
from recshield.testing import AttackTests, run_checks


class TestNesterov(AttackTests):
    attack = Nesterov()


class TestNesterovWithoutMemory(AttackTests):
    attack = Nesterov(steps=3, decay=0.0)


class Slope:
    """A victim of one row whose value is the sum of weight x delta, so that every gradient is the weights."""

    def __init__(self, surface):
        self.surfaces = (surface,)

    def zeros(self):
        return {one.name: torch.zeros(one.shape) for one in self.surfaces}

    def legal(self, delta):
        return delta

    def ascend(self, delta, loss=""):
        gradient = {one.name: torch.tensor([[3.0, -4.0]]) for one in self.surfaces}
        return torch.zeros(()), gradient


def test_on_a_slope_it_goes_straight_to_the_end_of_the_budget():
    from recshield.core import Surface

    surface = Surface("factors.user", (1, 2), Budget("l2", 0.5))
    found = Nesterov(steps=4).perturb(Slope(surface), Budget("l2", 0.5), torch.Generator())
    assert torch.allclose(found["factors.user"], torch.tensor([[0.3, -0.4]]), atol=1e-6)
    assert torch.allclose(
        found["factors.user"], ascended(torch.zeros(1, 2), torch.tensor([[3.0, -4.0]]), 0.5, surface, Budget("l2", 0.5))
    )


def test_a_gradient_is_divided_by_the_mean_of_what_is_not_zero():
    assert torch.equal(normalised(torch.tensor([[3.0, -1.0], [0.0, 0.0]])), torch.tensor([[1.5, -0.5], [0.0, 0.0]]))
    assert torch.equal(normalised(torch.zeros(2, 2)), torch.zeros(2, 2))


@pytest.mark.parametrize(("options", "words"), [({"steps": 0}, "steps is 0"), ({"decay": -1.0}, "decay is -1.0")])
def test_options_outside_of_what_is_allowed_are_refused(options, words):
    with pytest.raises(BadValue, match=words):
        Nesterov(**options)


def test_importing_does_no_work():
    assert all(found.passed for found in run_checks("module", "recshield_nesterov"))
