"""Each check of a defense catches the bug planted for it, and a sound defense passes them all."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from recshield.core.interfaces import Defense, Objective, System
from recshield.core.surfaces import Budget
from recshield.data.interactions import Interactions
from recshield.testing import defenses as checks
from recshield.testing import run_checks
from recshield.testing.declarations import METHOD_CHECKS
from recshield.testing.failures import CheckFailed, LeakFound, NotApplicable
from recshield.testing.kit import name_of
from recshield.testing.reference import reference_system
from recshield.training.objectives import Adversarial, ModelLoss


@dataclass(frozen=True)
class Added(Defense):
    """The adversarial term: what the bugs below are planted in.

    Attributes:
        weight: of the term.
        epochs: more epochs.

    Source: own.
    """

    weight: float = 1.0
    epochs: int = 5

    name = "added"
    warm_start = True

    def objective(self, base, target):
        return Adversarial(base, target, Budget("l2", 0.5), self.weight)


@dataclass(frozen=True)
class FromTheStart(Added):
    """Source: own."""

    warm_start = False


class NoDataclass(Defense):
    name = "plain"


@dataclass(frozen=True)
class TakesATuple(Added):
    sizes: tuple[int, ...] = (1,)


@dataclass(frozen=True)
class WarmWithoutEpochs(Defense):
    name = "warm"
    warm_start = True


class AddsToTheWeight(Added):
    def objective(self, base, target):
        return Adversarial(base, target, Budget("l2", 0.5), self.weight + 0.01)


class LosesARow(Added):
    def prepare(self, data, rng):
        train = data.train
        cut = dataclasses.replace(train, indptr=np.maximum(train.indptr - 1, 0), items=train.items[1:])
        return dataclasses.replace(data, train=cut)


class RoundsTheWeight(Added):
    def objective(self, base, target):
        return Adversarial(base, target, Budget("l2", 0.5), round(self.weight, 3))


class WeightAsASwitch(Added):
    def objective(self, base, target):
        return Adversarial(base, target, Budget("l2", 0.5), float(self.weight > 0))


class HardlyAnything(Added):
    def objective(self, base, target):
        return Adversarial(base, target, Budget("l2", 0.5), self.weight * 1e-5)


class SortsTheData(Added):
    def prepare(self, data, rng):
        data.train.items.sort()
        return data


class PreparesNothing(Added):
    def prepare(self, data, rng):
        data.train.popularity()


class LeavesNoRow(Added):
    def prepare(self, data, rng):
        nothing = np.array([], dtype=np.int64)
        train = Interactions.from_rows(nothing, nothing, data.info.n_users, data.info.n_items)
        return dataclasses.replace(data, train=train)


class RenumbersUsers(Added):
    def prepare(self, data, rng):
        rows = data.train
        kept = rows.users > 0
        train = Interactions.from_rows(rows.users[kept] - 1, rows.items[kept], rows.n_users - 1, rows.n_items)
        return dataclasses.replace(data, train=train)


class WrapsNothing(Added):
    def objective(self, base, target):
        return None


class AnotherObjectiveEachTime(Added):
    count = itertools.count()

    def objective(self, base, target):
        return Adversarial(base, target, Budget("l2", 0.5 + next(self.count)), self.weight)


class Loose(Objective):
    def __init__(self, weight):
        self.weight = weight


class ObjectiveThatCanChange(Added):
    def objective(self, base, target):
        return Loose(self.weight)


class ForgetsItsBase(Added):
    def objective(self, base, target):
        return Adversarial(ModelLoss(), target, Budget("l2", 0.5), self.weight)


@dataclass(frozen=True)
class Unknown(Objective):
    base: Objective


class ObjectiveNobodyKnows(Added):
    def objective(self, base, target):
        return Unknown(base)


class ServesInPlace(Added):
    def serve(self, model):
        model.user.mul_(2)
        return model


class ServesNothing(Added):
    def serve(self, model):
        model.eval()


@dataclass(frozen=True)
class ScalesTheOther(Added):
    like: System | None = None

    def serve(self, model):
        self.like.model.user.mul_(2)
        return model


def _copied(model, change):
    made = copy.deepcopy(model)
    with torch.no_grad():
        change(made)
    return made


class ServesNaN(Added):
    def serve(self, model):
        return _copied(model, lambda made: made.item[0].fill_(torch.nan))


class ServesNoise(Added):
    def serve(self, model):
        made = copy.deepcopy(model)
        draws = torch.Generator().manual_seed(0)
        inner = made.score
        made.score = lambda users, view=None: inner(users) + torch.rand(1, generator=draws)
        return made


class RanksWithoutItself(Added):
    def serve(self, model):
        made = _copied(model, lambda made: made.user.mul_(2))
        made.scoring = model.scoring
        return made


class HidesItsSurfaces(Added):
    def serve(self, model):
        return _copied(model, lambda made: setattr(made, "surfaces", ()))


class HidesItsRows(Added):
    def serve(self, model):
        return _copied(model, lambda made: setattr(made, "rows", lambda batch: {}))


class ShufflesWithNumpy(Added):
    def prepare(self, data, rng):
        np.random.shuffle(np.arange(3))  # noqa: NPY002
        return data


@dataclass(frozen=True)
class MisspeltItsMethod(Defense):
    """Adds to the loss, under another name. Source: own."""

    name = "misspelt"

    def objectives(self, base, target):
        return Adversarial(base, target, Budget("l2", 0.5), 1.0)


class DropsTheFirstUser(Added):
    def prepare(self, data, rng):
        if data.info.n_users == 1:
            raise IndexError("no second user")
        return data


class DividesByTheOtherItems(Added):
    def serve(self, model):
        others = model.data.n_items - 1
        return _copied(model, lambda made: made.user.mul_(others / others if others else float("nan")))


class ServesAnotherNoiseEachTime(Added):
    def serve(self, model):
        return _copied(model, lambda made: made.user.add_(torch.randn(made.user.shape)))


#: (check, bug, words of the message that name what is wrong)
BUGS = [
    (checks.check_options_are_a_frozen_dataclass, NoDataclass(), "NoDataclass is not a frozen dataclass"),
    (checks.check_options_reprint, TakesATuple(), "sizes=((1,))"),
    (checks.check_warm_start_says_how_long, WarmWithoutEpochs(), "no whole number 'epochs'"),
    (checks.check_weight_zero_is_plain_training, AddsToTheWeight(), "expected the same bits"),
    (checks.check_weight_zero_is_plain_training, LosesARow(), "expected the same bits"),
    (checks.check_tiny_weight_is_close_but_not_equal, RoundsTheWeight(), "by 0 (relative)"),
    (checks.check_tiny_weight_is_close_but_not_equal, WeightAsASwitch(), "less than 0.0001"),
    (checks.check_full_weight_differs_clearly, HardlyAnything(), "expected more than 0.001"),
    (checks.check_prepare_leaves_the_data_alone, SortsTheData(), "changes the data"),
    (checks.check_prepare_leaves_the_data_alone, PreparesNothing(), "returns NoneType; it returns a Dataset"),
    (checks.check_prepare_leaves_the_data_alone, LeavesNoRow(), "left no training row"),
    (
        checks.check_prepare_leaves_the_data_alone,
        RenumbersUsers(),
        "rows of 39 users and 30 items, and the data has 40",
    ),
    (checks.check_objective_is_a_value, WrapsNothing(), "returns NoneType; expected an Objective"),
    (checks.check_objective_is_a_value, AnotherObjectiveEachTime(), "different values"),
    (checks.check_objective_is_a_value, ObjectiveThatCanChange(), "Loose is not a frozen dataclass"),
    (checks.check_objective_builds_on_its_base, ForgetsItsBase(), "ignores the base"),
    (checks.check_objective_builds_on_its_base, ObjectiveNobodyKnows(), "does not understand its objective"),
    (checks.check_serve_leaves_the_model_alone, ServesInPlace(), "model's state_dict and clean scores"),
    (checks.check_serve_leaves_the_model_alone, ServesNothing(), "returns NoneType; expected a Recommender"),
    (checks.check_serve_leaves_the_model_alone, ScalesTheOther(like=reference_system()), "model's state_dict"),
    (checks.check_served_scores_are_finite, ServesNaN(), "not finite"),
    (checks.check_served_scores_are_finite, ServesNoise(), "differently each time"),
    (checks.check_served_rankings_are_by_the_scores, RanksWithoutItself(), "rankings are made by it"),
    (checks.check_served_model_can_be_attacked, HidesItsSurfaces(), "has the surfaces []"),
    (checks.check_served_model_can_be_attacked, HidesItsRows(), "rows() differ"),
    (checks.check_global_random_state_untouched, ShufflesWithNumpy(), "the global random state of numpy"),
    (checks.check_same_seed_same_bits, ServesAnotherNoiseEachTime(), "two systems with one seed differ"),
    (checks.check_changes_the_system, MisspeltItsMethod(), "override prepare(), objective() or serve()"),
    (checks.check_one_user_data, DropsTheFirstUser(), "fails on one-user data: IndexError: no second user"),
    (checks.check_one_item_data, DividesByTheOtherItems(), "on one-item data scores are not finite"),
]


@pytest.mark.parametrize(
    ("check", "bug", "words"), BUGS, ids=[f"{name_of(row[0])}-{type(row[1]).__name__}" for row in BUGS]
)
def test_a_check_of_a_defense_catches_its_planted_bug(check, bug, words):
    with pytest.raises(CheckFailed) as caught:
        check(bug)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"defense '{bug.name}'")


def test_every_check_of_a_defense_has_a_planted_bug():
    assert {check for check, _, _ in BUGS} == set(checks.DEFENSE_CHECKS) - set(METHOD_CHECKS)


def test_a_sound_defense_passes_every_check():
    assert [one for one in run_checks("defense", Added()) if not (one.passed and one.applies)] == []


def test_a_sound_defense_that_trains_from_the_start_passes_too():
    outcomes = run_checks("defense", FromTheStart())
    assert all(one.passed for one in outcomes)
    assert [one.name for one in outcomes if not one.applies] == ["warm_start_says_how_long"]


def test_a_model_changed_by_serve_is_a_perturbation_leak():
    with pytest.raises(LeakFound):
        checks.check_serve_leaves_the_model_alone(ServesInPlace())


def test_the_weight_identities_do_not_apply_to_a_defense_without_a_weight():
    for check in (
        checks.check_weight_zero_is_plain_training,
        checks.check_tiny_weight_is_close_but_not_equal,
        checks.check_full_weight_differs_clearly,
    ):
        with pytest.raises(NotApplicable, match="has no option 'weight'"):
            check(NoDataclass())
