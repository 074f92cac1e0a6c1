"""The same figures on a GPU as on the CPU, within float rounding; needs a CUDA device."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import recshield
from recshield.core.interfaces import Access, Goal
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget
from recshield.data.catalogue import resolve
from recshield.evaluation import rank
from recshield.matrix.victims import TrainedVictim, degrade_pairs
from recshield.training import Adversarial, ModelLoss
from recshield_factor import MF, MFConfig
from recshield_gradient import FGM, PGD, Noise

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here; the CPU path is tested")


def test_training_ends_near_the_same_weights() -> None:
    split = resolve("synthetic").split()
    tables = []
    for device in ("cpu", "cuda"):
        model = MF(split.dataset.info, MFConfig(dims=16, fused=False), generator(0, "start")).to(device)
        objective = Adversarial(ModelLoss(), "factors", Budget("l2", 0.1), 1.0)
        model.fit(split.dataset, objective, generator(0, "fit"), epochs=1)
        tables.append(model.user.detach().cpu())
    assert (tables[0] - tables[1]).abs().max() < 1e-3


def test_attacks_and_ranks_agree_from_the_same_weights() -> None:
    split = resolve("synthetic").split()
    train = split.dataset.train
    model = MF(split.dataset.info, MFConfig(dims=16, std=0.3), generator(0, "start")).requires_grad_(False)
    deltas, ranks = [], []
    for device in ("cpu", "cuda"):
        model.to(device)
        victim = TrainedVictim(model, train, degrade_pairs(train, 0), Goal(), "factors", Access.DATA | Access.GRADIENTS)
        budget, attacks = Budget("l2", 0.2), (Noise(), FGM(), PGD(steps=3))
        deltas += [attack.perturb(victim, budget, generator(1))["factors.user"].cpu() for attack in attacks]
        ranks.append(rank(model.score, train, split.test, device=torch.device(device)).ranks)
    for one, other in zip(deltas[:3], deltas[3:], strict=True):
        assert (one - other).abs().max() < 1e-3
    assert np.mean(ranks[0] != ranks[1]) < 0.01


def test_a_matrix_runs_on_the_gpu_and_records_its_times() -> None:
    run = recshield.run_matrix(
        "mf,amf", "noise,fgsm,pgd", device="cuda", overrides=["mf.epochs=3", "advreg.epochs=1", "mf.dims=8"]
    )
    assert (run.timings["cuda_ms"] > 0).all()
    assert (run.timings.query("kind == 'attack'")["peak_device_bytes"] > 0).all()
