"""Checks of a recommender: repeatable, self-contained, trained on every row. `views.py` holds those on perturbations.

Each takes the class and, where its defaults do not suit, a configuration.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from recshield.core.errors import in_one_line
from recshield.core.interfaces import Batch, Objective, Recommender
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget, family
from recshield.data.interactions import Dataset
from recshield.matrix.fitting import state_hash
from recshield.testing import declarations, model_limits, views
from recshield.testing.building import (
    Kind,
    attackable,
    built,
    clean_loss,
    configured,
    fitted,
    need_loss,
    ready,
    said,
)
from recshield.testing.data import one_item_dataset, one_user_dataset, small_dataset
from recshield.testing.failures import CheckFailed, applies_if, need
from recshield.testing.pictures import clean_values
from recshield.testing.probes import (
    EPOCHS,
    all_users,
    as_served,
    disturbed_random_state,
    fingerprint,
    loss,
    need_frozen,
    need_reprint,
    relative_difference,
    scores,
    small_batch,
    watched_random_state,
)
from recshield.training.objectives import Adversarial, ModelLoss

#: Relative difference of weights at which the fused and the generic path count as one.
_FUSED_TOLERANCE = 1e-4
#: Size of adversarial perturbations in units of the mean norm of the start values.
_SHARE = 0.3


def check_options_are_a_frozen_dataclass(recommender: Kind, config: Any = None) -> None:
    """The configuration is an immutable value, so that a step's key describes what was trained."""
    need_frozen(type(configured(recommender, config)), said(recommender))


def check_options_reprint(recommender: Kind, config: Any = None) -> None:
    """The configuration prints as a specification that reads back equal, so that results can be asked for again."""
    need_reprint(configured(recommender, config), recommender.name, said(recommender))


def check_same_seed_same_bits(recommender: Kind, config: Any = None) -> None:
    """Two trainings with one seed give the same weights and scores, bit for bit, whatever the global generators say.

    Prevents: retraining noise reported as an attack's effect (RecAD).
    """
    data, _ = small_dataset()
    made = []
    for disturbance in (1, 2):
        with disturbed_random_state(disturbance):
            model = fitted(recommender, config, data)
            made.append((state_hash(model), scores(model)))
    need(
        made[0][0] == made[1][0] and torch.equal(made[0][1], made[1][1]),
        f"{said(recommender)}: two trainings with one seed differ; every draw must come from the generator given",
    )


def check_global_random_state_untouched(recommender: Kind, config: Any = None) -> None:
    """Building, training and scoring leave the generators of torch, numpy and random as they were.

    Prevents: a draw here that shifts every draw after it.
    """
    with watched_random_state(said(recommender)):
        model, data = ready(recommender, config)
        scores(model)
        if recommender.loss is not Recommender.loss:
            loss(model, small_batch(data))


def check_scores_are_finite_and_complete(recommender: Kind, config: Any = None) -> None:
    """Scores are (B, n_items) and finite, for any users in any order.

    Prevents: NaN, which would rank first; items left out of the candidates.
    """
    model, data = ready(recommender, config)
    for users in (all_users(model), torch.tensor([3, 0, 3]), torch.tensor([data.info.n_users - 1])):
        with torch.no_grad():
            found = model.score(users)
        wanted = (len(users), data.info.n_items)
        need(
            tuple(found.shape) == wanted,
            f"{said(recommender)}: scores have shape {tuple(found.shape)}; expected (users, items) = {wanted}",
        )
        need(bool(found.isfinite().all()), f"{said(recommender)}: scores are not finite; NaN would rank first")


def check_scores_of_a_user_stand_alone(recommender: Kind, config: Any = None) -> None:
    """A user's scores do not depend on who else is scored at once.

    Prevents: values scaled by a maximum over what happens to be there (VAR, TAaMR, AMR).
    """
    model, _ = ready(recommender, config)
    together = scores(model)
    with torch.no_grad():
        alone = torch.cat([model.score(torch.tensor([user])) for user in range(model.data.n_users)])
    need(
        torch.allclose(together, alone, rtol=1e-4, atol=1e-5),
        f"{said(recommender)}: scores of a user change with the other users of the chunk; chunk size must not matter",
    )


def check_scoring_twice_is_identical(recommender: Kind, config: Any = None) -> None:
    """Scoring a served model twice gives the same bits.

    Prevents: dropout active at evaluation (AIP).
    """
    model, _ = ready(recommender, config)
    need(
        torch.equal(scores(model), scores(model)),
        f"{said(recommender)}: scoring twice gives different scores; leave dropout and noise to training mode",
    )


def check_state_round_trips(recommender: Kind, config: Any = None) -> None:
    """Weights saved and loaded into a new model give the same scores, bit for bit.

    Prevents: a value that training sets outside parameters and buffers, lost without a word when a step is reused.
    """
    model, data = ready(recommender, config)
    saved = save({name: held.detach().contiguous() for name, held in model.state_dict().items()})
    other = built(recommender, config, data, seed=1)
    other.load_state_dict(load(saved))
    need(
        torch.equal(scores(as_served(other)), scores(model)),
        f"{said(recommender)}: a loaded model scores differently from the saved one; register what fit() sets as "
        "parameters or buffers",
    )


