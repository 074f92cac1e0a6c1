"""The fused kernel against autograd with dense Adagrad, and against the paper's equations by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recshield.core.interfaces import Batch
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget, View
from recshield.data.interactions import DataInfo, Dataset, Interactions
from recshield.training import Adversarial, ModelLoss, Triplets, epoch_triplets, evaluate
from recshield.training.kernels import FactorTrainer
from recshield.training.victims import perturb_batch
from recshield_factor import MF, MFConfig

USERS, ITEMS = 37, 23


def interactions(n_rows: int = 300, seed: int = 0) -> Interactions:
    rng = np.random.default_rng(seed)
    return Interactions.from_rows(rng.integers(USERS, size=n_rows), rng.integers(ITEMS, size=n_rows), USERS, ITEMS)


def model(dims: int, **settings: float) -> MF:
    config = MFConfig(dims=dims, std=0.5, **settings)  # type: ignore[arg-type]
    return MF(DataInfo("toy", USERS, ITEMS, 300), config, generator(3, "start"))


def objective(weight: float | None, target: str = "factors", eps: float = 0.3) -> ModelLoss | Adversarial:
    return ModelLoss() if weight is None else Adversarial(ModelLoss(), target, Budget("l2", eps), weight)


def steps_by_autograd(made: MF, triplets: Triplets, goal: ModelLoss | Adversarial, batch: int) -> None:
    """Train with torch's dense Adagrad, the reference."""
    optimizer = torch.optim.Adagrad(made.parameters(), lr=0.05, initial_accumulator_value=0.1)
    columns = [torch.from_numpy(part).long() for part in (triplets.users, triplets.positives, triplets.negatives)]
    for parts in zip(*(column.split(batch) for column in columns), strict=True):
        optimizer.zero_grad()
        evaluate(made, goal, Batch(*parts)).backward()
        optimizer.step()


def steps_by_kernel(made: MF, triplets: Triplets, goal: ModelLoss | Adversarial, batch: int, l2: float) -> None:
    eps: dict[str, float | None] = {"eps_user": None, "eps_item": None}
    weight = 0.0
    if isinstance(goal, Adversarial):
        eps = {
            "eps_user": goal.budget.eps if goal.target in ("factors", "factors.user") else None,
            "eps_item": goal.budget.eps if goal.target in ("factors", "factors.item") else None,
        }
        weight = goal.weight
    trainer = FactorTrainer(
        made.user.detach().numpy(), made.item.detach().numpy(), batch, 0.05, 0.1, l2, weight=weight, **eps
    )
    trainer.epoch(triplets)
    trainer.write()


@pytest.mark.parametrize("dims", [8, 64, 100])
@pytest.mark.parametrize("weight", [None, 1.0])
@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_twenty_steps_equal_autograd_with_dense_adagrad(dims: int, weight: float | None, l2: float) -> None:
    triplets = epoch_triplets(interactions(), 7, 0)
    reference, fused = model(dims, l2=l2), model(dims, l2=l2)
    assert torch.equal(reference.user, fused.user)
    steps_by_autograd(reference, triplets, objective(weight), batch=15)  # 300 rows / 15 = 20 steps
    steps_by_kernel(fused, triplets, objective(weight), 15, l2)
    assert (reference.user - fused.user).abs().max() < 1e-5
    assert (reference.item - fused.item).abs().max() < 1e-5
    assert (fused.user - model(dims).user).abs().max() > 0.1, "the steps must move the tables for this to say anything"


@pytest.mark.parametrize("target", ["factors.user", "factors.item"])
def test_a_target_of_one_table_perturbs_that_table_only(target: str) -> None:
    triplets = epoch_triplets(interactions(), 7, 0)
    reference, fused, both = model(16), model(16), model(16)
    steps_by_autograd(reference, triplets, objective(1.0, target), batch=15)
    steps_by_kernel(fused, triplets, objective(1.0, target), 15, 0.0)
    steps_by_kernel(both, triplets, objective(1.0), 15, 0.0)
    assert (reference.user - fused.user).abs().max() < 1e-5
    assert (reference.item - fused.item).abs().max() < 1e-5
    assert (both.item - fused.item).abs().max() > 1e-3


