"""Checks of what a recommender does with a view: what it declares is true, and nothing of a view stays behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from recshield.core.interfaces import Batch, Recommender
from recshield.core.seeds import generator
from recshield.core.surfaces import CLEAN, View
from recshield.matrix.fitting import state_hash
from recshield.testing.building import Kind, attackable, clean_loss, ready, said, touchable
from recshield.testing.failures import need
from recshield.testing.pictures import clean_values
from recshield.testing.probes import all_users, loss, random_delta, scores, served_surfaces, unchanged_model, zero_delta

#: Random perturbations tried before a row counts as one that the loss does not read: a confident triplet has no slope.
_TRIES = 3
#: Relative slack of two losses that are one up to rounding.
_SLACK = 1e-5


def _gradients(model: Recommender, batch: Batch, delta: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradient of the loss with respect to each surface's perturbation; zeros where there is none."""
    leaves = {name: held.detach().clone().requires_grad_() for name, held in delta.items()}
    return _gradients_of(loss(model, batch, View(leaves)), leaves)


def _gradients_of(value: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    if not value.requires_grad:
        return {name: torch.zeros_like(held) for name, held in leaves.items()}
    found = torch.autograd.grad(value.sum(), list(leaves.values()), allow_unused=True)
    return {
        name: torch.zeros_like(held) if one is None else one
        for (name, held), one in zip(leaves.items(), found, strict=True)
    }


def _touched(gradient: Tensor) -> Tensor:
    """Return which rows of a gradient are not zero."""
    return gradient.flatten(1).abs().amax(dim=1) > 0


def _none_touched(model: Recommender) -> dict[str, Tensor]:
    return {one.name: torch.zeros(one.shape[0], dtype=torch.bool) for one in served_surfaces(model)}


def _losses_agree(one: float, other: float) -> bool:
    return abs(one - other) <= _SLACK * max(abs(one), abs(other), 1e-6)


def check_surfaces_are_what_is_declared(recommender: Kind, config: Any = None) -> None:
    """`exposes`, `exposes_in_training`, `surfaces` and `values` agree, and clean values lie inside the bounds.

    Prevents: a surface that the planner offers and the model has not; a clamp that changes clean values.
    """
    model, _ = ready(recommender, config)
    served = served_surfaces(model)
    names = tuple(one.name for one in served)
    need(
        names == recommender.exposes,
        f"{said(recommender)}: its surfaces are {names}, but it exposes {recommender.exposes}; write the same names",
    )
    others = tuple(one.name for one in model.surfaces if one not in served)
    need(
        others == recommender.exposes_in_training,
        f"{said(recommender)}: its surfaces of training are {others}, but exposes_in_training is "
        f"{recommender.exposes_in_training}; write the same names",
    )
    for one in model.surfaces:
        values = clean_values(model, one.name)
        need(
            tuple(values.shape) == one.shape,
            f"{said(recommender)}: values('{one.name}') has shape {tuple(values.shape)}, its surface {one.shape}",
        )
        low, high = one.bounds
        need(
            bool(((values >= low) & (values <= high)).all()),
            f"{said(recommender)}: clean values of '{one.name}' lie outside its bounds {one.bounds}",
        )


def check_every_surface_moves_the_scores(recommender: Kind, config: Any = None) -> None:
    """A perturbation of any one surface changes the scores.

    Prevents: a view that `score` ignores, which reads as perfect robustness.
    """
    model = touchable(recommender, config)
    clean = scores(model)
    for name, held in random_delta(model).items():
        need(
            not torch.equal(scores(model, View({name: held})), clean),
            f"{said(recommender)}: a random perturbation of '{name}' leaves the scores as they are; read the surface "
            "through view.read",
        )


def check_zero_delta_is_clean(recommender: Kind, config: Any = None) -> None:
    """A perturbation of zeros gives the clean scores and the clean loss, bit for bit.

    Prevents: an attacked path that differs from the clean one by more than the perturbation (eps 0 is check 4).
    """
    model = touchable(recommender, config)
    view = View(zero_delta(model))
    need(
        torch.equal(scores(model, view), scores(model)),
        f"{said(recommender)}: a perturbation of zeros changes the scores; expected the clean bits",
    )
    if recommender.loss is not Recommender.loss:
        _, batch = attackable(recommender, config)
        need(
            float(loss(model, batch, view)) == clean_loss(model, batch),
            f"{said(recommender)}: a perturbation of zeros changes the loss; expected the clean bits",
        )


def check_view_leaves_no_trace(recommender: Kind, config: Any = None) -> None:
    """After scores, loss and gradient under a view, the model and its clean scores are as before, bit for bit.

    Prevents: a perturbation left on the model, from which the next attack or the clean figure starts (MSAP, Elliot).
    """
    model = touchable(recommender, config)
    delta = random_delta(model)
    with unchanged_model(model, f"{said(recommender)}: scoring with a view"):
        scores(model, View(delta))
    if recommender.loss is not Recommender.loss:
        _, batch = attackable(recommender, config)
        with unchanged_model(model, f"{said(recommender)}: the loss with a view"):
            _gradients(model, batch, delta)


def need_rankings_by_scores(who: str, model: Recommender) -> None:
    """Raise CheckFailed unless `scoring` gives the bits of `score`, under a perturbation and without."""
    users = all_users(model)
    for view in (View(random_delta(model)), CLEAN):
        lowered = model.lower(view)
        with torch.no_grad():
            wanted, found = model.score(users, lowered), model.scoring(lowered)(users)
        need(
            torch.allclose(found, wanted, rtol=0.0, atol=0.0, equal_nan=True),
            f"{who}: `scoring` gives other scores than `score` for one view; rankings are made by it",
        )


def check_scoring_is_by_the_scores(recommender: Kind, config: Any = None) -> None:
    """What `scoring` returns for a view gives the scores of `score` under it, bit for bit.

    Prevents: ranks of other scores than those that are served; a perturbation that rankings do not read.
    """
    need_rankings_by_scores(said(recommender), ready(recommender, config)[0])


def check_loss_has_a_gradient(recommender: Kind, config: Any = None) -> None:
    """The loss has a gradient for every surface, without gradients of the weights.

    Prevents: an attack loss built under `no_grad`, so that every attack is noise (ARLib DLAttack).
    """
    model, batch = attackable(recommender, config)
    for name, held in _gradients(model, batch, zero_delta(model)).items():
        need(
            bool(held.isfinite().all()) and bool(_touched(held).any()),
            f"{said(recommender)}: the gradient of the loss on '{name}' is zero or not finite; compute the loss "
            "without no_grad, detach and numpy",
        )


def check_gradient_raises_the_loss(recommender: Kind, config: Any = None) -> None:
    """A small step along the gradient raises the loss, and the same step back lowers it.

    Prevents: a gradient of something else than the loss; an inverted sign (Elliot AMF, Cornac AMR).
    """
    model, batch = attackable(recommender, config)
    clean = clean_loss(model, batch)
    for name, gradient in _gradients(model, batch, zero_delta(model)).items():
        size = 1e-2 * float(clean_values(model, name).detach().abs().max()) / max(float(gradient.abs().max()), 1e-30)
        up, down = (float(loss(model, batch, View({name: sign * size * gradient}))) for sign in (1.0, -1.0))
        need(
            up > clean > down,
            f"{said(recommender)}: along the gradient of '{name}' the loss goes {down:.6g}, {clean:.6g}, {up:.6g}; "
            "expected it to rise",
        )


def check_raised_loss_lowers_the_margins(recommender: Kind, config: Any = None) -> None:
    """Where the loss rises, positives fall behind negatives: to raise the loss is to do harm.

    Prevents: an inverted adversarial flag, with which the attack helps the model (Elliot AMF).
    """
    model, batch = attackable(recommender, config)
    gradients = _gradients(model, batch, zero_delta(model))
    largest = max(float(held.abs().max()) for held in gradients.values())
    size = 1e-2 * max(float(clean_values(model, name).detach().abs().max()) for name in gradients) / max(largest, 1e-30)
    with torch.no_grad():
        clean = float(model.margins(batch, model.lower(CLEAN)).mean())
        view = View({name: size * held for name, held in gradients.items()})
        moved = float(model.margins(batch, model.lower(view)).mean())
    need(
        moved < clean,
        f"{said(recommender)}: a step that raises the loss moves the mean margin from {clean:.6g} to {moved:.6g}; "
        "expected it to fall, so look at the sign of the loss",
    )


def _stir(model: Recommender) -> None:
    """Add random numbers to every weight, a tenth of its own spread or of one."""
    with torch.no_grad():
        for name, held in model.named_parameters():
            if held.is_floating_point():
                size = float(held.std()) if held.numel() > 1 else 0.0
                held.add_(0.1 * (size or 1.0) * torch.randn(held.shape, generator=generator(0, "kit stir", name)))


def check_margins_agree_with_scores(recommender: Kind, config: Any = None) -> None:
    """Under any view, a margin is the score of the positive minus the score of the negative item.

    Every weight is moved at random first: a bias that training never reads stays at zero, where leaving it out of one
    of the two shows nowhere.

    Prevents: an attack that moves other values than those that rank.
    """
    model, batch = attackable(recommender, config)
    _stir(model)
    for delta in ({}, random_delta(model)):
        view = model.lower(View(delta))
        with torch.no_grad():
            ours, theirs = model.margins(batch, view), Recommender.margins(model, batch, view)
        need(
            torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5),
            f"{said(recommender)}: margins and score differences differ {'under a view' if delta else 'when clean'}; "
            "read the same values in both",
        )


