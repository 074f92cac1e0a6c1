"""Adversarial regularisation and gradient attacks on `puresvd`, `neumf` and `lightgcn`."""

from __future__ import annotations

import pytest
import torch

import recshield
from recshield.core.interfaces import Access, Defense, Goal, Recommender
from recshield.core.norms import random_direction
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget
from recshield.matrix.fitting import state_hash
from recshield.matrix.victims import TrainedVictim, degrade_pairs
from recshield.testing import small_dataset
from recshield.training import ModelLoss
from recshield_advreg import AdversarialRegularisation, Continue
from recshield_factor import LightGCN, LightGCNConfig, NeuMF, NeuMFConfig, PureSVD, PureSVDConfig
from recshield_gradient import FGM

BUDGET = Budget("l2", 0.3)


def trained(name: str) -> Recommender:
    """Return a model trained without a defense."""
    data, _ = small_dataset()
    rng = generator(0, "start")
    made: Recommender
    if name == "puresvd":
        made = PureSVD(data.info, PureSVDConfig(dims=6, batch=64), rng)
    elif name == "neumf":
        made = NeuMF(data.info, NeuMFConfig(dims=4, layers="8-6", std=0.1, batch=32, lr=0.02, epochs=15), rng)
    else:
        made = LightGCN(data.info, LightGCNConfig(dims=6, batch=64, lr=0.02, epochs=15), rng)
    made.fit(data, ModelLoss(), generator(0, "fit", 0))
    return made


def defended(name: str, defense: Defense) -> Recommender:
    """Return the model trained on under a defense, as the train step does it."""
    data, _ = small_dataset()
    model = trained(name)
    model.fit(data, defense.objective(ModelLoss(), "factors"), generator(0, "fit", 1), defense.epochs)  # type: ignore[attr-defined]
    return model


def victim(model: Recommender) -> TrainedVictim:
    data, _ = small_dataset()
    model.eval()
    model.requires_grad_(False)
    access = Access.DATA | Access.GRADIENTS
    return TrainedVictim(model, data.train, degrade_pairs(data.train, 0), Goal(), "factors", access)


def attacked_loss(model: Recommender, budget: Budget = BUDGET) -> float:
    held = victim(model)
    return held.value(FGM().perturb(held, budget, generator(0, "attack")), "")


@pytest.mark.parametrize("name", ["puresvd", "neumf", "lightgcn"])
def test_weight_zero_is_going_on_without_a_defense(name: str) -> None:
    continued = defended(name, Continue(epochs=2))
    weightless = defended(name, AdversarialRegularisation(eps=0.3, weight=0.0, epochs=2))
    weighted = defended(name, AdversarialRegularisation(eps=0.3, weight=1.0, epochs=2))
    assert state_hash(weightless) == state_hash(continued)
    assert state_hash(weighted) != state_hash(continued)
    assert state_hash(continued) != state_hash(trained(name))


@pytest.mark.parametrize("name", ["puresvd", "neumf", "lightgcn"])
def test_fgm_raises_the_loss_more_than_noise(name: str) -> None:
    model = trained(name)
    held = victim(model)
    clean = held.value(held.zeros(), "")
    noise = held.zeros()
    for one in held.surfaces:
        rows = held.rows[one.name]
        drawn = random_direction(noise[one.name][rows], one, "l2", generator(0, one.name))
        noise[one.name][rows] = BUDGET.eps * drawn
    assert attacked_loss(model) > max(clean, held.value(noise, "")) + 0.01


def relative_rise(model: Recommender, budget: Budget) -> float:
    held = victim(model)
    return attacked_loss(model, budget) / held.value(held.zeros(), "") - 1


@pytest.mark.parametrize("name", ["puresvd", "neumf", "lightgcn"])
def test_advreg_lowers_the_relative_rise_of_the_loss(name: str) -> None:
    """The direction of the papers' tables; a strong term, so that it stands clear of longer training's effect."""
    budget = Budget("l2", 1.0)
    plain = relative_rise(defended(name, Continue(epochs=30)), budget)
    assert (
        relative_rise(defended(name, AdversarialRegularisation(eps=1.0, weight=1.0, epochs=30)), budget) < 0.9 * plain
    )


@pytest.mark.parametrize("name", ["puresvd", "neumf", "lightgcn"])
def test_eps_zero_leaves_the_bits_of_the_scores(name: str) -> None:
    model = trained(name).eval().requires_grad_(False)
    held = victim(model)
    users = torch.arange(40)
    with torch.no_grad():
        clean = model.score(users)
    delta = FGM().perturb(held, Budget("l2", 0.0), generator(0, "attack"))
    held._access |= Access.SCORES
    assert torch.equal(held.scores(users, delta), clean)


def test_the_matrix_crosses_them_and_gives_the_reason_where_it_cannot() -> None:
    run = recshield.run_matrix(
        "puresvd,puresvd+advreg,neumf,lightgcn,itemknn,userknn",
        "noise,fgsm",
        budget="l2:0.1",
        overrides=["advreg.epochs=1", "neumf.epochs=1", "lightgcn.epochs=1", "lightgcn.batch=16384"],
        controls="none",
    )
    goal = run.steps.query("attack != 'none'").pivot_table(index="system", columns="attack", values="goal_value")
    assert set(goal.index) == {"puresvd", "puresvd+advreg", "neumf", "lightgcn"}
    assert (goal["fgsm"] > goal["noise"]).all()
    clean = run.table.query("attack == 'none' and metric == 'ndcg'").set_index("system")["clean"]
    assert {"itemknn", "userknn"} <= set(clean.index)
    reasons = {(one["system"], one["attack"]): one["reason"] for one in run.manifest["skipped"]}
    for name in ("itemknn", "userknn"):
        for attack in ("noise", "fgsm"):
            assert reasons[name, attack] == f"model '{name}' has no surface that can be touched"
