"""Checks at the edges and of what a plugin says about itself: each catches the bug planted for it."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings

from recshield.core.interfaces import Access, Attack
from recshield.core.norms import NORMS, steepest
from recshield.core.seeds import generator
from recshield.core.surfaces import CLEAN, View
from recshield.data.visual import FEATURES, IMAGES, lower_images
from recshield.testing import attack_limits, attacks, datasets, declarations, model_limits, run_checks
from recshield.testing.failures import CheckFailed
from recshield.testing.kit import apply, name_of
from recshield.testing.pictures import tiny_visual
from recshield.testing.probes import scores
from recshield.testing.reference import TwoTables, TwoTablesConfig
from recshield_visual.vbpr import VBPR


@dataclass(frozen=True)
class Ascent(Attack):
    """One step of steepest ascent.

    Source: own.
    """

    name = "ascent"
    access = Access.GRADIENTS
    share = 1.0

    def perturb(self, victim, budget, rng):
        _, gradient = victim.ascend(victim.zeros())
        size = self.share * budget.eps
        return {one.name: size * steepest(gradient[one.name], one, budget.norm) for one in victim.surfaces}


class SpendsATenth(Ascent):
    share = 0.1


class NeedsTwoUsers(Ascent):
    def perturb(self, victim, budget, rng):
        if any(one.shape[0] == 1 for one in victim.surfaces if one.name.endswith("user")):
            raise IndexError("index 1 is out of bounds")
        return super().perturb(victim, budget, rng)


class DividesByTheItems(Ascent):
    def perturb(self, victim, budget, rng):
        delta = super().perturb(victim, budget, rng)
        count = victim.surfaces[-1].shape[0] - 1
        return {name: held * (count / count if count else float("nan")) for name, held in delta.items()}


class ComputesInDouble(Ascent):
    def perturb(self, victim, budget, rng):
        return {name: held.double() for name, held in super().perturb(victim, budget, rng).items()}


class OwnsTheNormOfATable(Ascent):
    def perturb(self, victim, budget, rng):
        size = 10 * self.share if budget.norm == "l2-table" else self.share
        return {name: size * held for name, held in super().perturb(victim, budget, rng).items()}


class ScoresInDouble(TwoTables):
    def score(self, users, view=CLEAN):
        return super().score(users, view).double()


class JudgesInDouble(TwoTables):
    def loss(self, batch, view=CLEAN):
        found = super().loss(batch, view)
        return found if self.training else found.double()


class DropsItsItems(TwoTables):
    def lower(self, view):
        return View({name: held for name, held in view.delta.items() if name.endswith("user")}, view.rows)


class ForgetsTheBounds(VBPR):
    """Pixels beyond black and white count."""

    def lower(self, view):
        boundless = [dataclasses.replace(one, bounds=(-9.0, 9.0)) for one in self.surfaces if one.name == IMAGES]
        return lower_images(self.data.visual, boundless[0], view)


class ForgetsTheRows(VBPR):
    """Items that the view does not cover move, too."""

    def lower(self, view):
        lowered = super().lower(view)
        rows = lowered.rows.get(FEATURES)
        if rows is None or FEATURES not in lowered.delta:
            return lowered
        whole = torch.full((self.data.n_items, lowered.delta[FEATURES].shape[1]), 0.1)
        return View({FEATURES: whole.index_copy(0, rows, lowered.delta[FEATURES])})


class CannotBeAskedFor(Ascent):
    """A name with a space. Source: own."""

    name = "steepest ascent"


class AliasWithAPlus(Ascent):
    """An alias that splits a system. Source: own."""

    aliases = ("a+b",)


class NoDocstring(Ascent):
    pass


class NoSentence(Ascent):
    """Steepest ascent, one step

    Source: own.
    """


@dataclass(frozen=True)
class SilentOption(Ascent):
    """One step.

    Attributes:
        steps: at least 1.

    Source: own.
    """

    steps: int = 1
    decay: float = 0.0


class NoSource(Ascent):
    """One step of ascent."""


@dataclass(frozen=True)
class _Undocumented:
    """Options."""

    dims: int = 8
    std: float = 0.1
    batch: int = 64
    lr: float = 0.05
    epochs: int = 30


class ConfigWithoutWords(TwoTables):
    """Two tables. Source: own."""

    config_type = _Undocumented


#: (check, bug, words of the message that name what is wrong)
BUGS = [
    (attack_limits.check_finds_a_planted_weakness, SpendsATenth(), "moves the planted margin from 1 to 0."),
    (attack_limits.check_one_user_data, NeedsTwoUsers(), "fails on one-user data: IndexError: index 1"),
    (attack_limits.check_one_item_data, DividesByTheItems(), "not finite on one-item data"),
    (
        attack_limits.check_delta_has_the_dtype_of_the_surface,
        ComputesInDouble(),
        "returns torch.float64 for 'factors.user'",
    ),
    (attacks.check_norm_stays_within_eps, OwnsTheNormOfATable(), "the budget is l2-table:0.4"),
    (model_limits.check_dtypes_are_kept, ScoresInDouble, "scores are torch.float64 clean"),
    (model_limits.check_dtypes_are_kept, JudgesInDouble, "the loss is torch.float64 of shape ()"),
    (model_limits.check_lower_is_truthful, DropsItsItems, "lower() changes a view of factors.user, factors.item"),
    (model_limits.check_lower_is_truthful, ForgetsTheBounds, "other features than those of clamp(image + delta)"),
    (model_limits.check_lower_is_truthful, ForgetsTheRows, "moves features of items that the view does not cover"),
    (declarations.check_name_can_be_written, CannotBeAskedFor(), "the name 'steepest ascent' cannot be written"),
    (declarations.check_name_can_be_written, AliasWithAPlus(), "the name 'a+b' cannot be written"),
    (
        declarations.check_docstring_is_complete,
        NoDocstring(),
        "NoDocstring has no docstring that opens with a sentence",
    ),
    (declarations.check_docstring_is_complete, NoSentence(), "NoSentence has no docstring that opens with a sentence"),
    (declarations.check_docstring_is_complete, SilentOption(), "option 'decay' is not described"),
    (
        declarations.check_docstring_is_complete,
        ConfigWithoutWords,
        "option 'dims', 'std', 'batch', 'lr', 'epochs' is not",
    ),
    (declarations.check_docstring_names_its_source, NoSource(), "the docstring of NoSource names no source"),
]


@pytest.mark.parametrize(("check", "bug", "words"), BUGS, ids=lambda one: getattr(one, "__name__", type(one).__name__))
def test_a_check_at_the_edges_catches_its_planted_bug(check, bug, words):
    with pytest.raises(CheckFailed) as caught:
        apply(check, bug)
    assert words in str(caught.value)


def test_every_check_at_the_edges_has_a_planted_bug():
    on_cuda = {
        attack_limits.check_cuda_reaches_what_the_cpu_reaches,
        model_limits.check_cuda_scores_are_those_of_the_cpu,
    }
    wanted = {*attack_limits.ATTACK_LIMIT_CHECKS, *model_limits.MODEL_LIMIT_CHECKS, *declarations.METHOD_CHECKS}
    assert {check for check, _, _ in BUGS} >= wanted - on_cuda


def test_a_bug_in_the_norm_of_a_table_is_seen_by_no_other_check():
    failed = [one.name for one in run_checks("attack", OwnsTheNormOfATable()) if not one.passed]
    assert failed == [
        "docstring_is_complete",
        "docstring_names_its_source",
        "norm_stays_within_eps",
        "norm_stays_within_eps_on_larger_tables",
    ]


def test_an_attack_that_spends_a_tenth_is_weaker_than_noise_and_misses_the_planted_weakness():
    failed = {one.name for one in run_checks("attack", SpendsATenth()) if not one.passed}
    assert failed - {"docstring_is_complete", "docstring_names_its_source"} == {
        "beats_noise",
        "finds_a_planted_weakness",
        "spends_the_budget",
    }


@pytest.mark.parametrize("check", [*attack_limits.ATTACK_LIMIT_CHECKS, *declarations.METHOD_CHECKS], ids=name_of)
def test_a_sound_attack_passes(check):
    if "cuda" in check.__name__ and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    check(Ascent())


def test_every_norm_is_among_the_budgets():
    assert {one.norm for one in attacks.EVERY_NORM} == set(NORMS)


def test_the_planted_model_has_a_margin_of_one_and_noise_does_not_turn_it():
    model = attack_limits.planted_tables()
    assert attack_limits._margin(model, {}) == pytest.approx(1.0)
    noise = torch.randn(model.user.shape, generator=generator(0, "noise"))
    noise *= 0.1 / noise.norm(dim=1, keepdim=True)
    assert attack_limits._margin(model, {"factors.user": noise}) > 0.5


@settings(max_examples=60, deadline=None)
@given(datasets())
def test_drawn_data_are_valid_and_the_reference_model_survives_them(data):
    assert (data.train.n_users, data.train.n_items) == (data.info.n_users, data.info.n_items)
    assert len(data.train) == data.info.n_interactions >= 1
    assert int(data.train.items.max()) < data.info.n_items <= 10
    assert data.info.n_users <= 8
    model = TwoTables(data.info, TwoTablesConfig(dims=2), generator(0, "start"))
    assert bool(scores(model).isfinite().all())


@settings(max_examples=5, deadline=None)
@given(datasets(has_images=True, max_items=4))
def test_drawn_data_can_have_images(data):
    assert len(data.info.visual.images) == data.info.n_items
    assert torch.equal(data.info.visual.features, tiny_visual(data.info.n_items).features)


def test_messages_of_declarations_name_kind_and_plugin():
    with pytest.raises(CheckFailed, match=re.escape("model 'two-tables': option")):
        declarations.check_docstring_is_complete(ConfigWithoutWords)
