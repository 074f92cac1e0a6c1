"""What attacks on sequence models raise, which rows they reach, and what the planner says of training surfaces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from histories import made, ragged_data
from torch.nn.functional import logsigmoid

import recshield
from recshield.core.interfaces import Access, Goal
from recshield.core.norms import measure
from recshield.core.seeds import generator
from recshield.core.settings import DEGRADE_DRAWS, ORACLE_NEGATIVES
from recshield.core.surfaces import Budget, View
from recshield.data.interactions import HeldOut
from recshield.matrix.victims import TrainedVictim, degrade_pairs, oracle_pairs
from recshield.training.draws import draw_negatives
from recshield_gradient import FGM, PGD, Noise
from recshield_sequence import GRU4RecConfig, SASRecConfig
from recshield_sequence.dropping import Dropper
from recshield_sequence.packing import pack
from recshield_sequence.sequential import ITEM, SEQUENCE, Sequential

ALL = Access.DATA | Access.RANKINGS | Access.SCORES | Access.GRADIENTS
CONFIGS = [
    SASRecConfig(dims=8, length=6, blocks=1, dropout=0.5, std=0.3, batch=4),
    GRU4RecConfig(dims=8, length=6, dropout=0.5, std=0.3, batch=4),
]
each_model = pytest.mark.parametrize("config", CONFIGS, ids=lambda one: type(one).__name__)


def victim(model: Sequential, target: str = SEQUENCE, *, oracle: bool = False) -> TrainedVictim:
    """Return a victim on the ragged data."""
    train = ragged_data().train
    pairs = degrade_pairs(train, 0)
    if oracle:
        n_users = train.n_users
        tests = HeldOut.from_rows(np.arange(n_users), np.arange(n_users))
        pairs = oracle_pairs(train, tests, 0)
    return TrainedVictim(model, train, pairs, Goal(oracle=oracle), target, ALL)


def served(config: SASRecConfig | GRU4RecConfig) -> Sequential:
    """Return a model as the framework serves it."""
    return made(config, ragged_data()).requires_grad_(False)


def goal_by_hand(model: Sequential, delta: torch.Tensor) -> float:
    """Return the mean of Eq. 5 over positions and draws, inputs perturbed, plus that of the clean top ten."""
    train, still = ragged_data().train, Dropper(0.0, 0, torch.device("cpu"))
    draws = [draw_negatives(train, 0, "degrade", draw) for draw in range(DEGRADE_DRAWS)]

    def states(rows: range) -> torch.Tensor:
        vectors = torch.stack([model.item[int(train.items[row])] + delta[row] for row in rows])
        return model.encode(pack(np.array([rows[0]]), np.array([rows[-1] + 1])), vectors, still)

    losses, listed = [], []
    for user in range(train.n_users):
        first, behind = (int(edge) for edge in train.indptr[user : user + 2])
        if behind == first:
            continue
        if behind - first > 1:
            rows = range(max(first, behind - 7), behind - 1)
            for state, row in zip(states(rows), rows, strict=True):
                positive = logsigmoid(model.item[int(train.items[row + 1])] @ state)
                losses += [float(-positive - logsigmoid(-(model.item[int(one[row + 1])] @ state))) for one in draws]
        clean = model.score(torch.tensor([user]))[0]
        clean[torch.from_numpy(train.of(user)).long()] = -torch.inf
        scores = model.item @ states(range(max(first, behind - 6), behind))[-1]
        listed += (-torch.log_softmax(scores, 0))[clean.argsort(descending=True)[:10]].tolist()
    return float(np.mean(losses) + np.mean(listed))


@each_model
def test_degrade_is_the_training_loss_and_the_clean_list(config: SASRecConfig | GRU4RecConfig) -> None:
    model = served(config)
    held = victim(model)
    clean = held.zeros()
    moved = {SEQUENCE: 0.5 * torch.randn(clean[SEQUENCE].shape, generator=generator(0, "moved"))}
    for delta in (clean, moved):
        assert held.value(delta, "") == pytest.approx(goal_by_hand(model, delta[SEQUENCE]), rel=1e-5)
        assert float(held.ascend(delta)[0]) == pytest.approx(held.value(delta, ""), rel=1e-6)


@each_model
def test_the_gradient_is_that_of_the_goal(config: SASRecConfig | GRU4RecConfig) -> None:
    for target in (SEQUENCE, ITEM):
        held = victim(served(config), target)
        _, gradient = held.ascend(held.zeros())
        direction = torch.randn(gradient[target].shape, generator=generator(0, "direction"))
        step = 1e-2
        up, down = (held.value({target: sign * step * direction}, "") for sign in (1.0, -1.0))
        assert (up - down) / (2 * step) == pytest.approx(float((gradient[target] * direction).sum()), rel=0.02)


@each_model
def test_rows_behind_the_length_are_never_read_and_the_last_one_is(config: SASRecConfig | GRU4RecConfig) -> None:
    train = ragged_data().train
    held = victim(served(config))
    wanted = [
        row
        for first, behind in zip(train.indptr[:-1].tolist(), train.indptr[1:].tolist(), strict=True)
        # An input of training (all but the last row, six of them), or of the last position (six with it).
        for row in range(max(first, behind - 7), behind)
    ]
    assert held.rows[SEQUENCE].tolist() == wanted
    _, gradient = held.ascend(held.zeros())
    assert gradient[SEQUENCE].abs().amax(dim=1).nonzero()[:, 0].tolist() == wanted
    assert held.notes.zero_share == 0


@each_model
@pytest.mark.parametrize("oracle", [False, True])
@pytest.mark.parametrize("target", [SEQUENCE, ITEM])
def test_every_loss_can_be_raised_inside_the_budget(
    config: SASRecConfig | GRU4RecConfig, oracle: bool, target: str
) -> None:
    model = served(config)
    budget = Budget("l2", 0.3)
    for attack in (FGM(), FGM(loss="linear"), FGM(loss="margin"), FGM(loss="top"), PGD(steps=3)):
        held = victim(model, target, oracle=oracle)
        with torch.no_grad():
            delta = attack.perturb(held, budget, generator(0, "attack"))
        assert set(delta) == {target}
        assert held.value(delta, attack.loss) > held.value(held.zeros(), attack.loss)
        assert float(measure(delta[target], held.surfaces[0], "l2").max()) <= 0.3 * 1.0001
        outside = delta[target].index_fill(0, held.rows[target], 0.0)
        assert not outside.any()


def test_an_attack_never_reaches_what_exists_in_training_only() -> None:
    held = victim(served(CONFIGS[0]))
    assert [one.name for one in held.surfaces] == [SEQUENCE]
    with torch.no_grad():
        assert set(Noise().perturb(held, Budget("l2", 0.5), generator(0, "attack"))) == {SEQUENCE}


def test_after_training_a_perturbation_reaches_the_input_alone() -> None:
    model = served(CONFIGS[0])
    delta = {SEQUENCE: torch.randn(model.sequence.shape, generator=generator(0, "delta"))}
    users = torch.tensor([5])
    clean, moved = model.last(users, View()), model.last(users, View(delta))
    assert not torch.allclose(clean, moved)
    assert torch.allclose(model.score(users, View(delta)), moved @ model.item.T)


def test_the_mean_norm_is_that_of_the_item_vectors_that_are_read() -> None:
    model = served(CONFIGS[0])
    held = victim(model)
    items = ragged_data().train.items[held.rows[SEQUENCE].numpy()]
    assert held.mean_norm("l2") == pytest.approx(float(model.item[torch.from_numpy(items).long()].norm(dim=1).mean()))


def test_test_pairs_of_users_without_a_history_cost_nothing() -> None:
    held = victim(served(CONFIGS[0]), oracle=True)
    rows = held.rows[SEQUENCE]
    assert np.isfinite(held.value(held.zeros(), ""))
    train = ragged_data().train
    assert rows.tolist() == [
        row
        for first, behind in zip(train.indptr[:-1].tolist(), train.indptr[1:].tolist(), strict=True)
        for row in range(max(first, behind - 6), behind)
    ]
    (first_user,) = (one for one, _ in held._batches("") if 0 in one.users)
    assert int((first_user.users == 0).sum()) == ORACLE_NEGATIVES


def test_a_matrix_crosses_sequence_models_with_attacks() -> None:
    run = recshield.run_matrix(
        models=["sasrec", "asasrec-paper", "gru4rec"],
        attacks=["noise", "fgsm@sequence", "fgsm@items.target"],
        budget=["l2:0,10%"],
        overrides=["sasrec.epochs=1", "gru4rec.epochs=1", "advreg.epochs=1", "sasrec.dims=8", "gru4rec.dims=8"],
        controls="none",
    )
    attacked = run.table[run.table["attack"] != "none"]
    assert len(attacked["cell"].unique()) == 3 * 2 * 2
    assert set(attacked["surface"]) == {"sequence"}
    at_zero = attacked[attacked["eps"] == 0]
    assert (at_zero["attacked"] == at_zero["clean"]).all()
    steps = run.steps.dropna(subset=["measured_norm"])
    assert (steps["measured_norm"] <= steps["eps"] * 1.0001).all()
    reasons = {one["reason"] for one in run.manifest["skipped"]}
    assert reasons == {
        f"'items.target' of model '{name}' exists in training only; attack: sequence, factors.item"
        for name in ("sasrec", "gru4rec")
    }