def test_the_last_smaller_batch_is_used() -> None:
    triplets = epoch_triplets(interactions(301), 7, 0)
    reference, fused, cut = model(8), model(8), model(8)
    steps_by_autograd(reference, triplets, ModelLoss(), batch=100)
    steps_by_kernel(fused, triplets, ModelLoss(), 100, 0.0)
    steps_by_kernel(cut, Triplets(*(part[:300] for part in (triplets.users, triplets.positives, triplets.negatives))),
                    ModelLoss(), 100, 0.0)  # fmt: skip
    assert (reference.user - fused.user).abs().max() < 1e-5
    assert (cut.user - fused.user).abs().max() > 1e-3


def test_a_tiny_gradient_is_perturbed_by_the_full_eps() -> None:
    """Squares of 1e-20 underflow in float32; the perturbation must have norm eps all the same."""
    triplets = Triplets(*(np.array([value], np.int32) for value in (0, 0, 1)))
    tables = [np.zeros((2, 4), np.float32) for _ in range(2)]
    tables[0][0] = [1e-20, 0, 0, 0]
    tables[1][0], tables[1][1] = [1e-20, 0, 0, 0], [0, 1e-20, 0, 0]
    trainer = FactorTrainer(tables[0], tables[1], 1, 0.1, 1.0, eps_user=0.5, eps_item=0.5, weight=1.0)
    trainer.epoch(triplets)
    trainer.write()
    # by hand: d_user = 0.5 (1, -1) / sqrt 2, d_pos = 0.5 (1, 0) along -(-p) ... the loss falls along p, so signs below
    d_user = -0.5 * np.array([1, -1, 0, 0]) / math.sqrt(2)
    d_pos, d_neg = np.array([-0.5, 0, 0, 0]), np.array([0.5, 0, 0, 0])
    margin = float(d_user @ (d_pos - d_neg))
    slope = 1 / (1 + math.exp(margin))
    gradient = -slope * (d_pos - d_neg)
    expected = -0.1 * gradient / np.sqrt(1 + gradient**2)
    assert tables[0][0] == pytest.approx(expected, abs=1e-6)