def check_tables_draw_independently(recommender: Kind, config: Any = None) -> None:
    """Users appended to the data change neither the start values of items nor those of the first users.

    Prevents: fake users that reshuffle start values, read as the attack's effect (RecAD).
    """
    data, _ = small_dataset()
    info = data.info
    grown = dataclasses.replace(info, n_users=info.n_users + 5)
    before = built(recommender, config, data).state_dict()
    after = recommender(grown, configured(recommender, config), generator(0, "start")).state_dict()
    for name, held in before.items():
        if held.ndim and len(held) == info.n_users:
            other = after[name][: info.n_users]
        elif after[name].shape == held.shape:
            other = after[name]
        else:
            continue
        need(
            torch.equal(held, other),
            f"{said(recommender)}: start values of '{name}' change when users are appended; draw each table from "
            "child(rng, TABLE NAME), row by row",
        )


def _survives(recommender: Kind, config: Any, data: Dataset) -> None:
    try:
        model = fitted(recommender, config, data)
        found = scores(model)
    except Exception as error:
        raise CheckFailed(f"{said(recommender)} fails on {data.info.name} data: {in_one_line(error)}") from error
    wanted = (data.info.n_users, data.info.n_items)
    need(
        tuple(found.shape) == wanted and bool(found.isfinite().all()),
        f"{said(recommender)}: on {data.info.name} data scores are not finite with shape {wanted}",
    )


def check_one_user_data(recommender: Kind, config: Any = None) -> None:
    """One user is enough to train and score."""
    _survives(recommender, config, one_user_dataset())


def check_one_item_data(recommender: Kind, config: Any = None) -> None:
    """One item, which leaves no negative, is enough to train and score."""
    _survives(recommender, config, one_item_dataset())


def check_zero_epochs_change_nothing(recommender: Kind, config: Any = None) -> None:
    """`fit(epochs=0)` leaves a trained model as it is: training goes on from the present weights.

    Prevents: a warm start that starts afresh, so that a defended model is not the undefended one trained further.
    """
    model, data = ready(recommender, config)
    before = state_hash(model)
    model.requires_grad_(True)
    model.fit(data, ModelLoss(), generator(0, "more"), 0)
    need(state_hash(model) == before, f"{said(recommender)}: fit(epochs=0) changes a trained model; expected no change")


def check_fit_leaves_the_data_alone(recommender: Kind, config: Any = None) -> None:
    """Training does not write into the data set, which the next step reads too."""
    data, _ = small_dataset()
    before = fingerprint(data)
    fitted(recommender, config, data)
    need(fingerprint(data) == before, f"{said(recommender)}: fit() changes the data it is given; work on a copy")


def check_training_lowers_the_loss(recommender: Kind, config: Any = None) -> None:
    """After a few epochs the model's loss on its training rows is lower than before.

    Prevents: an inverted sign (Cornac AMR), rows left out.
    """
    need_loss(recommender)
    data, _ = small_dataset()
    model = built(recommender, config, data)
    model.fit(data, ModelLoss(), generator(0, "fit"), 0)  # so that it knows the rows, where it reads them
    batches = [small_batch(data, len(data.train))]
    if recommender.batches is not Recommender.batches:
        own = list(model.batches(data, generator(0, "epoch")))
        batches = own if any(type(one) is not Batch for one in own) else batches
    trained, model = fitted(recommender, config, data), as_served(model)
    before, after = (sum(clean_loss(held, one) for one in batches) for held in (model, trained))
    need(
        after < before,
        f"{said(recommender)}: the loss goes from {before:.6g} to {after:.6g} in {EPOCHS} epochs; expected it to fall",
    )


def _epoch(recommender: Kind, config: Any, seed: int = 0) -> tuple[Dataset, list[Batch]]:
    applies_if(recommender.batches is not Recommender.batches, f"{said(recommender)} yields no batches")
    data, _ = small_dataset()
    return data, list(built(recommender, config, data).batches(data, generator(seed, "epoch")))


def check_batches_hold_every_row(recommender: Kind, config: Any = None) -> None:
    """The batches of one epoch hold every training row once, as a positive.

    Batches of a model's own kind may leave out the first row of each user, which nothing comes before.

    Prevents: the last partial batch dropped (APR, MSAP, ASASRec).
    """
    data, batches = _epoch(recommender, config)
    users, items, indptr = data.train.users, data.train.items, data.train.indptr
    firsts = indptr[:-1][indptr[1:] > indptr[:-1]]
    has_own_kind = any(type(one) is not Batch for one in batches)
    n_held = sum(len(one) for one in batches)
    if has_own_kind and n_held == len(data.train) - len(firsts):
        users, items = np.delete(users, firsts), np.delete(items, firsts)
    found = sorted(pair for one in batches for pair in zip(one.users.tolist(), one.positives.tolist(), strict=True))
    wanted = sorted(zip(users.tolist(), items.tolist(), strict=True))
    need(
        found == wanted,
        f"{said(recommender)}: an epoch's batches hold {len(found)} rows, which are not the {len(wanted)} training "
        "rows once each; use the last partial batch too",
    )


