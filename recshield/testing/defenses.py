"""Checks of a defense, run on a small model, `reference.TwoTables`. Each takes the defense itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack

import torch

from recshield.core.errors import PluginFailed, RecshieldError, in_one_line
from recshield.core.interfaces import Defense, Objective, Recommender
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget, covers, family
from recshield.data.interactions import Dataset
from recshield.matrix.fitting import prepared, state_hash
from recshield.testing.data import one_item_dataset, one_user_dataset, small_dataset
from recshield.testing.declarations import METHOD_CHECKS
from recshield.testing.failures import CheckFailed, applies_if, need
from recshield.testing.probes import (
    EPOCHS,
    as_served,
    disturbed_random_state,
    fingerprint,
    loss,
    named_systems,
    need_frozen,
    need_reprint,
    relative_difference,
    scores,
    small_batch,
    unchanged_model,
    watched_random_state,
)
from recshield.testing.reference import USER, TwoTables, trained_tables, untrained_tables
from recshield.testing.views import need_rankings_by_scores
from recshield.training.objectives import Adversarial, ModelLoss, evaluate

_TINY, _CLOSE, _CLEAR = 1e-6, 1e-4, 1e-3


def _said(defense: Defense) -> str:
    return f"defense '{defense.name}'"


def _target(defense: Defense) -> str:
    """Return the target, or leave the check where the reference model has nothing of the kind."""
    target = defense.default_target or family(USER)
    has_surface = any(covers(target, name) for name in TwoTables.exposes)
    applies_if(has_surface, f"{_said(defense)} acts on '{target}', which the reference model has not")
    return target


def _prepared(defense: Defense, data: Dataset) -> Dataset:
    return defense.prepare(data, generator(0, "prepare"))


def _start(defense: Defense, data: Dataset) -> TwoTables:
    """Return the model that training under this defense starts from."""
    return trained_tables() if defense.warm_start else untrained_tables(data)


def _plain(defense: Defense) -> TwoTables:
    """Return what training without the defense gives, from the same start with the same draws."""
    data, _ = small_dataset()
    model = _start(defense, data)
    model.fit(data, ModelLoss(), generator(0, "fit", 1), EPOCHS)
    return model


def _defended(defense: Defense) -> TwoTables:
    """Return what training under the defense gives, as the framework does it."""
    data, _ = small_dataset()
    model = _start(defense, data)
    objective = defense.objective(ModelLoss(), _target(defense))
    model.fit(_prepared(defense, data), objective, generator(0, "fit", 1), EPOCHS)
    return model


def _with_weight(defense: Defense, weight: float) -> Defense:
    is_weighted = dataclasses.is_dataclass(defense) and hasattr(defense, "weight")
    applies_if(is_weighted, f"{_said(defense)} has no option 'weight'")
    return dataclasses.replace(defense, weight=weight)  # type: ignore[type-var]


def check_options_are_a_frozen_dataclass(defense: Defense) -> None:
    """A defense is an immutable value whose fields are its parameters, so that a step's key describes it."""
    need_frozen(type(defense), _said(defense))


def check_options_reprint(defense: Defense) -> None:
    """The defense prints as a specification that reads back as an equal defense."""
    need_reprint(defense, defense.name, _said(defense))


def check_warm_start_says_how_long(defense: Defense) -> None:
    """A defense that goes on training has a whole number `epochs`.

    Prevents: a defended model trained a different time than its control without anybody having said so.
    """
    applies_if(defense.warm_start, f"{_said(defense)} trains from the start")
    epochs = getattr(defense, "epochs", None)
    need(
        type(epochs) is int and epochs >= 0,
        f"{_said(defense)} has warm_start = True but no whole number 'epochs'; give it that field",
    )


def check_weight_zero_is_plain_training(defense: Defense) -> None:
    """Weight 0 gives the weights of plain training for as many epochs, bit for bit.

    Prevents: a defended path that differs by more than its defense (Cornac AMR, issue 463).
    """
    defended, plain = _defended(_with_weight(defense, 0.0)), _plain(defense)
    apart = relative_difference(defended, plain)
    need(
        state_hash(defended) == state_hash(plain),
        f"{_said(defense)} with weight 0 differs from plain training by {apart:.3g} (relative); expected the same bits",
    )


