"""The victim: its goal, its gradient by hand, and the access it grants."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recshield.core.errors import AccessDenied
from recshield.core.interfaces import Access, Goal
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget, View
from recshield.data.interactions import DataInfo, HeldOut, Interactions
from recshield.matrix.victims import GoalPairs, TrainedVictim, degrade_pairs, oracle_pairs
from recshield_factor import MF, MFConfig
from recshield_gradient import FGM, PGD, Noise

ALL = Access.DATA | Access.RANKINGS | Access.SCORES | Access.GRADIENTS
USERS, ITEMS = 30, 20


def toy() -> tuple[MF, Interactions]:
    rng = np.random.default_rng(0)
    users, items = rng.integers(USERS, size=200), rng.integers(ITEMS, size=200)
    train = Interactions.from_rows(users, items, USERS, ITEMS)
    model = MF(DataInfo("toy", USERS, ITEMS, len(train)), MFConfig(dims=6, std=0.6), generator(0, "start"))
    return model.requires_grad_(False), train


def victim(access: Access = ALL, target: str = "factors", pairs: GoalPairs | None = None) -> TrainedVictim:
    model, train = toy()
    return TrainedVictim(model, train, pairs or degrade_pairs(train, 0), Goal(), target, access)


#: 3 users, 4 items, one draw: the example that the training kernel is held to as well.
P = np.array([[0.5, -0.25], [1.0, 0.75], [-0.5, 0.25]])
Q = np.array([[0.25, 0.5], [-1.0, 0.5], [0.75, -0.25], [0.1, 0.9]])
ROWS = ((0, 0, 1), (1, 1, 2), (2, 3, 1), (0, 2, 3))


def tiny() -> TrainedVictim:
    model = MF(DataInfo("tiny", 3, 4, 4), MFConfig(dims=2), generator(0, "x")).requires_grad_(False)
    model.user.copy_(torch.from_numpy(P))
    model.item.copy_(torch.from_numpy(Q))
    users, positives, negatives = (torch.tensor(column, dtype=torch.int32) for column in zip(*ROWS, strict=True))
    train = Interactions.from_rows(users.numpy(), positives.numpy(), 3, 4)
    return TrainedVictim(model, train, GoalPairs(users, positives, negatives[None]), Goal(), "factors", ALL)


def gradient_by_hand(slope: object) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient of the mean loss (Eq. 7 and 13), for a loss whose derivative in x is -slope(x)."""
    to_p, to_q = np.zeros_like(P), np.zeros_like(Q)
    for u, i, j in ROWS:
        c = slope(float(P[u] @ (Q[i] - Q[j]))) / len(ROWS)  # type: ignore[operator]
        to_p[u] -= c * (Q[i] - Q[j])
        to_q[i] -= c * P[u]
        to_q[j] += c * P[u]
    return to_p, to_q


SLOPES = {
    "": lambda x: 1 / (1 + np.exp(x)),
    "bpr": lambda x: 1 / (1 + np.exp(x)),
    "linear": lambda x: 1.0,
    "margin": lambda x: float(x > 0),
}
VALUES = {
    "": lambda x: np.log1p(np.exp(-x)),
    "bpr": lambda x: np.log1p(np.exp(-x)),
    "linear": lambda x: -x,
    "margin": lambda x: -max(x, 0.0),
}


@pytest.mark.parametrize("loss", list(SLOPES))
def test_value_and_gradient_are_those_of_the_equations(loss: str) -> None:
    held = tiny()
    value, gradient = held.ascend(held.zeros(), loss)
    wanted = np.mean([VALUES[loss](float(P[u] @ (Q[i] - Q[j]))) for u, i, j in ROWS])
    assert float(value) == pytest.approx(wanted, abs=1e-6)
    to_p, to_q = gradient_by_hand(SLOPES[loss])
    assert gradient["factors.user"].numpy() == pytest.approx(to_p, abs=1e-7)
    assert gradient["factors.item"].numpy() == pytest.approx(to_q, abs=1e-7)
    assert held.value(held.zeros(), loss) == pytest.approx(wanted, abs=1e-6)


def test_fgm_is_equation_8_per_row() -> None:
    delta = FGM().perturb(tiny(), Budget("l2", 0.5), generator(0))
    for name, gradient in zip(("factors.user", "factors.item"), gradient_by_hand(SLOPES["bpr"]), strict=True):
        wanted = 0.5 * gradient / np.linalg.norm(gradient, axis=1, keepdims=True)
        assert delta[name].numpy() == pytest.approx(wanted, abs=1e-6)


def test_fgm_in_linf_is_the_sign_of_the_gradient() -> None:
    delta = FGM().perturb(tiny(), Budget("linf", 0.1), generator(0))
    for name, gradient in zip(("factors.user", "factors.item"), gradient_by_hand(SLOPES["bpr"]), strict=True):
        assert delta[name].numpy() == pytest.approx(0.1 * np.sign(gradient), abs=1e-7)


