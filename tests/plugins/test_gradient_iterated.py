"""The gradient attacks step by step, against plain numpy loops written from their papers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from recshield.core.errors import BadValue
from recshield.core.interfaces import Access, Attack, Goal
from recshield.core.norms import measure
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget
from recshield.data.interactions import DataInfo, Interactions
from recshield.matrix.victims import GoalPairs, TrainedVictim
from recshield_factor import MF, MFConfig
from recshield_gradient import APGD, BIM, FGM, MIM, MSAP, PGD, Auto, Noise

USERS, ITEMS, DIMS, ROWS = 12, 9, 5, 40
USER, ITEM = "factors.user", "factors.item"
NORMS = ("l2", "linf", "l2-table")
Tables = dict[str, np.ndarray]


class Toy:
    """Two tables and triplets in plain numpy: value and gradient of the mean BPR loss (APR, Eq. 1 and 13)."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.clean = {USER: rng.normal(size=(USERS, DIMS)), ITEM: rng.normal(size=(ITEMS, DIMS))}
        self.users = np.sort(rng.integers(USERS, size=ROWS))
        self.positives = rng.integers(ITEMS, size=ROWS)
        self.negatives = (self.positives + rng.integers(1, ITEMS, size=ROWS)) % ITEMS

    def zeros(self) -> Tables:
        return {name: np.zeros_like(held) for name, held in self.clean.items()}

    def legal(self, delta):
        return dict(delta)

    def ascend(self, delta: Tables) -> tuple[float, Tables]:
        p, q = self.clean[USER] + delta[USER], self.clean[ITEM] + delta[ITEM]
        gradient, total = self.zeros(), 0.0
        for u, i, j in zip(self.users, self.positives, self.negatives, strict=True):
            x = p[u] @ (q[i] - q[j])
            total += np.log1p(np.exp(-x)) / ROWS
            slope = 1 / (1 + np.exp(x)) / ROWS
            gradient[USER][u] -= slope * (q[i] - q[j])
            gradient[ITEM][i] -= slope * p[u]
            gradient[ITEM][j] += slope * p[u]
        return total, gradient

    def victim(self) -> TrainedVictim:
        model = MF(DataInfo("toy", USERS, ITEMS, ROWS), MFConfig(dims=DIMS), generator(0, "x")).requires_grad_(False)
        model.user.copy_(torch.from_numpy(self.clean[USER]))
        model.item.copy_(torch.from_numpy(self.clean[ITEM]))
        users, positives, negatives = (torch.from_numpy(one) for one in (self.users, self.positives, self.negatives))
        train = Interactions.from_rows(self.users, self.positives, USERS, ITEMS)
        pairs = GoalPairs(users, positives, negatives[None])
        return TrainedVictim(model, train, pairs, Goal(), "factors", Access.DATA | Access.GRADIENTS)


def unit(table: np.ndarray, norm: str) -> np.ndarray:
    """Return the steepest direction: gradient over its length, per row or whole; or its sign."""
    if norm == "linf":
        return np.sign(table)
    length = np.sqrt((table**2).sum(axis=None if norm == "l2-table" else 1, keepdims=True))
    return np.divide(table, length, out=np.zeros_like(table), where=length > 0)


def inside(table: np.ndarray, norm: str, eps: float) -> np.ndarray:
    """Return the nearest table in the ball."""
    if norm == "linf":
        return np.clip(table, -eps, eps)
    length = np.sqrt((table**2).sum(axis=None if norm == "l2-table" else 1, keepdims=True))
    return table * np.minimum(1, eps / np.maximum(length, 1e-300))


def run(attack: Attack, norm: str = "l2", eps: float = 0.5, seed: int = 0) -> Tables:
    with torch.no_grad():
        found = attack.perturb(Toy().victim(), Budget(norm, eps), generator(seed, "attack"))
    return {name: held.double().numpy() for name, held in found.items()}