def check_tiny_weight_is_close_but_not_equal(defense: Defense) -> None:
    """Weight 1e-6 moves the weights, by less than 1e-4 of their norm.

    Prevents: a weight that is ignored, rounded away, or acts as a switch.
    """
    apart = relative_difference(_defended(_with_weight(defense, _TINY)), _plain(defense))
    need(
        0 < apart < _CLOSE,
        f"{_said(defense)} with weight {_TINY:g} differs from plain training by {apart:.3g} (relative); expected more "
        f"than 0 and less than {_CLOSE:g}",
    )


def check_full_weight_differs_clearly(defense: Defense) -> None:
    """Weight 1 moves the weights by more than 1e-3 of their norm.

    Prevents: a defense that does nothing, so that its control explains its whole effect.
    """
    apart = relative_difference(_defended(_with_weight(defense, 1.0)), _plain(defense))
    need(
        apart > _CLEAR,
        f"{_said(defense)} with weight 1 differs from plain training by {apart:.3g} (relative); expected more than "
        f"{_CLEAR:g}",
    )


def check_prepare_leaves_the_data_alone(defense: Defense) -> None:
    """`prepare` returns rows of the same users and items, at least one, and does not write into what it is given."""
    data, _ = small_dataset()
    before = fingerprint(data)
    try:
        prepared(defense.name, _prepared(defense, data), data)
    except PluginFailed as error:
        raise CheckFailed(str(error)) from error
    need(fingerprint(data) == before, f"{_said(defense)}: prepare() changes the data it is given; return new data")


def check_objective_is_a_value(defense: Defense) -> None:
    """`objective` returns an equal frozen dataclass each time, so that models can match on it and keys can hold it."""
    made, again = (defense.objective(ModelLoss(), _target(defense)) for _ in range(2))
    need(
        isinstance(made, Objective),
        f"{_said(defense)}: objective() returns {type(made).__name__}; expected an Objective",
    )
    need_frozen(type(made), f"{_said(defense)}: objective()")
    need(made == again, f"{_said(defense)}: two calls of objective() return different values; expected equal ones")


def check_objective_builds_on_its_base(defense: Defense) -> None:
    """Another base gives another objective, and training understands it.

    Prevents: a defense that undoes the one before it in `mf+one+other`.
    """
    target = _target(defense)
    other = Adversarial(ModelLoss(), target, Budget("l2", 0.1), 0.7)
    made, stacked = defense.objective(ModelLoss(), target), defense.objective(other, target)
    need(made != stacked, f"{_said(defense)}: objective() ignores the base it is given; build on it")
    data, _ = small_dataset()
    for one in (made, stacked):
        try:
            value = evaluate(trained_tables(), one, small_batch(data), generator(0, "kit"))
        except RecshieldError as error:
            raise CheckFailed(f"{_said(defense)}: training does not understand its objective: {error}") from error
        need(
            value.ndim == 0 and bool(value.isfinite()) and value.requires_grad,
            f"{_said(defense)}: its objective gives {value}; expected a finite scalar with a gradient",
        )


def _served(defense: Defense) -> tuple[TwoTables, Recommender]:
    _target(defense)
    model = trained_tables()
    as_served(model)
    return model, defense.serve(model)


def check_serve_leaves_the_model_alone(defense: Defense) -> None:
    """`serve` returns a model and changes neither the one given nor a system that a field names.

    Prevents: a control that scales the very model it is compared with.
    """
    _target(defense)
    model = trained_tables()
    as_served(model)
    with ExitStack() as watched:
        for held in (model, *named_systems(defense).values()):
            watched.enter_context(unchanged_model(held, f"{_said(defense)}: serve()"))
        served = defense.serve(model)
        need(
            isinstance(served, Recommender),
            f"{_said(defense)}: serve() returns {type(served).__name__}; expected a Recommender",
        )
        scores(served)


def check_served_scores_are_finite(defense: Defense) -> None:
    """The served model scores every item with a finite number, the same each time."""
    model, served = _served(defense)
    found = scores(served)
    wanted = (model.data.n_users, model.data.n_items)
    need(
        tuple(found.shape) == wanted and bool(found.isfinite().all()),
        f"{_said(defense)}: the served model's scores are not finite with shape {wanted}",
    )
    need(torch.equal(found, scores(served)), f"{_said(defense)}: the served model scores differently each time")