def test_the_gradient_over_batches_is_that_of_one_pass_in_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    model, train = toy()
    pairs = degrade_pairs(train, 0)
    held = TrainedVictim(model, train, pairs, Goal(), "factors", ALL)
    monkeypatch.setattr(GoalPairs.batches, "__defaults__", (17,))
    _, gradient = held.ascend(held.zeros())
    user, item = (table.double().requires_grad_() for table in (model.user.detach(), model.item.detach()))
    users, positives = pairs.users.long().repeat(3), pairs.positives.long().repeat(3)
    x = (user[users] * (item[positives] - item[pairs.negatives.flatten().long()])).sum(dim=1)
    torch.nn.functional.softplus(-x).mean().backward()
    assert gradient["factors.user"].numpy() == pytest.approx(user.grad.numpy(), abs=1e-7)  # type: ignore[union-attr]
    assert gradient["factors.item"].numpy() == pytest.approx(item.grad.numpy(), abs=1e-7)  # type: ignore[union-attr]


def test_pgd_equals_a_plain_loop_in_numpy() -> None:
    """A second implementation: l2 ascent with projection from the same start, best iterate kept."""
    held, budget = tiny(), Budget("l2", 0.4)
    starts: list[dict[str, torch.Tensor]] = []
    original = held.ascend

    def spy(delta: dict[str, torch.Tensor], loss: str = "") -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        starts.append({name: value.clone() for name, value in delta.items()})
        return original(delta, loss)

    held.ascend = spy  # type: ignore[method-assign, assignment]
    found = PGD(steps=5).perturb(held, budget, generator(3))
    d_p, d_q = (starts[0][name].double().numpy() for name in ("factors.user", "factors.item"))
    best, best_value = None, -np.inf
    for step in range(6):
        p, q = P + d_p, Q + d_q
        g_p, g_q, value = np.zeros_like(p), np.zeros_like(q), 0.0
        for u, i, j in ROWS:
            x = p[u] @ (q[i] - q[j])
            c = 1 / (1 + np.exp(x))
            g_p[u] -= c * (q[i] - q[j])
            g_q[i] -= c * p[u]
            g_q[j] += c * p[u]
            value += np.log1p(np.exp(-x))
        if value > best_value:
            best, best_value = (d_p, d_q), value
        if step < 5:
            moved = []
            for d, g in ((d_p, g_p), (d_q, g_q)):
                d = d + 2.5 * 0.4 / 5 * g / np.linalg.norm(g, axis=1, keepdims=True)
                moved.append(d * np.minimum(1, 0.4 / np.linalg.norm(d, axis=1, keepdims=True)))
            d_p, d_q = moved
    assert best is not None
    assert found["factors.user"].numpy() == pytest.approx(best[0], abs=1e-5)
    assert found["factors.item"].numpy() == pytest.approx(best[1], abs=1e-5)


def test_more_steps_and_restarts_reach_no_lower_value() -> None:
    held, budget = victim(), Budget("l2", 0.5)
    fgm = held.value(FGM().perturb(held, budget, generator(0)), "")
    pgd = held.value(PGD().perturb(held, budget, generator(0)), "")
    long = held.value(PGD(steps=40).perturb(held, budget, generator(0)), "")
    again = held.value(PGD(restarts=4).perturb(held, budget, generator(0)), "")
    noise = held.value(Noise().perturb(held, budget, generator(0)), "")
    clean = held.value(held.zeros(), "")
    assert clean < fgm <= pgd <= long * (1 + 1e-3)
    assert pgd <= again
    assert noise < fgm


@pytest.mark.parametrize("size", [1, 7, 10**9])
def test_batches_hold_every_pair_with_all_its_draws_one_after_the_other(size: int) -> None:
    users, positives = torch.tensor([3, 1, 4]), torch.tensor([5, 9, 2])
    negatives = torch.tensor([[10, 11, 12], [20, 21, 22]])
    parts = list(GoalPairs(users, positives, negatives).batches(torch.device("cpu"), size))
    assert torch.cat([one.users for one in parts]).tolist() == [3, 3, 1, 1, 4, 4]
    assert torch.cat([one.positives for one in parts]).tolist() == [5, 5, 9, 9, 2, 2]
    assert torch.cat([one.negatives for one in parts]).tolist() == [10, 20, 11, 21, 12, 22]
    assert all(len(one) <= max(size, 2) for one in parts)


def test_noise_and_starts_stay_on_the_rows_that_the_goal_reads() -> None:
    model, train = toy()
    pairs = GoalPairs(torch.tensor([3, 3]), torch.tensor([5, 7]), torch.tensor([[9, 9]]))
    held = TrainedVictim(model, train, pairs, Goal(), "factors", ALL)
    assert held.rows["factors.user"].tolist() == [3]
    assert held.rows["factors.item"].tolist() == [5, 7, 9]
    for attack in (Noise(), PGD(steps=1), FGM()):
        delta = attack.perturb(held, Budget("l2", 0.5), generator(0))
        touched = {name: value.norm(dim=1).nonzero()[:, 0].tolist() for name, value in delta.items()}
        assert touched == {"factors.user": [3], "factors.item": [5, 7, 9]}, attack


