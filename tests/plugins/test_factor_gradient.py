"""The native gradient of `mf` is the generic path's, for every loss and any perturbation."""

from __future__ import annotations

import pytest
import torch

from recshield.core.interfaces import LOSSES, Access, Goal
from recshield.core.seeds import generator
from recshield.data.catalogue import resolve
from recshield.matrix.victims import TrainedVictim, degrade_pairs
from recshield.training.objectives import ModelLoss
from recshield_factor.mf import MF, MFConfig


def victims() -> list[TrainedVictim]:
    data = resolve("synthetic", filters=["kcore-user:20"]).split().dataset
    made = []
    for fused in (True, False):
        model = MF(data.info, MFConfig(dims=7, epochs=3, fused=True), generator(0, "start"))
        model.fit(data, ModelLoss(), generator(0, "fit"))
        model.config = MFConfig(dims=7, epochs=3, fused=fused)
        model.eval().requires_grad_(False)
        pairs = degrade_pairs(data.train, 0)
        made.append(TrainedVictim(model, data.train, pairs, Goal(), "factors", Access.DATA | Access.GRADIENTS))
    return made


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [0.0, 0.3, 30.0])
def test_the_native_gradient_is_that_of_autograd(loss: str, size: float) -> None:
    native, generic = victims()
    delta = {one.name: size * torch.randn(one.shape, generator=generator(1, one.name)) for one in native.surfaces}
    value, gradient = native.ascend(delta, loss)
    wanted, slopes = generic.ascend(delta, loss)
    assert float(value) == pytest.approx(float(wanted), rel=1e-5)
    for name, slope in slopes.items():
        assert float(slope.abs().max()) > 0
        torch.testing.assert_close(gradient[name], slope, rtol=2e-4, atol=1e-7 + 1e-5 * float(slope.abs().max()))


def test_a_single_surface_gets_its_own_gradient_alone() -> None:
    native, generic = victims()
    for victim in (native, generic):
        victim.surfaces = victim.surfaces[1:]
    delta = {"factors.item": 0.1 * torch.randn(native.surfaces[0].shape, generator=generator(2))}
    found, wanted = native.ascend(delta)[1], generic.ascend(delta)[1]
    assert set(found) == set(wanted) == {"factors.item"}
    torch.testing.assert_close(found["factors.item"], wanted["factors.item"], rtol=2e-4, atol=1e-8)
