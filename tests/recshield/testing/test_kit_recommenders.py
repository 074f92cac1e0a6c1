"""Each check of a recommender catches the bug planted for it, and the reference model passes them all."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from recshield.core.interfaces import Batch, Recommender
from recshield.core.seeds import child, generator
from recshield.core.surfaces import CLEAN
from recshield.testing import recommenders as checks
from recshield.testing import run_checks
from recshield.testing.declarations import METHOD_CHECKS
from recshield.testing.failures import CheckFailed, NotApplicable
from recshield.testing.kit import name_of
from recshield.testing.model_limits import MODEL_LIMIT_CHECKS
from recshield.testing.reference import USER, TwoTables, TwoTablesConfig
from recshield.testing.views import VIEW_CHECKS
from recshield.training.loop import train
from recshield.training.objectives import Adversarial


@dataclass
class LooseConfig:
    dims: int = 8
    std: float = 0.1
    batch: int = 64
    lr: float = 0.05
    epochs: int = 30


class OptionsThatCanChange(TwoTables):
    config_type = LooseConfig


@dataclass(frozen=True)
class TupleConfig(TwoTablesConfig):
    layers: tuple[int, ...] = (8, 8)


class OptionsThatDoNotPrint(TwoTables):
    config_type = TupleConfig


class TrainsDifferentlyEachTime(TwoTables):
    count = itertools.count()

    def fit(self, data, objective, rng, epochs=None):
        super().fit(data, objective, rng, epochs)
        self.user.data.add_(1e-6 * next(self.count))


class DrawsFromTheGlobalGenerator(TwoTables):
    def __init__(self, data, config, rng):
        super().__init__(data, config, rng)
        self.user.data.normal_(0, config.std)


class SeedsTheGlobalGenerator(TwoTables):
    def __init__(self, data, config, rng):
        torch.manual_seed(0)
        super().__init__(data, config, rng)


class LeavesAnItemOut(TwoTables):
    def score(self, users, view=CLEAN):
        return super().score(users, view)[:, 1:]


class ScoresNaN(TwoTables):
    def score(self, users, view=CLEAN):
        return torch.where(users[:, None] == 3, torch.nan, super().score(users, view))


class ScalesByTheChunk(TwoTables):
    def score(self, users, view=CLEAN):
        found = super().score(users, view)
        return found / found.abs().max()


class DropsOutWhenServed(TwoTables):
    def score(self, users, view=CLEAN):
        return torch.nn.functional.dropout(super().score(users, view), 0.5, training=True)


class KeepsAVectorOutsideItsState(TwoTables):
    shift: Any = 0.0

    def fit(self, data, objective, rng, epochs=None):
        super().fit(data, objective, rng, epochs)
        self.shift = torch.from_numpy(data.train.popularity()).float()

    def score(self, users, view=CLEAN):
        return super().score(users, view) + self.shift


class DrawsBothTablesFromOneGenerator(TwoTables):
    def __init__(self, data, config, rng):
        super().__init__(data, config, rng)
        one = child(rng, "tables")
        for table in (self.user, self.item):
            table.data.copy_(torch.randn(table.shape, generator=one) * config.std)


class NormalisesOverUsers(TwoTables):
    def score(self, users, view=CLEAN):
        return super().score(users, view) / self.user.std(dim=0, correction=0).mean()


class NormalisesOverItems(TwoTables):
    def score(self, users, view=CLEAN):
        return super().score(users, view) / self.item.std(dim=0, correction=0).mean()


class StartsAfresh(TwoTables):
    def fit(self, data, objective, rng, epochs=None):
        with torch.no_grad():
            self.user.copy_(torch.randn(self.user.shape, generator=child(rng, USER)) * self.config.std)
        super().fit(data, objective, rng, epochs)


class SortsTheData(TwoTables):
    def fit(self, data, objective, rng, epochs=None):
        data.train.items.sort()
        super().fit(data, objective, rng, epochs)


class ClimbsItsLoss(TwoTables):
    def fit(self, data, objective, rng, epochs=None):
        optimizer = torch.optim.Adagrad(self.parameters(), lr=self.config.lr, maximize=True)
        train(self, data, objective, optimizer, rng, self.config.epochs if epochs is None else epochs)


class DropsTheLastBatch(TwoTables):
    def batches(self, data, rng):
        return (batch for batch in super().batches(data, rng) if len(batch) == self.config.batch)


class DrawsAnyNegative(TwoTables):
    def batches(self, data, rng):
        draws = child(rng, "negatives")
        for batch in super().batches(data, rng):
            negatives = torch.randint(data.info.n_items, batch.users.shape, generator=draws)
            yield Batch(batch.users, batch.positives, negatives)


class RepeatsItsNegatives(TwoTables):
    def batches(self, data, rng):
        return super().batches(data, generator(0, "batches"))


class DrawsNegativesFromAnywhere(TwoTables):
    count = itertools.count()

    def batches(self, data, rng):
        return super().batches(data, generator(next(self.count), "batches"))


class OtherDrawsUnderADefense(TwoTables):
    def fit(self, data, objective, rng, epochs=None):
        draws = child(rng, "adversarial") if isinstance(objective, Adversarial) else rng
        super().fit(data, objective, draws, epochs)


@dataclass(frozen=True)
class FusedConfig(TwoTablesConfig):
    fused: bool = True


class SoundFusedPath(TwoTables):
    config_type = FusedConfig


class FusedPathWithItsOwnRate(TwoTables):
    config_type = FusedConfig

    def fit(self, data, objective, rng, epochs=None):
        held = self.config
        self.config = dataclasses.replace(held, lr=held.lr * 1.01) if held.fused else held
        super().fit(data, objective, rng, epochs)


class FusedPathWithoutTheAdversarialTerm(TwoTables):
    config_type = FusedConfig

    def fit(self, data, objective, rng, epochs=None):
        is_forgotten = self.config.fused and isinstance(objective, Adversarial)
        super().fit(data, objective.base if is_forgotten else objective, rng, epochs)


#: (check, bug, words of the message that name what is wrong)
BUGS = [
    (checks.check_options_are_a_frozen_dataclass, OptionsThatCanChange, "LooseConfig is not a frozen dataclass"),
    (checks.check_options_reprint, OptionsThatDoNotPrint, "layers=((8, 8))"),
    (checks.check_same_seed_same_bits, TrainsDifferentlyEachTime, "two trainings with one seed differ"),
    (checks.check_same_seed_same_bits, DrawsFromTheGlobalGenerator, "two trainings with one seed differ"),
    (checks.check_global_random_state_untouched, SeedsTheGlobalGenerator, "changed the global random state of torch"),
    (checks.check_scores_are_finite_and_complete, LeavesAnItemOut, "shape (40, 29)"),
    (checks.check_scores_are_finite_and_complete, ScoresNaN, "not finite"),
    (checks.check_scores_of_a_user_stand_alone, ScalesByTheChunk, "chunk size must not matter"),
    (checks.check_scoring_twice_is_identical, DropsOutWhenServed, "scoring twice"),
    (checks.check_state_round_trips, KeepsAVectorOutsideItsState, "scores differently from the saved one"),
    (checks.check_tables_draw_independently, DrawsBothTablesFromOneGenerator, "'item' change when users are appended"),
    (checks.check_one_user_data, NormalisesOverUsers, "on one-user data scores are not finite"),
    (checks.check_one_item_data, NormalisesOverItems, "on one-item data scores are not finite"),
    (checks.check_zero_epochs_change_nothing, StartsAfresh, "fit(epochs=0) changes"),
    (checks.check_fit_leaves_the_data_alone, SortsTheData, "changes the data"),
    (checks.check_training_lowers_the_loss, ClimbsItsLoss, "expected it to fall"),
    (checks.check_batches_hold_every_row, DropsTheLastBatch, "hold 256 rows, which are not the 312"),
    (checks.check_negatives_lie_outside_the_users_rows, DrawsAnyNegative, "training items of their user"),
    (checks.check_batches_follow_their_generator, RepeatsItsNegatives, "same for two seeds"),
    (checks.check_batches_follow_their_generator, DrawsNegativesFromAnywhere, "differ between two calls"),
    (checks.check_weight_zero_is_plain_training, OtherDrawsUnderADefense, "weight 0 differs from plain training"),
    (checks.check_fused_path_equals_generic_path, FusedPathWithItsOwnRate, "with ModelLoss the fused path"),
    (
        checks.check_fused_path_equals_generic_path,
        FusedPathWithoutTheAdversarialTerm,
        "with Adversarial the fused path",
    ),
]


@pytest.mark.parametrize(("check", "bug", "words"), BUGS, ids=[f"{name_of(row[0])}-{row[1].__name__}" for row in BUGS])
def test_a_check_of_a_recommender_catches_its_planted_bug(check, bug, words):
    with pytest.raises(CheckFailed) as caught:
        check(bug)
    assert words in str(caught.value)
    assert str(caught.value).startswith("model 'two-tables'")


def test_every_check_of_a_recommender_has_a_planted_bug():
    planted = {check for check, _, _ in BUGS}
    assert planted == set(checks.RECOMMENDER_CHECKS) - {*VIEW_CHECKS, *METHOD_CHECKS, *MODEL_LIMIT_CHECKS}


def test_the_reference_model_passes_every_check():
    outcomes = run_checks("recommender", TwoTables)
    assert [one for one in outcomes if not one.passed] == []
    without = [one.name for one in outcomes if not one.applies and "no CUDA device" not in one.message]
    assert without == ["fused_path_equals_generic_path"]


def test_a_sound_fused_path_passes_its_check():
    checks.check_fused_path_equals_generic_path(SoundFusedPath)


def test_a_configuration_is_used_where_one_is_given():
    checks.check_options_reprint(TwoTables, TwoTablesConfig(dims=3))
    with pytest.raises(CheckFailed, match="layers"):
        checks.check_options_reprint(TwoTables, TupleConfig())


@dataclass(frozen=True)
class RequiredConfig:
    dims: int


class OptionsWithoutDefaults(TwoTables):
    config_type = RequiredConfig


def test_a_model_without_default_options_says_so():
    with pytest.raises(CheckFailed, match="has no default configuration"):
        checks.check_same_seed_same_bits(OptionsWithoutDefaults)


class Bare(TwoTables):
    """A model that only scores. Source: own."""

    exposes = ()
    loss = Recommender.loss
    batches = Recommender.batches

    def __init__(self, data, config, rng):
        super().__init__(data, config, rng)
        self.surfaces = ()

    def fit(self, data, objective, rng, epochs=None):
        pass

    def score(self, users, view=CLEAN):
        return self.user[users] @ self.item.T


def test_checks_on_what_a_model_has_not_do_not_apply():
    outcomes = {one.name: one for one in run_checks("recommender", Bare)}
    assert [one for one in outcomes.values() if not one.passed] == []
    of_any_model = {"surfaces_are_what_is_declared", "scoring_is_by_the_scores"}
    assert {name_of(check) for check in VIEW_CHECKS} - of_any_model <= {
        name for name, one in outcomes.items() if not one.applies
    }
    assert "has no surface" in outcomes["every_surface_moves_the_scores"].message
    with pytest.raises(NotApplicable, match="has no loss"):
        checks.check_training_lowers_the_loss(Bare)