def test_noise_has_the_full_norm_on_every_row() -> None:
    for norm in ("l2", "linf"):
        delta = Noise().perturb(victim(), Budget(norm, 0.7), generator(0))["factors.user"]
        lengths = delta.norm(dim=1) if norm == "l2" else delta.abs().amax(dim=1)
        assert lengths.numpy() == pytest.approx(np.full(USERS, 0.7), abs=1e-6)


def test_a_target_of_one_surface_leaves_the_other_alone() -> None:
    held = victim(target="factors.user")
    assert [one.name for one in held.surfaces] == ["factors.user"]
    assert set(FGM().perturb(held, Budget("l2", 1.0), generator(0))) == {"factors.user"}


@pytest.mark.parametrize(
    ("access", "call"),
    [
        (Access.GRADIENTS, lambda held: held.data),
        (Access.DATA, lambda held: held.ascend(held.zeros())),
        (Access.RANKINGS, lambda held: held.scores(torch.tensor([0]), held.zeros())),
        (Access.DATA, lambda held: held.rankings(torch.tensor([0]), 3, held.zeros())),
    ],
)
def test_a_call_beyond_the_declared_access_is_denied(access: Access, call: object) -> None:
    with pytest.raises(AccessDenied, match=r"the attack called what needs .*; add it to its `access`"):
        call(victim(access))  # type: ignore[operator]


def test_rankings_leave_training_items_out_and_count_queries() -> None:
    held = victim(Access.RANKINGS)
    model, train = toy()
    users = torch.tensor([0, 1, 2])
    lists = held.rankings(users, 5, held.zeros())
    for user, items in zip(users.tolist(), lists.tolist(), strict=True):
        seen = set(train.of(user).tolist())
        scores = model.score(torch.tensor([user]))[0]
        wanted = sorted((item for item in range(ITEMS) if item not in seen), key=lambda item: -float(scores[item]))[:5]
        assert items == wanted
    assert held.notes.n_queries == 3
    whole = held.rankings(users, ITEMS, held.zeros())
    n_candidates = [ITEMS - len(set(train.of(user).tolist())) for user in users.tolist()]
    assert (whole >= 0).sum(dim=1).tolist() == n_candidates, "-1 beyond the last"


def test_some_columns_of_the_scores_are_those_of_all_of_them() -> None:
    held = victim(Access.SCORES)
    users, items = torch.arange(USERS), torch.randint(ITEMS, (USERS, 7), generator=generator(0))
    delta = {name: torch.randn(zeros.shape, generator=generator(1)) for name, zeros in held.zeros().items()}
    assert torch.equal(held.scores(users, delta, items), held.scores(users, delta).gather(1, items))
    assert held.notes.n_queries == 2 * USERS


def test_degrade_pairs_are_three_draws_outside_the_training_rows() -> None:
    _, train = toy()
    pairs = degrade_pairs(train, 0)
    assert tuple(pairs.negatives.shape) == (3, len(train))
    seen = {(int(user), int(item)) for user, item in zip(train.users, train.items, strict=True)}
    for draw in pairs.negatives:
        assert not seen & set(zip(pairs.users.tolist(), draw.tolist(), strict=True))
    assert pairs.negatives[0].tolist() != pairs.negatives[1].tolist()
    assert degrade_pairs(train, 1).negatives.tolist() != pairs.negatives.tolist()


def test_oracle_pairs_are_the_test_rows_with_twenty_negatives_outside_training_and_test() -> None:
    _, train = toy()
    test = HeldOut.from_rows(np.array([4, 1, 4]), np.array([2, 3, 8]))
    pairs = oracle_pairs(train, test, 0)
    assert pairs.users.tolist() == [1, 4, 4]
    assert pairs.positives.tolist() == [3, 2, 8]
    assert tuple(pairs.negatives.shape) == (20, 3)
    for draw in pairs.negatives.tolist():
        for user, item in zip(pairs.users.tolist(), draw, strict=True):
            held = {2, 8} if user == 4 else {3}
            assert item not in set(train.of(user).tolist()) | held


def test_zero_gradients_are_counted_on_the_rows_that_the_goal_reads() -> None:
    held = tiny()
    held.ascend(held.zeros())
    assert held.notes.zero_share == 0
    model = MF(DataInfo("tiny", 3, 4, 4), MFConfig(dims=2), generator(0, "x")).requires_grad_(False)
    model.user.zero_()
    model.item.zero_()
    _, train = toy()
    starved = TrainedVictim(model, train, tiny()._pairs, Goal(), "factors", ALL)
    starved.ascend(starved.zeros())
    assert starved.notes.zero_share == 1


def test_a_perturbed_score_is_equation_12() -> None:
    held = tiny()
    delta = {"factors.user": torch.full((3, 2), 0.25), "factors.item": torch.full((4, 2), -0.5)}
    wanted = (P + 0.25) @ (Q - 0.5).T
    assert held.scores(torch.arange(3), delta).numpy() == pytest.approx(wanted, abs=1e-6)
    assert held._model.score(torch.arange(3), View(delta)).numpy() == pytest.approx(wanted, abs=1e-6)