def check_loss_reads_what_the_margins_read(recommender: Kind, config: Any = None) -> None:
    """Each row that moves a margin moves the loss.

    Prevents: a loss in which only the positive item is perturbed (Elliot AMR), or only one side (ASASRec).
    """
    model, batch = attackable(recommender, config)
    moved, felt = _none_touched(model), _none_touched(model)
    for seed in range(_TRIES):
        leaves = {name: held.requires_grad_() for name, held in random_delta(model, seed).items()}
        by_margin = _gradients_of(model.margins(batch, model.lower(View(leaves))), leaves)
        for name, held in _gradients(model, batch, leaves).items():
            moved[name] |= _touched(by_margin[name])
            felt[name] |= _touched(held)
    for name in moved:
        forgotten = (moved[name] & ~felt[name]).nonzero()[:, 0].tolist()
        need(
            not forgotten,
            f"{said(recommender)}: the loss does not feel a perturbation of '{name}' at rows {forgotten[:5]}, which "
            "move the margins; perturb positive and negative alike",
        )


def _listed(model: Recommender, batch: Batch) -> dict[str, Tensor]:
    """Return the rows of every surface; a surface that `rows` leaves out is not read at all."""
    listed = model.rows(batch)
    return {one.name: listed.get(one.name, torch.zeros(0, dtype=torch.long)) for one in served_surfaces(model)}


