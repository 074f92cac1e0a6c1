"""Each check on views catches the bug planted for it."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from recshield.core.surfaces import CLEAN, View
from recshield.testing import views as checks
from recshield.testing.failures import CheckFailed, LeakFound
from recshield.testing.kit import name_of
from recshield.testing.reference import ITEM, USER, TwoTables

softplus = torch.nn.functional.softplus


class ExposesWhatItHasNot(TwoTables):
    exposes = (USER, ITEM, "item_features")


class ValuesOfAnotherShape(TwoTables):
    def values(self, surface):
        return super().values(surface).T


class BoundsThatCutCleanValues(TwoTables):
    def __init__(self, data, config, rng):
        super().__init__(data, config, rng)
        self.surfaces = tuple(dataclasses.replace(one, bounds=(0.0, 1.0)) for one in self.surfaces)


class BiasThatOnlyScores(TwoTables):
    def __init__(self, data, config, rng):
        super().__init__(data, config, rng)
        self.bias = torch.nn.Parameter(torch.zeros(data.n_items))

    def score(self, users, view=CLEAN):
        return super().score(users, view) + self.bias


class IgnoresTheItemsWhenScoring(TwoTables):
    def score(self, users, view=CLEAN):
        return view.read(self.surfaces[0], self.user[users], users) @ self.item.T


class NormalisesWhatIsAttacked(TwoTables):
    def score(self, users, view=CLEAN):
        found = super().score(users, view)
        return found / found.norm() if view.delta else found


class AddsToTheLossWhatIsAttacked(TwoTables):
    def loss(self, batch, view=CLEAN):
        return super().loss(batch, view) + (1e-3 if view.delta else 0.0)


class KeepsThePerturbationInItsWeights(TwoTables):
    def score(self, users, view=CLEAN):
        for name, held in view.delta.items():
            self.values(name).data.add_(held)
        return super().score(users)


class KeepsThePerturbationBesideItsWeights(TwoTables):
    kept = CLEAN

    def loss(self, batch, view=CLEAN):
        self.kept = View({name: held.detach() for name, held in view.delta.items()})
        return super().loss(batch, view)

    def score(self, users, view=CLEAN):
        return super().score(users, view if view.delta else self.kept)


class RanksByItsCleanScores(TwoTables):
    def scoring(self, view=CLEAN):
        return super().scoring()


class RanksByRoundedScores(TwoTables):
    def scoring(self, view=CLEAN):
        return lambda users: self.score(users, view).bfloat16().float()


class AttackedLossWithoutAGradient(TwoTables):
    def loss(self, batch, view=CLEAN):
        with torch.set_grad_enabled(not view.delta):
            return super().loss(batch, view)


class GradientOfTheOppositeSign(TwoTables):
    def loss(self, batch, view=CLEAN):
        value = super().loss(batch, view)
        return 2 * value.detach() - value


class LossOfTheOppositeSign(TwoTables):
    def loss(self, batch, view=CLEAN):
        return softplus(self.margins(batch, view)).sum()


class MarginsWithCleanUsers(TwoTables):
    def margins(self, batch, view=CLEAN):
        return super().margins(batch, View({name: held for name, held in view.delta.items() if name != USER}))

    def loss(self, batch, view=CLEAN):
        return softplus(-super().margins(batch, view)).sum()


class PerturbsOnlyThePositive(TwoTables):
    def loss(self, batch, view=CLEAN):
        user, item = self.surfaces
        positive = view.read(item, self.item[batch.positives], batch.positives)
        vectors = view.read(user, self.user[batch.users], batch.users)
        return softplus(-(vectors * (positive - self.item[batch.negatives])).sum(dim=1)).sum()

    def rows(self, batch):
        return {USER: batch.users.unique(), ITEM: batch.positives.unique()}


class RowsInReverse(TwoTables):
    def rows(self, batch):
        return {name: held.flip(0) for name, held in super().rows(batch).items()}


class RowsThatRepeat(TwoTables):
    def rows(self, batch):
        return {name: torch.cat([held, held]).sort().values for name, held in super().rows(batch).items()}


class RowsOfNoSurface(TwoTables):
    def rows(self, batch):
        return {**super().rows(batch), "items": batch.positives.unique()}


class RowsWithoutNegatives(TwoTables):
    def rows(self, batch):
        return {USER: batch.users.unique(), ITEM: batch.positives.unique()}


class NoRowsAtAll(TwoTables):
    def rows(self, batch):
        return {}


class EveryRowThereIs(TwoTables):
    def rows(self, batch):
        return {USER: batch.users.unique(), ITEM: torch.arange(self.data.n_items)}


class LossThatShrinksTheWeights(TwoTables):
    def loss(self, batch, view=CLEAN):
        self.user.data.mul_(0.999)
        return super().loss(batch, view)


#: (check, bug, words of the message that name what is wrong)
BUGS = [
    (checks.check_surfaces_are_what_is_declared, ExposesWhatItHasNot, "write the same names"),
    (checks.check_surfaces_are_what_is_declared, ValuesOfAnotherShape, "has shape (8, 40), its surface (40, 8)"),
    (checks.check_surfaces_are_what_is_declared, BoundsThatCutCleanValues, "outside its bounds (0.0, 1.0)"),
    (checks.check_every_surface_moves_the_scores, IgnoresTheItemsWhenScoring, "'factors.item' leaves the scores"),
    (checks.check_zero_delta_is_clean, NormalisesWhatIsAttacked, "zeros changes the scores"),
    (checks.check_zero_delta_is_clean, AddsToTheLossWhatIsAttacked, "zeros changes the loss"),
    (checks.check_view_leaves_no_trace, KeepsThePerturbationInItsWeights, "model's state_dict and clean scores"),
    (checks.check_view_leaves_no_trace, KeepsThePerturbationBesideItsWeights, "the loss with a view changed"),
    (checks.check_scoring_is_by_the_scores, RanksByItsCleanScores, "rankings are made by it"),
    (checks.check_scoring_is_by_the_scores, RanksByRoundedScores, "rankings are made by it"),
    (checks.check_loss_has_a_gradient, AttackedLossWithoutAGradient, "zero or not finite"),
    (checks.check_gradient_raises_the_loss, GradientOfTheOppositeSign, "expected it to rise"),
    (checks.check_raised_loss_lowers_the_margins, LossOfTheOppositeSign, "look at the sign of the loss"),
    (checks.check_margins_agree_with_scores, MarginsWithCleanUsers, "differ under a view"),
    (checks.check_margins_agree_with_scores, BiasThatOnlyScores, "score differences differ when clean"),
    (checks.check_loss_reads_what_the_margins_read, PerturbsOnlyThePositive, "perturb positive and negative alike"),
    (checks.check_rows_are_sorted_and_unique, RowsInReverse, "not sorted, distinct"),
    (checks.check_rows_are_sorted_and_unique, RowsThatRepeat, "not sorted, distinct"),
    (checks.check_rows_are_sorted_and_unique, RowsOfNoSurface, "names 'items', which is no surface"),
    (checks.check_rows_cover_the_loss, RowsWithoutNegatives, "must list every row"),
    (checks.check_rows_cover_the_loss, NoRowsAtAll, "must list every row"),
    (checks.check_rows_are_all_read, EveryRowThereIs, "that do not move the loss"),
    (checks.check_loss_leaves_the_weights_alone, LossThatShrinksTheWeights, "changes the weights"),
]


@pytest.mark.parametrize(("check", "bug", "words"), BUGS, ids=[f"{name_of(row[0])}-{row[1].__name__}" for row in BUGS])
def test_a_check_on_views_catches_its_planted_bug(check, bug, words):
    with pytest.raises(CheckFailed) as caught:
        check(bug)
    assert words in str(caught.value)
    assert str(caught.value).startswith("model 'two-tables'")


def test_every_check_on_views_has_a_planted_bug():
    assert {check for check, _, _ in BUGS} == set(checks.VIEW_CHECKS)


def test_a_trace_of_a_view_is_a_perturbation_leak():
    with pytest.raises(LeakFound):
        checks.check_view_leaves_no_trace(KeepsThePerturbationInItsWeights)


def test_a_clean_loss_of_another_value_is_caught_where_only_the_loss_is_wrong():
    checks.check_every_surface_moves_the_scores(AddsToTheLossWhatIsAttacked)
