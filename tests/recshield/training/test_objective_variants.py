"""Objectives with random directions, without the clean loss, and with schedules: by hand, and fused against generic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recshield.core.errors import BadValue
from recshield.core.interfaces import Batch
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget
from recshield.data.interactions import DataInfo, Dataset, Interactions
from recshield.training import Adversarial, ModelLoss, epoch_triplets, evaluate
from recshield.training.kernels import FactorTrainer
from recshield.training.victims import perturb_batch, randomise_batch
from recshield_advreg import AdversarialOnly, AdversarialRegularisation, Continue, NoiseRegularisation
from recshield_factor import MF, MFConfig

USERS, ITEMS, ROWS = 37, 23, 300


def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    train = Interactions.from_rows(rng.integers(USERS, size=ROWS), rng.integers(ITEMS, size=ROWS), USERS, ITEMS)
    return Dataset(DataInfo("toy", USERS, ITEMS, ROWS), train, np.arange(USERS), np.arange(ITEMS))


def model(**settings: float) -> MF:
    config = MFConfig(dims=8, std=0.5, batch=15, **settings)  # type: ignore[arg-type]
    return MF(DataInfo("toy", USERS, ITEMS, ROWS), config, generator(3, "start"))


def fitted(goal: ModelLoss | Adversarial, epochs: int = 2, **settings: float) -> MF:
    made = model(**settings)
    made.fit(dataset(), goal, generator(0, "fit"), epochs=epochs)
    return made


def batch() -> Batch:
    drawn = epoch_triplets(dataset().train, 7, 0)
    return Batch(*(torch.from_numpy(part[:40]).long() for part in (drawn.users, drawn.positives, drawn.negatives)))


def gap(one: MF, other: MF) -> float:
    return max(float((one.user - other.user).detach().abs().max()), float((one.item - other.item).detach().abs().max()))


def adversarial(**changes: object) -> Adversarial:
    held: dict[str, object] = {"base": ModelLoss(), "target": "factors", "budget": Budget("l2", 0.3), "weight": 1.0}
    return Adversarial(**(held | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        ("constant", [1, 1, 1, 1, 1, 1]),
        ("linear", [1 / 4, 2 / 4, 3 / 4, 1, 1, 1]),
        ("cosine", [(1 - math.sqrt(0.5)) / 2, 0.5, (1 + math.sqrt(0.5)) / 2, 1, 1, 1]),
    ],
)
def test_the_share_of_eps_grows_over_the_epochs_as_by_hand(schedule: str, wanted: list[float]) -> None:
    goal = adversarial(schedule=schedule, epochs=4)
    assert [goal.share(epoch) for epoch in range(6)] == pytest.approx(wanted, abs=1e-12)


def test_an_unknown_schedule_is_refused() -> None:
    for made in (AdversarialRegularisation, NoiseRegularisation, AdversarialOnly):
        with pytest.raises(BadValue) as caught:
            made(schedule="step")
        assert str(caught.value) == "schedule 'step' is not known; allowed: constant, linear, cosine"


@pytest.mark.parametrize(
    "changes",
    [
        {"is_alone": True},
        {"is_alone": True, "target": "factors.item"},
        {"schedule": "linear", "epochs": 2},
        {"schedule": "cosine", "epochs": 5},
        {"schedule": "cosine", "epochs": 2, "is_alone": True},
    ],
)
@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_the_kernel_trains_variants_like_the_generic_path(changes: dict[str, object], l2: float) -> None:
    goal = adversarial(**changes)
    assert model()._sizes(goal) is not None
    fused, generic = fitted(goal, l2=l2), fitted(goal, l2=l2, fused=False)
    assert gap(fused, generic) < 1e-5 * 2
    assert gap(fused, fitted(adversarial(), l2=l2)) > 1e-3, "the variant must matter for this to say anything"


def test_twenty_updates_without_the_clean_loss_agree_to_a_hundred_thousandth() -> None:
    goal, l2 = adversarial(is_alone=True), 0.01
    triplets, reference, fused = epoch_triplets(dataset().train, 7, 0), model(l2=l2), model(l2=l2)
    optimizer = torch.optim.Adagrad(reference.parameters(), lr=0.05, initial_accumulator_value=0.1)
    columns = [torch.from_numpy(part).long() for part in (triplets.users, triplets.positives, triplets.negatives)]
    for parts in zip(*(column.split(15) for column in columns), strict=True):
        optimizer.zero_grad()
        held = Batch(*parts)
        # the loss under the perturbation, and the regulariser: nothing else
        value = reference.loss(held, perturb_batch(reference, held, "factors", goal.budget, 1)) + reference.penalty(
            held
        )
        value.backward()
        optimizer.step()
    tables = fused.user.detach().numpy(), fused.item.detach().numpy()
    trainer = FactorTrainer(*tables, 15, 0.05, 0.1, l2, eps_user=0.3, eps_item=0.3, weight=1.0, clean=0.0)
    trainer.epoch(triplets)
    trainer.write()
    assert gap(reference, fused) < 1e-5
    assert gap(fused, model()) > 0.1


def test_the_value_without_the_clean_loss_is_the_added_term_and_the_regulariser() -> None:
    made, held = model(l2=0.01), batch()
    view = perturb_batch(made, held, "factors", Budget("l2", 0.3), 1)
    under, clean, penalty = (
        float(one.detach()) for one in (made.loss(held, view), made.loss(held), made.penalty(held))
    )
    assert under > clean + 1
    assert penalty > 0.1
    goal = adversarial(weight=2.0, is_alone=True)
    assert float(evaluate(made, goal, held).detach()) == pytest.approx(2 * under + penalty, rel=1e-6)
    assert float(evaluate(made, adversarial(weight=2.0), held).detach()) == pytest.approx(
        clean + 2 * under + penalty, rel=1e-6
    )


def test_a_schedule_perturbs_with_its_share_of_eps() -> None:
    made, held = model(), batch()
    goal = adversarial(is_alone=True, schedule="linear", epochs=4)
    for epoch in range(4):
        view = perturb_batch(made, held, "factors", Budget("l2", 0.3 * (epoch + 1) / 4), 1)
        assert float(evaluate(made, goal, held, epoch=epoch).detach()) == pytest.approx(
            float(made.loss(held, view).detach()), rel=1e-6
        )


def test_the_generic_path_moves_every_row_read_by_eps_in_a_random_direction() -> None:
    made, held = model(), batch()
    view = randomise_batch(made, held, "factors", Budget("l2", 0.3), generator(0, "noise"))
    assert view.rows["factors.user"].tolist() == sorted(set(held.users.tolist()))
    assert view.rows["factors.item"].tolist() == sorted({*held.positives.tolist(), *held.negatives.tolist()})
    for name, rows in view.rows.items():
        assert view.delta[name].shape == (len(rows), 8)
        assert view.delta[name].norm(dim=1).numpy() == pytest.approx(0.3, rel=1e-5)
    goal = adversarial(is_random=True, weight=2.0)
    value = evaluate(made, goal, held, generator(0, "noise"))
    assert float(value.detach()) == pytest.approx(
        float(made.loss(held).detach()) + 2 * float(made.loss(held, view).detach()), rel=1e-6
    )
    with pytest.raises(BadValue, match="an objective with random directions needs a generator; pass rng"):
        evaluate(made, goal, held)


def by_kernel(seed: int) -> MF:
    """Train one epoch of fixed triplets under random directions of a seed."""
    made = model()
    tables = made.user.detach().numpy(), made.item.detach().numpy()
    trainer = FactorTrainer(*tables, 15, 0.05, 0.1, eps_user=0.3, eps_item=0.3, weight=1.0, is_random=True)
    trainer.epoch(epoch_triplets(dataset().train, 7, 0), seed=seed)
    trainer.write()
    return made


def by_autograd(seed: int) -> MF:
    """Do the same through the generic path."""
    made, rng, drawn = model(), generator(seed, "noise"), epoch_triplets(dataset().train, 7, 0)
    optimizer = torch.optim.Adagrad(made.parameters(), lr=0.05, initial_accumulator_value=0.1)
    columns = [torch.from_numpy(part).long() for part in (drawn.users, drawn.positives, drawn.negatives)]
    for parts in zip(*(column.split(15) for column in columns), strict=True):
        optimizer.zero_grad()
        evaluate(made, adversarial(is_random=True), Batch(*parts), rng).backward()
        optimizer.step()
    return made


def test_random_directions_train_alike_fused_and_generic_in_the_mean() -> None:
    """The two paths draw otherwise; over 24 draws of noise on the same triplets, mean and spread agree."""
    means, spreads = [], []
    for trained in (by_kernel, by_autograd):
        tables = torch.stack([trained(seed).item.detach() for seed in range(24)])
        means.append(tables.mean(dim=0))
        spreads.append(tables.std(dim=0))
    error = (spreads[0].square() + spreads[1].square()).sqrt() / math.sqrt(24)
    # A squared t of 46 degrees of freedom has the mean 46 / 44.
    assert float(((means[0] - means[1]) / error).square().mean()) == pytest.approx(46 / 44, abs=0.4)
    assert float(spreads[0].mean() / spreads[1].mean()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("fused", [True, False])
def test_noise_of_weight_0_is_plain_continuation_bit_for_bit(fused: bool) -> None:
    zero = NoiseRegularisation(weight=0.0).objective(ModelLoss(), "factors")
    plain = Continue().objective(ModelLoss(), "factors")
    one, other = fitted(zero, 2, fused=fused), fitted(plain, 2, fused=fused)
    assert torch.equal(one.user, other.user)
    assert torch.equal(one.item, other.item)
    assert gap(one, fitted(NoiseRegularisation(weight=1.0).objective(ModelLoss(), "factors"), 2, fused=fused)) > 1e-3


def test_the_defenses_state_their_objectives() -> None:
    base, budget = ModelLoss(), Budget("linf", 0.2)
    noise = NoiseRegularisation(0.2, 3.0, 7, "linf", "cosine").objective(base, "factors.item")
    assert noise == Adversarial(base, "factors.item", budget, 3.0, 1, True, False, "cosine", 7)
    alone = AdversarialOnly(0.2, 7, "linf", 4, "linear").objective(base, "factors.item")
    assert alone == Adversarial(base, "factors.item", budget, 1.0, 4, False, True, "linear", 7)


def test_dropout_reaches_the_kernel_and_0_is_the_default_bit_for_bit() -> None:
    none, default = fitted(ModelLoss(), dropout=0.0), fitted(ModelLoss())
    assert torch.equal(none.user, default.user)
    dropped = fitted(ModelLoss(), dropout=0.3)
    assert gap(dropped, none) > 1e-2
    assert torch.equal(dropped.user, fitted(ModelLoss(), dropout=0.3).user)
    assert model(dropout=0.3)._sizes(ModelLoss()) is not None
    assert model(dropout=0.3)._sizes(adversarial()) is None, "the kernel does not drop beside an added term"