def check_rows_are_sorted_and_unique(recommender: Kind, config: Any = None) -> None:
    """`rows` names surfaces of the model and lists sorted, distinct, existing rows, which views search by halving."""
    model, batch = attackable(recommender, config)
    sizes = {one.name: one.shape[0] for one in model.surfaces}
    for name, held in model.rows(batch).items():
        need(name in sizes, f"{said(recommender)}: rows() names '{name}', which is no surface of it: {list(sizes)}")
        is_sorted = bool((held[1:] > held[:-1]).all())
        is_inside = bool(((held >= 0) & (held < sizes[name])).all())
        need(
            held.dtype == torch.int64 and is_sorted and is_inside,
            f"{said(recommender)}: rows() of '{name}' are not sorted, distinct int64 rows below {sizes[name]}; use "
            "Tensor.unique()",
        )


def check_rows_cover_the_loss(recommender: Kind, config: Any = None) -> None:
    """A perturbation cut to the rows listed gives the loss of the whole one; outside of them it changes nothing.

    Prevents: an adversarial term that misses part of what the batch reads.
    """
    model, batch = attackable(recommender, config)
    delta, rows = random_delta(model), _listed(model, batch)
    whole = float(loss(model, batch, View(delta)))
    cut = float(loss(model, batch, View({name: held[rows[name]] for name, held in delta.items()}, rows)))
    need(
        _losses_agree(whole, cut),
        f"{said(recommender)}: cut to rows() a perturbation gives the loss {cut:.6g}, the whole one {whole:.6g}; "
        "rows() must list every row that the loss reads",
    )
    outside = {name: held.index_fill(0, rows[name], 0.0) for name, held in delta.items()}
    clean, moved = clean_loss(model, batch), float(loss(model, batch, View(outside)))
    need(
        _losses_agree(clean, moved),
        f"{said(recommender)}: outside of rows() a perturbation moves the loss from {clean:.6g} to {moved:.6g}; rows() "
        "must list every row that the loss reads",
    )


def check_rows_are_all_read(recommender: Kind, config: Any = None) -> None:
    """Each row listed moves the loss.

    Prevents: rows without a gradient counted as if an attack had failed on them.
    """
    model, batch = attackable(recommender, config)
    rows = _listed(model, batch)
    is_read = _none_touched(model)
    for seed in range(_TRIES):
        for name, held in _gradients(model, batch, random_delta(model, seed)).items():
            is_read[name] |= _touched(held)
    for name, held in rows.items():
        idle = held[~is_read[name][held]].tolist()
        need(
            not idle,
            f"{said(recommender)}: rows() lists {len(idle)} rows of '{name}' that do not move the loss, such as "
            f"{idle[:5]}; list what the batch reads",
        )


def check_loss_leaves_the_weights_alone(recommender: Kind, config: Any = None) -> None:
    """The clean loss and its gradient change no weight.

    Prevents: statistics updated or tables normalised in place while an attack only looks.
    """
    model, batch = attackable(recommender, config)
    before = state_hash(model)
    model.requires_grad_(True)
    loss(model, batch).backward()
    need(
        state_hash(model) == before, f"{said(recommender)}: computing the loss changes the weights; expected no change"
    )


#: Checks on views, part of `RECOMMENDER_CHECKS`.
VIEW_CHECKS: tuple[Callable[..., None], ...] = (
    check_surfaces_are_what_is_declared,
    check_every_surface_moves_the_scores,
    check_zero_delta_is_clean,
    check_view_leaves_no_trace,
    check_scoring_is_by_the_scores,
    check_loss_has_a_gradient,
    check_gradient_raises_the_loss,
    check_raised_loss_lowers_the_margins,
    check_margins_agree_with_scores,
    check_loss_reads_what_the_margins_read,
    check_rows_are_sorted_and_unique,
    check_rows_cover_the_loss,
    check_rows_are_all_read,
    check_loss_leaves_the_weights_alone,
)