def assert_equal(found: Tables, wanted: Tables) -> None:
    for name in (USER, ITEM):
        assert found[name] == pytest.approx(wanted[name], abs=2e-5)


def value(delta: Tables) -> float:
    return Toy().ascend(delta)[0]


@pytest.mark.parametrize("norm", NORMS)
def test_fgm_is_eps_times_the_steepest_direction_at_zero(norm: str) -> None:
    _, gradient = Toy().ascend(Toy().zeros())
    assert_equal(run(FGM(), norm), {name: 0.5 * unit(held, norm) for name, held in gradient.items()})


def test_fgm_along_the_sign_spends_the_l2_budget_on_equal_values() -> None:
    _, gradient = Toy().ascend(Toy().zeros())
    read = {name: (held != 0).any(axis=1) for name, held in gradient.items()}
    wanted = {name: 0.5 * np.sign(held) / np.sqrt(DIMS) for name, held in gradient.items()}
    found = run(FGM(direction="sign"), "l2")
    assert_equal(found, wanted)
    for name in (USER, ITEM):
        assert np.linalg.norm(found[name][read[name]], axis=1) == pytest.approx(0.5, rel=1e-6)
    assert_equal(run(FGM(direction="sign"), "linf"), run(FGM(), "linf"))
    assert value(run(FGM(), "l2")) > value(found) > value(Toy().zeros())


def climb(norm: str, eps: float, steps: int, ratio: float, decay: float | None = None) -> Tables:
    """Return the best iterate of Kurakin et al. (decay None) or of Dong et al., Algorithm 1, with any norm's step."""
    toy = Toy()
    delta, running, best, highest = toy.zeros(), toy.zeros(), toy.zeros(), -np.inf
    for step in range(steps + 1):
        reached, gradient = toy.ascend(delta)
        if reached > highest:
            best, highest = delta, reached
        if step == steps:
            return best
        if decay is not None:
            for name, held in gradient.items():
                over = np.abs(held).sum(axis=None if norm == "l2-table" else 1, keepdims=True)
                running[name] = decay * running[name] + np.divide(held, over, out=np.zeros_like(held), where=over > 0)
            gradient = running
        size = ratio * eps / steps
        delta = {name: inside(delta[name] + size * unit(gradient[name], norm), norm, eps) for name in delta}
    raise AssertionError


@pytest.mark.parametrize("norm", NORMS)
def test_bim_is_the_plain_loop_of_projected_steps(norm: str) -> None:
    assert_equal(run(BIM(steps=7, ratio=2.0), norm), climb(norm, 0.5, 7, 2.0))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("decay", [0.0, 0.6, 1.0])
def test_mim_is_algorithm_1_of_dong_et_al(norm: str, decay: float) -> None:
    found = run(MIM(steps=6, decay=decay, ratio=2.5), norm, 1.5)
    assert_equal(found, climb(norm, 1.5, 6, 2.5, decay))
    if decay == 0:
        assert_equal(found, run(BIM(steps=6, ratio=2.5), norm, 1.5))
    elif decay == 1:
        differs = max(np.abs(found[name] - climb(norm, 1.5, 6, 2.5)[name]).max() for name in (USER, ITEM))
        assert differs > 1e-3, "the momentum must turn some row for this to say anything"


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("attack", [FGM(), BIM(steps=3), MIM(steps=3), PGD(steps=3), APGD(steps=5), Noise(draw=1)])
def test_every_attack_stays_in_the_budget_and_spends_it(attack: Attack, norm: str) -> None:
    victim = Toy().victim()
    with torch.no_grad():
        found = attack.perturb(victim, Budget(norm, 0.7), generator(0, "attack"))
    for one in victim.surfaces:
        lengths = measure(found[one.name], one, norm)
        assert float(lengths.max()) == pytest.approx(0.7, rel=1e-5)
        wanted = {"l2": np.linalg.norm(found[one.name].numpy(), axis=1).max(), "linf": found[one.name].abs().max()}
        wanted["l2-table"] = np.linalg.norm(found[one.name].numpy())
        assert float(wanted[norm]) <= 0.7 * (1 + 1e-5)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", [BIM, MIM, PGD])