def check_negatives_lie_outside_the_users_rows(recommender: Kind, config: Any = None) -> None:
    """No negative is an item that its user has.

    Prevents: training rows pushed down, and a loss that no model can lower.
    """
    data, batches = _epoch(recommender, config)
    wrong = sum(
        item in data.train.of(user)
        for one in batches
        for user, item in zip(one.users.tolist(), one.negatives.tolist(), strict=True)
    )
    need(wrong == 0, f"{said(recommender)}: {wrong} negatives of an epoch are training items of their user; expected 0")


def check_batches_follow_their_generator(recommender: Kind, config: Any = None) -> None:
    """One generator gives the same batches again, another gives other negatives.

    Prevents: negatives repeated from epoch to epoch or across workers (APR, MSAP, ASASRec).
    """
    first, again, other = (_columns(_epoch(recommender, config, seed)[1]) for seed in (0, 0, 1))
    need(
        np.array_equal(first, again),
        f"{said(recommender)}: batches differ between two calls with one seed; draw from the generator given",
    )
    need(
        not np.array_equal(first, other),
        f"{said(recommender)}: batches are the same for two seeds; draw fresh negatives each epoch",
    )


def _columns(batches: list[Batch]) -> np.ndarray[Any, Any]:
    parts = [torch.stack([one.users, one.positives, one.negatives], dim=1) for one in batches]
    rows: np.ndarray[Any, Any] = torch.cat(parts).numpy()
    return rows[np.lexsort(rows.T)]  # by user, item and negative: the order does not count


def _trained(recommender: Kind, config: Any, objective: Objective) -> Recommender:
    data, _ = small_dataset()
    model = built(recommender, config, data)
    model.fit(data, objective, generator(0, "fit"), EPOCHS)
    return as_served(model)


def _adversarial(recommender: Kind, config: Any, weight: float) -> Adversarial:
    """Return the adversarial objective at a share of the start values' norm.

    Perturbations far larger than the weights make training chaotic: rounding alone then tells two paths apart.
    """
    data, _ = small_dataset()
    name = recommender.exposes[0]
    values = clean_values(built(recommender, config, data), name).detach()
    eps = _SHARE * float(values.flatten(1).norm(dim=1).mean())
    return Adversarial(ModelLoss(), family(name), Budget("l2", eps), weight)


def check_weight_zero_is_plain_training(recommender: Kind, config: Any = None) -> None:
    """Adversarial training with weight 0 gives the weights of plain training, bit for bit.

    Prevents: a defended path that differs by more than its defense (Cornac AMR, issue 463).
    """
    attackable(recommender, config)
    weightless = _trained(recommender, config, _adversarial(recommender, config, 0.0))
    plain = _trained(recommender, config, ModelLoss())
    apart = relative_difference(weightless, plain)
    need(
        state_hash(plain) == state_hash(weightless),
        f"{said(recommender)}: adversarial training with weight 0 differs from plain training by {apart:.3g} "
        "(relative); expected the same bits",
    )


def check_fused_path_equals_generic_path(recommender: Kind, config: Any = None) -> None:
    """Where the configuration has a field `fused`, both its values train the same weights up to rounding.

    Prevents: a fast kernel whose arithmetic is not the model's.
    """
    settings = configured(recommender, config)
    names = [spot.name for spot in dataclasses.fields(settings)]
    applies_if("fused" in names, f"{said(recommender)} has no option 'fused'")
    objectives = [ModelLoss(), *([_adversarial(recommender, config, 1.0)] if recommender.exposes else [])]
    for objective in objectives:
        fused, generic = (
            _trained(recommender, dataclasses.replace(settings, fused=is_fused), objective)
            for is_fused in (True, False)
        )
        apart = relative_difference(fused, generic)
        need(
            apart <= _FUSED_TOLERANCE,
            f"{said(recommender)}: with {type(objective).__name__} the fused path's weights differ from the generic "
            f"path's by {apart:.3g} (relative); at most {_FUSED_TOLERANCE:g} is allowed",
        )


#: Every check of a recommender, in the order in which they run.
RECOMMENDER_CHECKS: tuple[Callable[..., None], ...] = (
    *declarations.METHOD_CHECKS,
    check_options_are_a_frozen_dataclass,
    check_options_reprint,
    check_same_seed_same_bits,
    check_global_random_state_untouched,
    check_scores_are_finite_and_complete,
    check_scores_of_a_user_stand_alone,
    check_scoring_twice_is_identical,
    check_state_round_trips,
    check_tables_draw_independently,
    check_one_user_data,
    check_one_item_data,
    check_zero_epochs_change_nothing,
    check_fit_leaves_the_data_alone,
    check_training_lowers_the_loss,
    check_batches_hold_every_row,
    check_negatives_lie_outside_the_users_rows,
    check_batches_follow_their_generator,
    check_weight_zero_is_plain_training,
    check_fused_path_equals_generic_path,
    *views.VIEW_CHECKS,
    *model_limits.MODEL_LIMIT_CHECKS,
)