def check_served_rankings_are_by_the_scores(defense: Defense) -> None:
    """What the served model's `scoring` returns gives the scores of its `score`, bit for bit.

    Prevents: ranks of the undefended model, where what wraps it hands on `scoring` and changes `score`.
    """
    need_rankings_by_scores(f"{_said(defense)}: the served model", _served(defense)[1])


def check_served_model_can_be_attacked(defense: Defense) -> None:
    """The served model has the surfaces, the loss and the rows of the one given.

    Prevents: a defense that counts as robust because attacks cannot reach what it wraps.
    """
    model, served = _served(defense)
    ours, theirs = [one.name for one in model.surfaces], [one.name for one in served.surfaces]
    need(
        theirs == ours,
        f"{_said(defense)}: the served model has the surfaces {theirs}; expected {ours}, so that attacks reach it",
    )
    data, _ = small_dataset()
    batch = small_batch(data)
    need(
        bool(loss(served, batch).isfinite()) and set(served.rows(batch)) == set(model.rows(batch)),
        f"{_said(defense)}: the served model's loss is not finite or its rows() differ; delegate both to the model",
    )


def _pipeline(defense: Defense) -> Recommender:
    trained = _defended(defense)
    as_served(trained)
    return defense.serve(trained)


def check_global_random_state_untouched(defense: Defense) -> None:
    """Preparing, training and serving leave the generators of torch, numpy and random as they were."""
    with watched_random_state(_said(defense)):
        scores(_pipeline(defense))


def check_same_seed_same_bits(defense: Defense) -> None:
    """Two defended systems with one seed score the same bits, whatever the global generators say."""
    found = []
    for disturbance in (1, 2):
        with disturbed_random_state(disturbance):
            found.append(scores(_pipeline(defense)))
    need(
        torch.equal(found[0], found[1]),
        f"{_said(defense)}: two systems with one seed differ; draw from generators of your own with fixed seeds",
    )


def _survives(defense: Defense, data: Dataset) -> None:
    objective = defense.objective(ModelLoss(), _target(defense))
    model = untrained_tables(data)
    try:
        model.fit(_prepared(defense, data), objective, generator(0, "fit", 1), EPOCHS)
        found = scores(defense.serve(as_served(model)))
    except Exception as error:
        reason = in_one_line(error)
        raise CheckFailed(f"{_said(defense)} fails on {data.info.name} data: {reason}") from error
    need(bool(found.isfinite().all()), f"{_said(defense)}: on {data.info.name} data scores are not finite")


def check_one_user_data(defense: Defense) -> None:
    """A data set of one user can be defended."""
    _survives(defense, one_user_dataset())


def check_one_item_data(defense: Defense) -> None:
    """A data set of one item, which leaves no negative, can be defended."""
    _survives(defense, one_item_dataset())


def check_changes_the_system(defense: Defense) -> None:
    """Under the defense something is other than without: the rows trained on, or what is served.

    Prevents: a method with a misspelt name, which is never called, and a defended row that repeats the undefended one.
    """
    plain = trained_tables() if defense.warm_start else _plain(defense)
    as_served(plain)
    need(
        not torch.equal(scores(_pipeline(defense)), scores(plain)),
        f"{_said(defense)} changes nothing: the defended system scores what the undefended one scores; override "
        "prepare(), objective() or serve(), spelt like that",
    )


#: Every check of a defense, in the order in which they run.
DEFENSE_CHECKS: tuple[Callable[[Defense], None], ...] = (
    *METHOD_CHECKS,
    check_options_are_a_frozen_dataclass,
    check_options_reprint,
    check_warm_start_says_how_long,
    check_weight_zero_is_plain_training,
    check_tiny_weight_is_close_but_not_equal,
    check_full_weight_differs_clearly,
    check_prepare_leaves_the_data_alone,
    check_objective_is_a_value,
    check_objective_builds_on_its_base,
    check_serve_leaves_the_model_alone,
    check_served_scores_are_finite,
    check_served_rankings_are_by_the_scores,
    check_served_model_can_be_attacked,
    check_global_random_state_untouched,
    check_same_seed_same_bits,
    check_changes_the_system,
    check_one_user_data,
    check_one_item_data,
)