def test_more_steps_of_one_size_are_never_weaker(kind: type[BIM], norm: str) -> None:
    """Steps of 0.2 eps: the shorter run is the beginning of the longer one."""
    few, more = run(kind(steps=5, ratio=1.0), norm, 2.0), run(kind(steps=10, ratio=2.0), norm, 2.0)
    assert value(more) >= value(few) - 1e-7


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("eps", [0.05, 0.5, 3.0])
def test_iterated_attacks_are_no_weaker_than_one_step(norm: str, eps: float) -> None:
    single = value(run(FGM(), norm, eps))
    assert value(run(APGD(steps=3), norm, eps)) >= single - 1e-7
    for attack in (BIM(steps=20), MIM(steps=20)):
        assert value(run(attack, norm, eps)) >= single * (1 - 1e-3)


def test_msap_runs_two_steps_as_by_hand() -> None:
    toy, eps, ratio = Toy(), 0.5, 0.75
    delta = toy.zeros()
    for _ in range(2):
        _, gradient = toy.ascend(delta)
        delta = {name: np.clip(delta[name] + ratio * eps * unit(gradient[name], "l2"), -eps, eps) for name in delta}
    assert_equal(run(MSAP(steps=2, ratio=ratio), "l2", eps), delta)


@pytest.mark.parametrize("start", ["clean", "random"])
def test_msap_leaves_the_budget_it_names_by_up_to_the_root_of_the_width(start: str) -> None:
    found = run(MSAP(start=start), "l2", 0.2)
    largest = max(np.linalg.norm(held, axis=1).max() for held in found.values())
    assert 1.5 * 0.2 < largest <= np.sqrt(DIMS) * 0.2 * (1 + 1e-6)
    assert max(np.abs(held).max() for held in found.values()) == pytest.approx(0.2, rel=1e-6)
    assert MSAP.projected is False


def test_another_draw_is_another_noise_and_the_first_is_the_plain_one() -> None:
    draws = [run(Noise(draw=draw))[USER] for draw in range(3)]
    assert np.array_equal(draws[1], run(Noise(draw=1))[USER])
    read = np.abs(draws[0]).sum(axis=1) > 0
    for one, other in ((0, 1), (0, 2), (1, 2)):
        cosine = (draws[one][read] * draws[other][read]).sum(axis=1) / 0.25
        assert np.abs(cosine).max() < 1 - 1e-3
        assert abs(cosine.mean()) < 0.5


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: FGM(direction="up"), "attack 'fgm': direction 'up' is not known; allowed: sign, or leave it out"),
        (lambda: BIM(loss="hinge"), "attack 'bim': loss 'hinge' is not known; allowed: bpr, linear, margin, top"),
        (lambda: MIM(decay=-1.0), "attack 'mim': decay is -1.0; it is a finite number of at least 0"),
        (lambda: APGD(restarts=0), "attack 'apgd': steps and restarts are whole numbers of at least 1, ratio is a"),
        (lambda: BIM(ratio=float("inf")), "attack 'bim': steps and restarts are whole numbers of at least 1"),
        (lambda: MSAP(start="noise"), "attack 'msap': start 'noise' is not known; allowed: clean, random"),
        (lambda: Noise(draw=-1), "attack 'noise': draw is -1; it is a whole number of at least 0"),
        (
            lambda: run(Auto()),
            "attack 'auto' has no perturbation of its own; its members are fgm, fgm:loss=top, apgd, ",
        ),
    ],
)
def test_a_bad_option_is_named_with_what_is_allowed(made: Callable[[], object], said: str) -> None:
    with pytest.raises(BadValue) as caught:
        made()
    assert str(caught.value).startswith(said)