def by_hand(p: np.ndarray, q: np.ndarray, rows: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the gradients of the summed BPR loss (Eq. 7, 13, 14) and its value, in plain double precision."""
    to_p, to_q, total = np.zeros_like(p), np.zeros_like(q), 0.0
    for u, i, j in rows:
        x = float(p[u] @ (q[i] - q[j]))
        c = 1 - 1 / (1 + math.exp(-x))
        to_p[u] -= c * (q[i] - q[j])
        to_q[i] -= c * p[u]
        to_q[j] += c * p[u]
        total += math.log(1 + math.exp(-x))
    return to_p, to_q, total


#: 3 users, 4 items; item 1 is positive in one triplet and negative in another.
ROWS = [(0, 0, 1), (1, 1, 2), (2, 3, 1), (0, 2, 3)]


def tiny() -> tuple[MF, np.ndarray, np.ndarray, Batch]:
    made = MF(DataInfo("tiny", 3, 4, 4), MFConfig(dims=2), generator(0, "x"))
    p = np.array([[0.5, -0.25], [1.0, 0.75], [-0.5, 0.25]])
    q = np.array([[0.25, 0.5], [-1.0, 0.5], [0.75, -0.25], [0.1, 0.9]])
    with torch.no_grad():
        made.user.copy_(torch.from_numpy(p))
        made.item.copy_(torch.from_numpy(q))
    users, positives, negatives = (torch.tensor(column) for column in zip(*ROWS, strict=True))
    return made, p, q, Batch(users, positives, negatives)


def test_the_gradient_is_that_of_equations_7_and_13() -> None:
    made, p, q, batch = tiny()
    shapes = {"factors.user": (3, 2), "factors.item": (4, 2)}
    delta = {name: torch.zeros(shape, requires_grad=True) for name, shape in shapes.items()}
    loss = made.loss(batch, View(delta))
    loss.backward()
    to_p, to_q, total = by_hand(p, q, ROWS)
    assert float(loss.detach()) == pytest.approx(total, abs=1e-6)
    assert delta["factors.user"].grad.numpy() == pytest.approx(to_p, abs=1e-6)
    assert delta["factors.item"].grad.numpy() == pytest.approx(to_q, abs=1e-6)


def perturbation_by_hand(p: np.ndarray, q: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Return Eq. 8 per row of the gradient summed over the batch (section 3.3.1, footnote 3)."""
    to_p, to_q, _ = by_hand(p, q, ROWS)
    return tuple(eps * part / np.linalg.norm(part, axis=1, keepdims=True) for part in (to_p, to_q))  # type: ignore[return-value]


def test_the_perturbation_is_that_of_equation_8_with_one_row_per_item() -> None:
    made, p, q, batch = tiny()
    view = perturb_batch(made, batch, "factors", Budget("l2", 0.5), steps=1)
    d_user, d_item = perturbation_by_hand(p, q, 0.5)
    assert view.rows["factors.item"].tolist() == [0, 1, 2, 3]
    assert view.delta["factors.user"].numpy() == pytest.approx(d_user, abs=1e-6)
    assert view.delta["factors.item"].numpy() == pytest.approx(d_item, abs=1e-6)


def test_one_update_of_apr_is_that_of_equations_10_and_14_with_adagrad() -> None:
    made, p, q, _ = tiny()
    d_user, d_item = perturbation_by_hand(p, q, 0.5)
    clean_p, clean_q, _ = by_hand(p, q, ROWS)
    moved_p, moved_q, _ = by_hand(p + d_user, q + d_item, ROWS)
    to_p, to_q = clean_p + 2.0 * moved_p, clean_q + 2.0 * moved_q
    trainer = FactorTrainer(
        made.user.detach().numpy(), made.item.detach().numpy(), 4, 0.05, 0.1, eps_user=0.5, eps_item=0.5, weight=2.0
    )
    columns = [np.array(column, np.int32) for column in zip(*ROWS, strict=True)]
    total = trainer.epoch(Triplets(*columns))
    trainer.write()
    assert total == pytest.approx(by_hand(p, q, ROWS)[2], abs=1e-6)
    assert made.user.detach().numpy() == pytest.approx(p - 0.05 * to_p / np.sqrt(0.1 + to_p**2), abs=1e-6)
    assert made.item.detach().numpy() == pytest.approx(q - 0.05 * to_q / np.sqrt(0.1 + to_q**2), abs=1e-6)


def dataset(n_rows: int = 300) -> Dataset:
    train = interactions(n_rows)
    return Dataset(DataInfo("toy", USERS, ITEMS, len(train)), train, np.arange(USERS), np.arange(ITEMS))


def test_fit_takes_the_same_way_fused_or_not() -> None:
    for goal in (ModelLoss(), objective(1.0), objective(1.0, "factors.item")):
        fused, generic = model(16, batch=64), model(16, batch=64, fused=False)
        fused.fit(dataset(), goal, generator(0, "fit"), epochs=3)
        generic.fit(dataset(), goal, generator(0, "fit"), epochs=3)
        assert (fused.user - generic.user).abs().max() < 1e-4
        assert (fused.item - generic.item).abs().max() < 1e-4


def test_objectives_without_a_kernel_train_through_autograd() -> None:
    """Many steps, another norm, and a nested term have no kernel; they must train, and differ from one step."""
    finals = []
    for goal in (
        Adversarial(ModelLoss(), "factors", Budget("l2", 0.3), 1.0, steps=3),
        Adversarial(ModelLoss(), "factors", Budget("linf", 0.05), 1.0),
        Adversarial(objective(1.0, "factors.user"), "factors.item", Budget("l2", 0.3), 1.0),
        objective(1.0),
    ):
        made = model(16, batch=64)
        made.fit(dataset(), goal, generator(0, "fit"), epochs=2)
        finals.append(made.user.detach().clone())
    for place, one in enumerate(finals):
        assert bool(torch.isfinite(one).all())
        assert all((one - other).abs().max() > 1e-4 for other in finals[:place])
